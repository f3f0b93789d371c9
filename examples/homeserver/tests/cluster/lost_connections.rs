//! The connection on which announcements arrive is lost, or the database is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::{TwoProcesses, WHOAMI, homeserver::BOUND, postgres::Cluster, until_not};

/// How late a request may be ended whose announcement was lost with the connection, counted from when
/// a new connection can be made: the longest interval between two attempts, and three times as long
/// for a busy machine. Here it is a fraction of a second, because few attempts have failed. If the
/// loss were not noticed, only the request's own 60 seconds would end it.
const RECONNECTED: Duration = Duration::from_secs(40);

/// Asks the database until it says yes.
async fn until_true(client: &Client, question: &str) {
    let asked = timeout(BOUND, async {
        while !client
            .query_one(question, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            sleep(Duration::from_millis(1)).await;
        }
    });
    asked
        .await
        .unwrap_or_else(|_| panic!("never true: {question}"));
}

/// The connections of process `one`. On the one where it listens, and perhaps on others, nothing was said since
/// its settings were made.
const OF_ONE: &str = "FROM pg_stat_activity WHERE application_name = 'one' \
     AND datname = current_database()";
const LISTENS: &str = "AND query LIKE 'SET row_security = off%'";

#[tokio::test(flavor = "multi_thread")]
async fn rule_17_a_listener_killed_between_lock_and_delivery_delays_the_end_and_loses_nothing() {
    let cluster = Cluster::shared();
    let processes = Arc::new(TwoProcesses::start(&cluster).await);
    let TwoProcesses {
        one, other, url, ..
    } = &*processes;
    let alice = one.register("alice").await;
    let holder = cluster.client(url).await;
    let client = cluster.client(url).await;
    let elsewhere = cluster.client(&cluster.url("postgres")).await;
    let (_, database) = url.rsplit_once("dbname=").unwrap();
    let mut delays = Vec::new();

    for _ in 0..5 {
        until_true(&client, &format!("SELECT count(*) > 0 {OF_ONE} {LISTENS}")).await;
        let waiting = TwoProcesses::wait_in_sync(one, "alice").await;

        // The lock is on its way, and held up before it is made …
        let hold = "BEGIN; LOCK TABLE account_status.restrictions IN SHARE MODE";
        holder.batch_execute(hold).await.unwrap();
        let lock = tokio::spawn({
            let processes = Arc::clone(&processes);
            async move { processes.set_lock(&processes.other, "alice", true).await }
        });
        let is_held_up = "SELECT count(*) > 0 FROM pg_stat_activity \
             WHERE application_name = 'other' AND wait_event_type = 'Lock'";
        until_true(&client, is_held_up).await;
        // … until nobody listens at process `one`, nor can.
        let allow = async |allowed: bool| {
            let sql = format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {allowed}");
            elsewhere.batch_execute(&sql).await.unwrap();
        };
        allow(false).await;
        let kill = format!("SELECT count(pg_terminate_backend(pid, 10000)) {OF_ONE}");
        client.query_one(&kill, &[]).await.unwrap();
        until_true(&client, &format!("SELECT count(*) = 0 {OF_ONE}")).await;
        holder.batch_execute("COMMIT").await.unwrap();
        lock.await.unwrap();
        // While no announcements arrive the request asks by itself, so that it may have ended
        // already.
        allow(true).await;
        let allowed = Instant::now();

        let (answer, ended) = waiting.answer().await;
        answer.error(401, "M_USER_LOCKED");
        let delay = ended.saturating_duration_since(allowed);
        assert!(delay < RECONNECTED, "{delay:?}");
        delays.push(delay);
        processes.set_lock(other, "alice", false).await;
        let locked = StatusCode::UNAUTHORIZED;
        until_not(locked, async || one.get(WHOAMI, &alice).await)
            .await
            .ok();
    }
    println!("ended after {delays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_while_postgresql_is_away_it_is_503_and_the_first_request_afterwards_is_right() {
    let cluster = Cluster::start();
    let processes = TwoProcesses::start(&cluster).await;
    let TwoProcesses { one, other, .. } = &processes;
    let mut tokens = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        tokens.push(one.register(name).await);
    }
    let [alice, bob, carol, dave] = &tokens[..] else {
        unreachable!()
    };
    for locked in ["bob", "dave"] {
        processes.set_lock(one, locked, true).await;
    }
    // Process `other` has none of them in its cache.
    // It waits already: a request that arrives during the outage is answered 503.
    let waiting = TwoProcesses::wait_in_sync(one, "alice").await;

    cluster.kill();
    for token in [alice, bob] {
        for _ in 0..20 {
            let answer = other.get(WHOAMI, token).await;
            answer.error(503, "M_UNKNOWN");
            assert!(answer.headers.contains_key(http::header::RETRY_AFTER));
        }
    }
    // Logging out always passes, and needs only the server's own database.
    let login = one.register("erin").await;
    other
        .post("/_matrix/client/v3/logout", &login, serde_json::json!({}))
        .await
        .ok();
    assert!(
        !waiting.0.is_finished(),
        "an outage ends no request that waits"
    );

    cluster.launch();
    // Those who were not asked for in between: their first request.
    other.get(WHOAMI, carol).await.ok();
    other.get(WHOAMI, dave).await.error(401, "M_USER_LOCKED");
    // Those who were: a failure is remembered for a moment, and what comes then is right.
    let away = StatusCode::SERVICE_UNAVAILABLE;
    until_not(away, async || other.get(WHOAMI, alice).await)
        .await
        .ok();
    let bobs = until_not(away, async || other.get(WHOAMI, bob).await).await;
    bobs.error(401, "M_USER_LOCKED");

    // A lock that is made as soon as it can be made again ends the request that waited through it.
    let path = "/_matrix/client/v1/admin/lock/@alice:localhost";
    let lock = async || {
        let body = serde_json::json!({ "locked": true });
        other.put(path, &processes.admin, body).await
    };
    until_not(away, lock).await.ok();
    let (answer, _) = timeout(BOUND, waiting.answer()).await.expect("it ends");
    answer.error(401, "M_USER_LOCKED");
}
