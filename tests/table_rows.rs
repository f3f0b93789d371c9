//! The tables as a public interface: what may be written into them by hand or by a tool, as
//! `docs/stores.md` says.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::time::{Duration, SystemTime};

use postgres::Cluster;
use rusqlite::Connection;
use tower_account_status::{
    AccountState, Restriction, RestrictionKind, RestrictionStore,
    store::{PostgresStore, SqliteStore},
};

async fn in_force(store: &impl RestrictionStore, user: &str) -> Option<RestrictionKind> {
    let Ok(state) = store.state_of(user).await else {
        panic!("{user} cannot be read");
    };
    state.in_force(SystemTime::now()).map(Restriction::kind)
}

#[tokio::test]
async fn a_row_in_sqlite_that_is_not_meant_so_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let raw = Connection::open(&path).unwrap();
    let insert = |user: &str, kind: &str, until: &str, set_at: &str| {
        raw.execute_batch(&format!(
            "INSERT INTO restrictions (user_id, kind, until, set_at) \
             VALUES ('{user}', '{kind}', {until}, {set_at})"
        ))
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let later = now.unwrap() + Duration::from_secs(3600);
    let (micros, millis, seconds) = (later.as_micros(), later.as_millis(), later.as_secs());
    insert("", "locked", "NULL", "0").unwrap_err();
    insert("@a:x", "banned", "NULL", "0").unwrap_err();
    insert("@a:x", "locked", &millis.to_string(), "0").unwrap_err();
    insert("@a:x", "locked", &seconds.to_string(), "0").unwrap_err();
    insert("@a:x", "locked", "'2030-01-01'", "0").unwrap_err();
    insert("@a:x", "locked", "NULL", &millis.to_string()).unwrap_err();
    assert_eq!(in_force(&store, "@a:x").await, None);

    insert("@a:x", "locked", &micros.to_string(), "0").unwrap();
    insert("@b:x", "locked", "NULL", &micros.to_string()).unwrap();
    insert("@c:x", "locked", "9223372036854775807", "0").unwrap();
    insert("@d:x", "locked", "-9223372036854775808", "0").unwrap();
    for (user, expected) in [
        ("@a:x", true),
        ("@b:x", true),
        ("@c:x", true),
        ("@d:x", false),
    ] {
        assert_eq!(in_force(&store, user).await.is_some(), expected, "{user}");
    }
}

#[tokio::test]
async fn a_row_in_postgresql_that_is_not_meant_so_is_refused() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    let insert = async |user: &str, kind: &str, until: &str| {
        let insert = format!(
            "INSERT INTO account_status.restrictions (user_id, kind, until) \
             VALUES ('{user}', '{kind}', {until})"
        );
        client.batch_execute(&insert).await
    };
    insert("", "locked", "NULL").await.unwrap_err();
    insert("@a:x", "banned", "NULL").await.unwrap_err();
    insert("@a:x", "locked", "1764000000000").await.unwrap_err();
    assert_eq!(in_force(&store, "@a:x").await, None);

    for (user, until, expected) in [
        ("@a:x", "now() + interval '1 hour'", true),
        ("@b:x", "NULL", true),
        ("@c:x", "'infinity'", true),
        ("@d:x", "'294276-12-31 23:59:59+00'", true),
        ("@e:x", "'-infinity'", false),
        ("@f:x", "now() - interval '1 hour'", false),
    ] {
        insert(user, "locked", until).await.unwrap();
        assert_eq!(in_force(&store, user).await.is_some(), expected, "{user}");
    }
}

/// An end shortly after 1970 has passed, and cannot be told from milliseconds in the table.
#[tokio::test]
async fn an_end_that_the_table_cannot_hold_is_stored_as_one_that_has_passed_alike() {
    let store = SqliteStore::open_in_memory().await.unwrap();
    for seconds in [1, 1000, 90_000_000] {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let lock = Restriction::new(RestrictionKind::Locked).with_until(end);
        store
            .set_restriction(&"@a:x".into(), lock.into())
            .await
            .unwrap();
        assert_eq!(in_force(&store, "@a:x").await, None);
        assert_ne!(store.state_of("@a:x").await.unwrap(), AccountState::ACTIVE);
    }
}

#[tokio::test]
async fn an_empty_user_id_is_refused_and_the_error_says_so() {
    let cluster = Cluster::shared();
    let lock = || RestrictionKind::Locked.into();
    let store = PostgresStore::connect(&cluster.database().await).await;
    let error = store.unwrap().set_restriction(&"".into(), lock()).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("user id empty"), "{text}");
    let store = SqliteStore::open_in_memory().await.unwrap();
    let text = store.set_restriction(&"".into(), lock()).await;
    let text = text.unwrap_err().to_string();
    assert!(text.contains("user id empty"), "{text}");
}

#[tokio::test]
async fn the_documentations_statements_do_what_it_says() {
    let docs = include_str!("../docs/stores.md");
    let block = docs.split_once("```sql\n").unwrap().1;
    let (block, _) = block.split_once("```").unwrap();
    let (postgres, sqlite) = block.split_once("-- SQLite").unwrap();
    let (insert, delete) = postgres.split_once("DELETE").unwrap();
    let alice = "@alice:example.org";

    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    client.batch_execute(insert).await.unwrap();
    assert!(in_force(&store, alice).await.is_some());
    let delete = format!("DELETE{delete}");
    client.batch_execute(&delete).await.unwrap();
    assert!(in_force(&store, alice).await.is_none());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(sqlite).unwrap();
    assert!(in_force(&store, alice).await.is_some());
}
