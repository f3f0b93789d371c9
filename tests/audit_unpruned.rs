//! A log of changes whose old entries cannot be deleted says so in the process' own log: once, and not
//! every time that it tries.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/warnings.rs"]
mod warnings;

use std::time::{Duration, Instant};

use postgres::Cluster;
use tower_account_status::{
    RestrictionKind::Locked,
    RestrictionStore, UserId,
    store::{AuditLog, AuditQuery, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore},
};
use warnings::{listen, warnings};

/// Far more than it takes: a machine may be busy.
const SOON: Duration = Duration::from_secs(60);

/// How old an entry may get here.
const RETENTION: Duration = Duration::from_secs(1);

async fn warned_once(cause: &str, store: &(impl RestrictionStore + AuditLog)) {
    let since = Instant::now();
    while warnings(cause).is_empty() {
        assert!(since.elapsed() < SOON, "nothing was said of {cause}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It goes on working, and does not repeat itself.
    let user = UserId::from("@alice:x");
    let since = Instant::now();
    while since.elapsed() < RETENTION * 3 {
        let set = store.set_restriction(&user, Locked.into()).await;
        set.map_err(Into::into).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = warnings(cause);
    assert_eq!(said.len(), 1, "{said:?}");
    let expected = "old entries of the log of changes were not deleted";
    assert!(said[0].contains(expected), "{said:?}");
    // The entries are still there.
    let query = AuditQuery::new().with_user("@old:x");
    let entries = store.audit(&query).await.map_err(Into::into).unwrap();
    assert_eq!(entries.len(), 1);
}

#[tokio::test]
async fn old_entries_that_sqlite_does_not_delete_are_told_of_once() {
    listen();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "INSERT INTO audit (recorded_at, user_id, kind, action, channel, made_at)
             VALUES (0, '@old:x', 'locked', 'set', 'sql', 0);
         CREATE TRIGGER keeps BEFORE DELETE ON audit BEGIN
             SELECT RAISE(ABORT, 'this log is kept');
         END",
    )
    .unwrap();
    let options = SqliteOptions::new()
        .with_poll_interval(Duration::from_millis(10))
        .with_audit_retention(RETENTION);
    let store = options.open(&path).await.unwrap();
    warned_once("this log is kept", &store).await;
}

#[tokio::test]
async fn old_entries_that_a_role_of_postgresql_may_not_delete_are_told_of_once() {
    listen();
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let client = cluster.client(&url).await;
    client
        .batch_execute(
            "CREATE ROLE server LOGIN; GRANT USAGE ON SCHEMA account_status TO server;
             GRANT SELECT ON ALL TABLES IN SCHEMA account_status TO server;
             GRANT INSERT, UPDATE, DELETE ON account_status.restrictions TO server;
             INSERT INTO account_status.audit (recorded_at, user_id, kind, action, channel,
                 made_at, database_user)
             VALUES ('epoch', '@old:x', 'locked', 'set', 'sql', 'epoch', 'postgres')",
        )
        .await
        .unwrap();
    let as_server = url.replace("user=postgres", "user=server");
    let options = PostgresOptions::new(&as_server).unwrap();
    let options = options.with_audit_retention(RETENTION);
    let store = options.connect().await.unwrap();
    warned_once("permission denied", &store).await;
}
