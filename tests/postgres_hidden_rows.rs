//! Rules 19 and 21 for `PostgresStore`: what hides rows of the table, or loses them, without an error of
//! PostgreSQL. A restricted account must not become active by it.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;

use std::time::{Duration, Instant, UNIX_EPOCH};

use postgres::Cluster;
use postgres_store::{
    HOUR, SOON, alice, chain, set_options, until_not_active, until_peeked, within,
};
use tokio::time::timeout;
use tokio_postgres::Client;
use tower_account_status::{
    AccountState, Restriction,
    RestrictionKind::{Locked, Suspended},
    RestrictionRecord, RestrictionStore as _, UserId,
    store::{AuditLog as _, AuditQuery, PostgresOptions, PostgresStore},
};

const TABLE: &str = "account_status.restrictions";

/// A role that may do what the documentation of `PostgresStore` lists, and its connection string.
async fn role(client: &Client, url: &str) -> (String, String) {
    let role = format!("reader_{}", url.rsplit_once('_').unwrap().1);
    client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA account_status TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA account_status TO {role};
             GRANT INSERT, UPDATE, DELETE ON {TABLE} TO {role}"
        ))
        .await
        .unwrap();
    let theirs = url.replace("user=postgres", &format!("user={role}"));
    (role, theirs)
}

#[tokio::test]
async fn rule_19_row_level_security_makes_nobody_active() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let client = cluster.client(&url).await;
    let (_, theirs) = role(&client, &url).await;
    let store = set_options(&theirs)
        .with_heartbeat(Duration::from_millis(200))
        .with_reread_interval(Duration::from_millis(500))
        .connect()
        .await
        .unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    until_peeked(&store, &alice(), &Locked.into()).await;
    let secure = format!("ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY");
    client.batch_execute(&secure).await.unwrap();
    let since = Instant::now();
    timeout(SOON, store.until_listening(false)).await.unwrap();
    within(Duration::from_millis(500), since);
    for _ in 0..3 {
        let error = store.state_of(&alice()).await.unwrap_err();
        assert!(error.to_string().contains("BYPASSRLS"), "{}", chain(&error));
        assert_ne!(store.peek_state_of(&alice()), Some(AccountState::ACTIVE));
        assert!(store.states_of(&[alice()]).await[0].is_err());
        store.record(&alice(), Locked).await.unwrap_err();
        store.restricted(None, 10).await.unwrap_err();
        let set = store.set_restriction(&alice(), Suspended.into()).await;
        set.unwrap_err();
    }
    // Nor does a store that connects now answer.
    let later = PostgresOptions::new(&theirs).unwrap().connect().await;
    if let Ok(later) = later {
        later.state_of(&alice()).await.unwrap_err();
    }
    set_options(&theirs).connect().await.unwrap_err();
    // Whom it does not concern, it does not concern.
    let owner = PostgresStore::connect(&url).await.unwrap();
    assert_eq!(owner.state_of(&alice()).await.unwrap(), Locked.into());
    let open = format!("ALTER TABLE {TABLE} DISABLE ROW LEVEL SECURITY");
    client.batch_execute(&open).await.unwrap();
    assert_eq!(store.state_of(&alice()).await.unwrap(), Locked.into());
    until_peeked(&store, &alice(), &Locked.into()).await;
}

#[tokio::test]
async fn rule_19_row_level_security_hides_no_entry_of_the_log() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let client = cluster.client(&url).await;
    let (_, theirs) = role(&client, &url).await;
    let store = PostgresStore::connect(&theirs).await.unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    assert_eq!(store.audit(&AuditQuery::new()).await.unwrap().len(), 1);
    let secure = "ALTER TABLE account_status.audit ENABLE ROW LEVEL SECURITY";
    client.batch_execute(secure).await.unwrap();
    store.audit(&AuditQuery::new()).await.unwrap_err();
}

/// Each may be set for a role, or for a database.
const SETTINGS: [&str; 15] = [
    // In `decoy` there are empty tables of the same names.
    "search_path = decoy, public, pg_catalog",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_deferrable = on",
    "synchronous_commit = off",
    "standard_conforming_strings = off",
    "backslash_quote = on",
    "client_encoding = 'LATIN1'",
    "\"DateStyle\" = 'SQL, DMY'",
    "\"TimeZone\" = 'Asia/Kolkata'",
    "\"IntervalStyle\" = 'sql_standard'",
    "bytea_output = 'escape'",
    "row_security = on",
    "transform_null_equals = on",
    "plan_cache_mode = force_generic_plan",
];

#[tokio::test]
async fn rule_19_no_setting_of_the_role_hides_a_restriction_or_loses_it() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let client = cluster.client(&url).await;
    let (role, theirs) = role(&client, &url).await;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA decoy; GRANT USAGE ON SCHEMA decoy TO {role}; \
             CREATE TABLE decoy.restrictions (LIKE {TABLE}); \
             CREATE TABLE decoy.schema_version (LIKE account_status.schema_version); \
             CREATE TABLE decoy.audit (LIKE account_status.audit); \
             GRANT SELECT ON ALL TABLES IN SCHEMA decoy TO {role}; \
             CREATE TABLE seen (setting text); \
             CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ \
             BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); \
             RETURN NULL; END $$; CREATE TRIGGER see AFTER INSERT ON {TABLE} \
             FOR EACH ROW EXECUTE FUNCTION public.see()"
        ))
        .await
        .unwrap();
    let restriction = Restriction::new(Locked)
        .with_reason("E\\'spamé 💥")
        .with_until(UNIX_EPOCH + Duration::from_secs(4_000_000_000));
    let state = AccountState::from(restriction.clone());
    for (number, setting) in SETTINGS.into_iter().enumerate() {
        let alter = format!("ALTER ROLE {role} RESET ALL; ALTER ROLE {role} SET {setting}");
        client.batch_execute(&alter).await.unwrap();
        let user = UserId::from(format!("@user{number}:example.org"));
        let before = set_options(&theirs).connect().await.unwrap();
        let record = RestrictionRecord::new(restriction.clone()).with_set_by("@mod:example.org");
        before.set_restriction(&user, record).await.unwrap();
        until_peeked(&before, &user, &state).await;
        let store = set_options(&theirs).connect().await.unwrap();
        assert_eq!(
            store.peek_state_of(&user).as_ref(),
            Some(&state),
            "{setting}"
        );
        assert_eq!(store.state_of(&user).await.unwrap(), state, "{setting}");
        let found = store.record(&user, Locked).await.unwrap().unwrap();
        assert_eq!(found.restriction(), &restriction, "{setting}");
        let log = store.audit(&AuditQuery::new()).await.unwrap();
        assert_eq!(log.len(), number + 1, "{setting}");
    }
    let off = "SELECT count(*) FROM seen WHERE setting = 'off'";
    let off: i64 = client.query_one(off, &[]).await.unwrap().get(0);
    assert_eq!(off, 0, "a crash may undo what was acknowledged");
    let read_only = format!(
        "ALTER ROLE {role} RESET ALL; ALTER ROLE {role} SET default_transaction_read_only = on"
    );
    client.batch_execute(&read_only).await.unwrap();
    PostgresStore::connect(&theirs).await.unwrap_err();
}

#[tokio::test]
async fn rule_19_a_right_on_some_columns_is_an_error() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    drop(PostgresStore::connect(&url).await.unwrap());
    let client = cluster.client(&url).await;
    let (role, theirs) = role(&client, &url).await;
    let store = PostgresStore::connect(&theirs).await.unwrap();
    store
        .set_restriction(&alice(), Locked.into())
        .await
        .unwrap();
    let revoke = format!(
        "REVOKE SELECT ON {TABLE} FROM {role}; GRANT SELECT (user_id, kind) ON {TABLE} TO {role}"
    );
    client.batch_execute(&revoke).await.unwrap();
    store.state_of(&alice()).await.unwrap_err();
    set_options(&theirs).connect().await.unwrap_err();
}

/// What has the table's name and may have other rows, or lose them.
#[tokio::test]
async fn rule_19_what_is_no_ordinary_table_is_not_believed() {
    let cluster = Cluster::shared();
    for (what, becomes) in [
        ("unlogged", format!("ALTER TABLE {TABLE} SET UNLOGGED")),
        (
            "a view",
            format!(
                "ALTER TABLE {TABLE} RENAME TO real; \
                 CREATE VIEW {TABLE} AS SELECT * FROM account_status.real WHERE false"
            ),
        ),
        (
            "partitioned",
            format!(
                "ALTER TABLE {TABLE} RENAME TO real; \
                 CREATE TABLE {TABLE} (LIKE account_status.real) PARTITION BY LIST (kind); \
                 CREATE TABLE account_status.others PARTITION OF {TABLE} DEFAULT; \
                 CREATE TRIGGER notify_change AFTER INSERT OR UPDATE OR DELETE ON {TABLE} \
                 FOR EACH ROW EXECUTE FUNCTION account_status.notify_change(); \
                 CREATE TRIGGER notify_truncate AFTER TRUNCATE ON {TABLE} \
                 FOR EACH STATEMENT EXECUTE FUNCTION account_status.notify_change(); \
                 ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER notify_change, \
                 ENABLE ALWAYS TRIGGER notify_truncate"
            ),
        ),
    ] {
        let url = cluster.database().await;
        let store = set_options(&url)
            .with_heartbeat(Duration::from_millis(200))
            .with_reread_interval(HOUR)
            .connect()
            .await
            .unwrap();
        let client = cluster.client(&url).await;
        client.batch_execute(&becomes).await.unwrap();
        let since = Instant::now();
        until_not_active(&store, &alice()).await;
        within(Duration::from_millis(200), since);
        timeout(SOON, store.until_listening(false))
            .await
            .expect(what);
        // What is replaced may be found again; what cannot be believed is not.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!store.is_listening(), "{what}");
        PostgresStore::connect(&url).await.expect_err(what);
    }
}
