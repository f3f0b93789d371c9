//! The tables of the log: how a database of the first version gets them, who may write them, and how
//! old entries are deleted.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use postgres::Cluster;
use tower_account_status::{
    RestrictionKind::Locked,
    RestrictionStore, UserId,
    store::{
        AuditEntry, AuditLog, AuditQuery, ChangeRecord, Channel, PostgresOptions, PostgresStore,
        SqliteOptions, SqliteStore,
    },
};

/// Far more than it takes: a machine may be busy.
const SOON: Duration = Duration::from_secs(60);

async fn entries(store: &impl AuditLog) -> Vec<AuditEntry> {
    let query = AuditQuery::new().with_limit(10_000);
    store.audit(&query).await.map_err(Into::into).unwrap()
}

async fn set(store: &impl RestrictionStore, user: &str) {
    let user = UserId::from(user);
    let set = store.set_restriction(&user, Locked.into()).await;
    set.map_err(Into::into).unwrap();
}

fn lifted() -> ChangeRecord {
    ChangeRecord::through(Channel::SERVER)
}

async fn a_restriction_of_the_first_version(store: &(impl RestrictionStore + AuditLog)) {
    let alice = UserId::from("@alice:x");
    let record = store.record(&alice, Locked).await.map_err(Into::into);
    let record = record.unwrap().unwrap();
    assert_eq!(record.set_by().map(UserId::as_str), Some("@mod:x"));
    assert_eq!(
        entries(store).await,
        [],
        "nothing is known of what was before"
    );
    let lifted = store.lift_restriction(&alice, Locked, &lifted()).await;
    assert!(lifted.map_err(Into::into).unwrap());
    let entries = entries(store).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].restriction().reason(), Some("before"));
}

#[tokio::test]
async fn a_sqlite_file_of_the_first_version_gets_the_log_and_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE restrictions (
            user_id TEXT NOT NULL CHECK (user_id <> ''),
            kind TEXT NOT NULL CHECK (kind IN ('deactivated', 'locked', 'suspended')),
            reason TEXT,
            until INTEGER CHECK (until <= 0 OR until >= 100000000000000),
            set_by TEXT,
            set_at INTEGER NOT NULL CHECK (set_at <= 0 OR set_at >= 100000000000000),
            PRIMARY KEY (user_id, kind)
        ) STRICT, WITHOUT ROWID;
        PRAGMA application_id = 1296126836; PRAGMA user_version = 1;
        INSERT INTO restrictions VALUES ('@alice:x', 'locked', 'before', NULL, '@mod:x', 0);",
    )
    .unwrap();
    // A gateway of the first version goes on: its changes are those of a program that does not say
    // who it is.
    let store = SqliteStore::open(&path).await.unwrap();
    a_restriction_of_the_first_version(&store).await;
    old.execute_batch(
        "INSERT INTO restrictions VALUES ('@bob:x', 'locked', NULL, NULL, '@mod:x', 0)",
    )
    .unwrap();
    let newest = &entries(&store).await[0];
    assert_eq!(*newest.change().channel(), Channel::SQL);
    assert_eq!(newest.change().actor().unwrap(), "@mod:x");
    drop(store);
    // And it is brought up to date once.
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(entries(&store).await.len(), 2);
}

#[tokio::test]
async fn a_postgresql_schema_of_the_first_version_gets_the_log_and_keeps_its_rows() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    client
        .batch_execute(
            r#"CREATE SCHEMA account_status;
            CREATE TABLE account_status.schema_version (
                one boolean PRIMARY KEY DEFAULT true CHECK (one),
                version integer NOT NULL
            );
            CREATE TABLE account_status.restrictions (
                user_id text COLLATE "C" NOT NULL CHECK (user_id <> ''),
                kind text COLLATE "C" NOT NULL
                    CHECK (kind IN ('deactivated', 'locked', 'suspended')),
                reason text,
                until timestamptz,
                set_by text,
                set_at timestamptz NOT NULL DEFAULT now(),
                PRIMARY KEY (user_id, kind)
            );
            INSERT INTO account_status.schema_version (version) VALUES (1);
            INSERT INTO account_status.restrictions (user_id, kind, reason, set_by)
                VALUES ('@alice:x', 'locked', 'before', '@mod:x')"#,
        )
        .await
        .unwrap();
    let store = PostgresStore::connect(&url).await.unwrap();
    a_restriction_of_the_first_version(&store).await;
    let row = client
        .query_one("SELECT version FROM account_status.schema_version", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 2);
    drop(store);
    let store = PostgresStore::connect(&url).await.unwrap();
    assert_eq!(entries(&store).await.len(), 1);
}

#[tokio::test]
async fn a_role_that_changes_restrictions_cannot_change_the_log() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let owner = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    let role = format!("server_{}", url.rsplit_once('_').unwrap().1);
    client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA account_status TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA account_status TO {role};
             GRANT INSERT, UPDATE, DELETE, TRUNCATE ON account_status.restrictions TO {role}"
        ))
        .await
        .unwrap();
    let as_role = url.replace("user=postgres", &format!("user={role}"));
    let store = PostgresStore::connect(&as_role).await.unwrap();
    set(&store, "@a:x").await;
    set(&owner, "@b:x").await;
    let entries = entries(&store).await;
    let users: Vec<_> = entries.iter().map(AuditEntry::database_user).collect();
    assert_eq!(users, [Some("postgres"), Some(&*role)]);
    let client = cluster.client(&as_role).await;
    for statement in [
        "INSERT INTO account_status.audit (recorded_at, user_id, kind, action, channel, made_at, \
         database_user) VALUES (now(), '@a:x', 'locked', 'lifted', 'sql', now(), 'postgres')",
        "UPDATE account_status.audit SET actor = '@somebody:x'",
        "DELETE FROM account_status.audit",
        "TRUNCATE account_status.audit",
    ] {
        let error = client.batch_execute(statement).await.unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("permission denied"), "{statement}: {error}");
    }
    client
        .batch_execute("TRUNCATE account_status.restrictions")
        .await
        .unwrap();
    let after = AuditQuery::new().with_limit(2);
    for entry in owner.audit(&after).await.unwrap() {
        assert_eq!(entry.database_user(), Some(&*role));
        assert_eq!(entry.action().as_str(), "lifted");
    }
}

#[tokio::test]
async fn a_trigger_that_was_disabled_is_there_again_after_a_start() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let client = cluster.client(&url).await;
    let table = "ALTER TABLE account_status.restrictions";
    for disable in [
        format!("{table} DISABLE TRIGGER record_change"),
        // It would not fire if logical replication changes the table.
        format!("{table} ENABLE TRIGGER record_truncate"),
        format!("DROP TRIGGER record_change ON {}", &table[12..]),
    ] {
        client.batch_execute(&disable).await.unwrap();
        let store = PostgresStore::connect(&url).await.unwrap();
        let before = entries(&store).await.len();
        set(&store, "@a:x").await;
        let replicated = "SET session_replication_role = replica;
            TRUNCATE account_status.restrictions; RESET session_replication_role";
        client.batch_execute(replicated).await.unwrap();
        assert_eq!(entries(&store).await.len(), before + 2, "{disable}");
    }
}

#[tokio::test]
async fn an_application_of_postgresql_may_say_who_it_is() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    let insert = "INSERT INTO account_status.restrictions (user_id, kind) VALUES";
    client
        .batch_execute(&format!(
            r#"BEGIN; SELECT set_config('account_status.change',
                '{{"actor": "@mod:x", "channel": "panel", "note": "report 4711"}}', true);
            {insert} ('@a:x', 'locked'); COMMIT; {insert} ('@b:x', 'locked')"#
        ))
        .await
        .unwrap();
    let entries = entries(&store).await;
    let change = entries[1].change();
    assert_eq!(change.actor().unwrap(), "@mod:x");
    assert_eq!(
        (change.channel().as_str(), change.note()),
        ("panel", Some("report 4711"))
    );
    assert_eq!(
        *entries[0].change().channel(),
        Channel::SQL,
        "the setting has ended"
    );
}

/// What the entries say that the table holds: each key's newest that is not a lift.
async fn held(store: &impl AuditLog) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for entry in entries(store).await.iter().rev() {
        let row = |reason: &str| format!("{} {} {reason}", entry.user(), entry.kind().as_str());
        held.retain(|kept: &String| !kept.starts_with(&row("")));
        if entry.action().as_str() == "set" {
            held.insert(row(entry.restriction().reason().unwrap_or_default()));
        }
    }
    held
}

async fn table(store: &impl RestrictionStore) -> BTreeSet<String> {
    let accounts = store.restricted(None, 1000).await.map_err(Into::into);
    let mut table = BTreeSet::new();
    for (user, records) in accounts.unwrap() {
        for record in records {
            let reason = record.restriction().reason().unwrap_or_default();
            table.insert(format!("{user} {} {reason}", record.kind().as_str()));
        }
    }
    table
}

#[tokio::test]
async fn whatever_statement_writes_sqlites_table_the_log_follows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    for statement in [
        "INSERT INTO restrictions VALUES ('@a:x', 'locked', '1', NULL, NULL, 0), \
         ('@b:x', 'locked', '2', NULL, NULL, 0), ('@c:x', 'suspended', '3', NULL, NULL, 0)",
        // These remove a row without a DELETE.
        "REPLACE INTO restrictions VALUES ('@a:x', 'locked', '4', NULL, NULL, 0)",
        "UPDATE OR REPLACE restrictions SET user_id = '@b:x' WHERE user_id = '@a:x'",
        "INSERT OR IGNORE INTO restrictions VALUES ('@b:x', 'locked', '5', NULL, NULL, 0)",
        "UPDATE OR IGNORE restrictions SET kind = 'locked', user_id = '@b:x'",
        "PRAGMA recursive_triggers = ON; \
         REPLACE INTO restrictions VALUES ('@b:x', 'locked', '6', NULL, NULL, 0)",
        "DELETE FROM restrictions",
    ] {
        raw.execute_batch(statement).unwrap();
        assert_eq!(held(&store).await, table(&store).await, "{statement}");
    }
}

#[tokio::test]
async fn whatever_statement_writes_postgresqls_table_the_log_follows() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let store = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    client
        .batch_execute("SET search_path = account_status")
        .await
        .unwrap();
    for statement in [
        "INSERT INTO restrictions (user_id, kind, reason) VALUES ('@a:x', 'locked', '1'), \
         ('@b:x', 'locked', '2'), ('@c:x', 'suspended', '3')",
        r#"COPY restrictions (user_id, kind) FROM PROGRAM 'printf "@d:x\tlocked\n@e:x\tlocked\n"'"#,
        "MERGE INTO restrictions r USING (VALUES ('@a:x'), ('@f:x')) n (user_id) \
         ON r.user_id = n.user_id WHEN MATCHED THEN UPDATE SET reason = '4' \
         WHEN NOT MATCHED THEN INSERT (user_id, kind) VALUES (n.user_id, 'locked')",
        "WITH gone AS (DELETE FROM restrictions WHERE user_id < '@c' RETURNING *) \
         INSERT INTO restrictions SELECT user_id || 'y', kind, reason, until, set_by, set_at FROM gone",
        "DO $$ BEGIN DELETE FROM restrictions; RAISE EXCEPTION 'no'; \
         EXCEPTION WHEN OTHERS THEN NULL; END $$",
        "SET session_replication_role = replica; DELETE FROM restrictions WHERE user_id > '@d'",
        "TRUNCATE restrictions",
    ] {
        client.batch_execute(statement).await.unwrap();
        assert_eq!(held(&store).await, table(&store).await, "{statement}");
    }
    assert_eq!(table(&store).await.len(), 0);
}

/// Waits until all but the newest entry has left, while restrictions change.
async fn until_pruned(store: &(impl RestrictionStore + AuditLog)) {
    let since = Instant::now();
    loop {
        set(store, "@new:x").await;
        let entries = entries(store).await;
        if entries.iter().all(|entry| entry.user() == "@new:x") {
            return;
        }
        assert!(since.elapsed() < SOON, "{} are left", entries.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn entries_older_than_the_retention_leave_in_pieces_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let keeping = SqliteStore::open(&path).await.unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1200)
         INSERT INTO audit (recorded_at, user_id, kind, action, channel, made_at)
         SELECT (unixepoch() - 7200) * 1000000 + n, '@old:x', 'locked', 'set', 'sql', 0 FROM n",
    )
    .unwrap();
    let age = Duration::from_secs(3600);
    let options = SqliteOptions::new().with_audit_retention(age);
    let pruning = options.open(&path).await.unwrap();
    until_pruned(&pruning).await;
    assert!(!entries(&keeping).await.is_empty(), "what is young stays");
}

#[tokio::test]
async fn entries_older_than_the_retention_leave_in_pieces_postgresql() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let keeping = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    client
        .batch_execute(
            "INSERT INTO account_status.audit (recorded_at, user_id, kind, action, channel, \
             made_at, database_user) SELECT now() - interval '2 hours', '@old:x', 'locked', 'set', \
             'sql', now(), 'postgres' FROM generate_series(1, 2500)",
        )
        .await
        .unwrap();
    let options = PostgresOptions::new(&url).unwrap();
    let age = Duration::from_secs(3600);
    let pruning = options.with_audit_retention(age).connect().await.unwrap();
    until_pruned(&pruning).await;
    assert!(!entries(&keeping).await.is_empty(), "what is young stays");
}
