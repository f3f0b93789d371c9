//! Several gateways on one PostgreSQL database.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use tower_account_status::{RestrictionKind, RestrictionStore, UserId, store::PostgresStore};

use crate::{
    SYNC, WHOAMI, assert_locked, gateway::Gateway, homeserver::BOUND, postgres::Cluster,
    upstream::Upstream,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_through_one_gateway_ends_a_sync_at_another() {
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await;
    let cluster = cluster.expect("PostgreSQL starts");
    let settings = cluster.database().await;
    let (_, name) = settings.split_once("dbname=").expect("a database");
    let database = format!("postgres://postgres@127.0.0.1:{}/{name}", cluster.port());
    let upstream = Upstream::start().await;
    let arguments = ["--database", &*database];
    let one = Gateway::start_on(&upstream.address, &arguments).await;
    let other = Gateway::start_on(&upstream.address, &arguments).await;
    let sync = tokio::spawn({
        let client = (*other).clone();
        async move { client.get(&format!("{SYNC}?timeout=60000"), "alice").await }
    });
    let limit = timeout(BOUND, async {
        while upstream.waiting() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    });
    limit.await.expect("the sync reaches the homeserver");
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    one.put(lock, "admin", json!({ "locked": true })).await.ok();
    assert_locked(&sync.await.expect("no panic"));
    assert_locked(&other.get(WHOAMI, "alice").await);
    let seen = other.get(lock, "admin").await.ok();
    assert_eq!(seen, json!({ "locked": true }));
    let store = PostgresStore::connect(&settings)
        .await
        .expect("the same database");
    let alice = UserId::from("@alice:localhost");
    let record = store.record(&alice, RestrictionKind::Locked).await;
    let record = record.expect("an answer").expect("a lock on record");
    assert_eq!(
        record.set_by().map(UserId::as_str),
        Some("@admin:localhost")
    );
}
