//! `PostgresStore`: one database for many processes. `conformance.rs` has what every store promises, and
//! `postgres_kills.rs` what happens when the server is killed. Here is what only a database shared over a
//! network can get wrong.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;

use std::time::Duration;

use postgres::Cluster;
use postgres_store::{SOON, alice, chain, until_peeked, with_set};
use tokio::{task::JoinSet, time::timeout};
use tower_account_status::store::{ChangeRecord, Channel};
use tower_account_status::{
    AccountState, Restriction,
    RestrictionKind::*,
    RestrictionRecord, RestrictionStore as _, UserId,
    store::{PostgresOptions, PostgresStore},
};

#[tokio::test]
async fn a_change_through_one_store_is_announced_by_another() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let one = PostgresStore::connect(&url).await.unwrap();
    let other = with_set(&url).await;
    let mut news =
        [&one, &other].map(|store| store.restriction_changes().unwrap().subscribe(&alice()));

    one.set_restriction(&alice(), Locked.into()).await.unwrap();
    for news in &mut news {
        timeout(SOON, news.changed())
            .await
            .expect("it is announced");
    }
    assert_eq!(other.peek_state_of(&alice()), Some(Locked.into()));
    assert_eq!(one.peek_state_of(&alice()), None);

    other
        .lift_restriction(&alice(), Locked, &change())
        .await
        .unwrap();
    until_peeked(&other, &alice(), &AccountState::ACTIVE).await;
    timeout(SOON, news[0].changed())
        .await
        .expect("it is announced");
    assert!(one.state_of(&alice()).await.unwrap().is_active());
}

#[tokio::test]
async fn what_a_person_changes_with_psql_is_heard_too() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = with_set(&url).await;
    let client = cluster.client(&url).await;
    let run = |sql: &'static str| {
        let client = &client;
        async move { client.batch_execute(sql).await.unwrap() }
    };
    let (bob, carl) = (UserId::from("@bob:x"), UserId::from("@carl:x"));

    run(
        "INSERT INTO account_status.restrictions (user_id, kind, until) \
         VALUES ('@bob:x', 'locked', 'infinity')",
    )
    .await;
    let mut news = store.restriction_changes().unwrap().subscribe(&bob);
    let state = timeout(SOON, async {
        loop {
            match store.peek_state_of(&bob) {
                Some(state) if !state.is_active() => return state,
                _ => drop(timeout(Duration::from_millis(100), news.changed()).await),
            }
        }
    });
    let state = state.await.expect("the insertion is heard");
    let deciding = state.in_force(std::time::SystemTime::now()).unwrap();
    assert_eq!(deciding.kind(), Locked);

    run("UPDATE account_status.restrictions SET user_id = '@carl:x', until = NULL").await;
    until_peeked(&store, &bob, &AccountState::ACTIVE).await;
    until_peeked(&store, &carl, &Locked.into()).await;
    run("DELETE FROM account_status.restrictions").await;
    until_peeked(&store, &carl, &AccountState::ACTIVE).await;

    run("INSERT INTO account_status.restrictions (user_id, kind) \
         SELECT '@many' || n || ':x', 'suspended' FROM generate_series(1, 25000) n")
    .await;
    until_peeked(&store, &"@many25000:x".into(), &Suspended.into()).await;
    until_peeked(&store, &"@many1:x".into(), &Suspended.into()).await;
    run("TRUNCATE account_status.restrictions").await;
    until_peeked(&store, &"@many25000:x".into(), &AccountState::ACTIVE).await;
}

#[tokio::test]
async fn a_change_that_is_rolled_back_is_not_made() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = with_set(&url).await;
    let client = cluster.client(&url).await;
    let insert = "INSERT INTO account_status.restrictions (user_id, kind) VALUES";
    client
        .batch_execute(&format!(
            "BEGIN; {insert} ('@bob:x', 'locked'); ROLLBACK; {insert} ('@carl:x', 'locked')"
        ))
        .await
        .unwrap();
    until_peeked(&store, &"@carl:x".into(), &Locked.into()).await;
    assert_eq!(store.peek_state_of("@bob:x"), Some(AccountState::ACTIVE));
}

#[tokio::test]
async fn a_user_id_too_long_for_a_notification_is_announced_all_the_same() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = with_set(&url).await;
    let other = PostgresStore::connect(&url).await.unwrap();
    let long = UserId::from(format!("@{}:x", "a".repeat(9000)));
    other.set_restriction(&long, Locked.into()).await.unwrap();
    until_peeked(&store, &long, &Locked.into()).await;
}

#[tokio::test]
async fn what_was_set_is_there_for_a_store_that_connects_later() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let record = RestrictionRecord::new(Restriction::new(Locked).with_reason("Spam"))
        .with_set_by("@mod:example.org");
    let store = PostgresStore::connect(&url).await.unwrap();
    store
        .set_restriction(&alice(), record.clone())
        .await
        .unwrap();
    drop(store);
    let store = with_set(&url).await;
    let state = AccountState::from(record.restriction().clone());
    assert_eq!(store.peek_state_of(&alice()), Some(state));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_says_so() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let client = cluster.client(&url).await;
    let newer = "UPDATE account_status.schema_version SET version = 7";
    client.batch_execute(newer).await.unwrap();
    let error = PostgresStore::connect(&url).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("schema is version 7"), "{text}");
    assert!(
        text.contains("newer version of tower-account-status"),
        "{text}"
    );
}

#[tokio::test]
async fn many_may_connect_to_a_new_database_at_the_same_time() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let mut connecting = JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        connecting.spawn(async move { PostgresStore::connect(&url).await });
    }
    for store in connecting.join_all().await {
        store.unwrap();
    }
}

#[tokio::test]
async fn migrated_by_hand_it_needs_no_right_to_make_tables_whatever_the_schemas_name() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let schema = "Müllers \"own\"; $$ '\\";
    let sql = PostgresStore::migration_sql(schema).unwrap();
    for _ in 0..2 {
        client.batch_execute(&sql).await.unwrap();
    }
    let quoted = "\"Müllers \"\"own\"\"; $$ '\\\"";
    let role = format!("poor_{}", url.rsplit_once('_').unwrap().1);
    client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {quoted} TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA {quoted} TO {role};
             GRANT INSERT, UPDATE, DELETE ON {quoted}.restrictions TO {role}"
        ))
        .await
        .unwrap();
    let poor = url.replace("user=postgres", &format!("user={role}"));
    let options = PostgresOptions::new(&poor).unwrap();
    let options = options.with_restricted_set_in_memory();
    let store = options.clone().with_schema(schema).connect().await.unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let other = options.clone().with_schema(schema).connect().await.unwrap();
    assert_eq!(other.peek_state_of(&alice()), Some(Locked.into()));
    other
        .lift_restriction(&alice(), Locked, &change())
        .await
        .unwrap();
    until_peeked(&store, &alice(), &AccountState::ACTIVE).await;

    let error = options.connect().await.unwrap_err();
    assert!(
        chain(&error).contains("permission denied"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn with_existing_tables_only_it_creates_nothing_and_says_what_is_missing() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let options = PostgresOptions::new(&url).unwrap();
    let cautious = options.clone().with_existing_tables_only();
    // Without a schema, in one that has no tables, and in one that is spelled otherwise.
    for made in ["SELECT 1", "CREATE SCHEMA account_status"] {
        client.batch_execute(made).await.unwrap();
        let error = cautious.clone().connect().await.unwrap_err().to_string();
        assert!(error.contains("\"account_status\""), "{error}");
        assert!(error.contains("start the server first"), "{error}");
    }
    drop(options.connect().await.unwrap());
    let misspelled = cautious.clone().with_schema("acount_status");
    let error = misspelled.connect().await.unwrap_err().to_string();
    assert!(error.contains("\"acount_status\""), "{error}");
    let schemas = "SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname LIKE 'a%count%'";
    let schemas: String = client.query_one(schemas, &[]).await.unwrap().get(0);
    assert_eq!(schemas, "account_status", "nothing was created");

    // An older version is migrated.
    let older =
        "DROP TABLE account_status.audit; UPDATE account_status.schema_version SET version = 1";
    client.batch_execute(older).await.unwrap();
    let store = cautious.connect().await.unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
}

#[tokio::test]
async fn rule_21_a_restriction_that_a_trigger_discards_is_not_acknowledged() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    let discards = "CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS \
                    'BEGIN RETURN NULL; END'; \
                    CREATE TRIGGER discard BEFORE INSERT ON account_status.restrictions \
                    FOR EACH ROW EXECUTE FUNCTION discard()";
    client.batch_execute(discards).await.unwrap();
    let error = store.set_restriction(&alice(), Locked.into()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("did not store it"), "{error}");
}

#[tokio::test]
async fn two_schemas_of_a_database_know_nothing_of_each_other() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let options = PostgresOptions::new(&url).unwrap();
    let one = options.clone().with_schema("one").connect().await.unwrap();
    let two = options.with_schema("two").connect().await.unwrap();
    one.set_restriction(&alice(), Locked.into()).await.unwrap();
    assert!(two.state_of(&alice()).await.unwrap().is_active());
}

#[tokio::test]
async fn what_it_cannot_hold_is_refused_and_says_so() {
    let cluster = Cluster::shared();
    let latin = cluster
        .database_with("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        .await;
    let error = PostgresStore::connect(&latin).await.unwrap_err();
    assert!(error.to_string().contains("encoding is LATIN1"), "{error}");

    let store = PostgresStore::connect(&cluster.database().await)
        .await
        .unwrap();
    let nul = UserId::from("@a\0b:x");
    let error = store
        .set_restriction(&nul, Locked.into())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("U+0000"), "{error}");
    assert!(store.state_of(&nul).await.unwrap().is_active());
    assert!(
        !store
            .lift_restriction(&nul, Locked, &change())
            .await
            .unwrap()
    );
    store
        .set_restriction(&"@a:x".into(), Locked.into())
        .await
        .unwrap();
    store
        .set_restriction(&"@aa:x".into(), Locked.into())
        .await
        .unwrap();
    let page = store.restricted(Some(&nul), 10).await.unwrap();
    let listed: Vec<_> = page.iter().map(|(user, _)| user.as_str()).collect();
    assert_eq!(listed, ["@a:x", "@aa:x"]);
}

#[tokio::test]
async fn rule_14_a_dropped_look_up_or_change_harms_no_other() {
    let cluster = Cluster::shared();
    let options = PostgresOptions::new(&cluster.database().await).unwrap();
    let store = options.with_pool_size(1).connect().await.unwrap();
    for number in 0..50 {
        let user = UserId::from(format!("@{number}:x"));
        // Dropped at whichever await point they have come to.
        drop(
            timeout(
                Duration::from_micros(number * 20),
                store.set_restriction(&user, Locked.into()),
            )
            .await,
        );
        drop(timeout(Duration::from_micros(number * 20), store.state_of(&user)).await);
    }
    store
        .set_restriction(&alice(), Suspended.into())
        .await
        .unwrap();
    assert_eq!(store.state_of(&alice()).await.unwrap(), Suspended.into());
}

fn change() -> ChangeRecord {
    ChangeRecord::through(Channel::SERVER)
}

#[tokio::test]
async fn the_future_of_a_look_up_is_small() {
    let cluster = Cluster::shared();
    let store = PostgresStore::connect(&cluster.database().await).await;
    let store = store.unwrap();
    let user = alice();
    let size = size_of_val(&store.state_of(&user));
    assert!(size <= 2048, "{size} bytes");
}
