//! The log of changes of both database stores (`store::AuditLog`): a change is in it if and only if
//! it was made, whoever made it. Under kills: `sqlite_kills.rs`, `postgres_kills.rs`.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::{
    collections::HashSet,
    fmt::Debug,
    sync::Arc,
    time::{Duration, SystemTime},
};

use postgres::Cluster;
use tempfile::TempDir;
use tower_account_status::{
    Restriction,
    RestrictionKind::{Locked, Suspended},
    RestrictionRecord, RestrictionStore, UserId,
    store::{
        AuditAction::{Lifted, Set},
        AuditEntry, AuditLog, AuditQuery, ChangeRecord, Channel, PostgresOptions, PostgresStore,
        SqliteOptions, SqliteStore,
    },
};

/// A person with a console of the database.
enum ByHand {
    Sqlite(rusqlite::Connection),
    Postgres(tokio_postgres::Client),
}

impl ByHand {
    /// Runs statements on the table `restrictions`; `NOW` is the time as the table holds it.
    async fn run(&self, sql: &str) {
        self.try_to_run(sql).await.unwrap();
    }

    async fn try_to_run(&self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(connection) => {
                let sql = sql.replace("NOW", "(unixepoch() * 1000000)");
                connection
                    .execute_batch(&sql)
                    .map_err(|error| error.to_string())
            }
            Self::Postgres(client) => {
                let run = client.batch_execute(&sql.replace("NOW", "now()")).await;
                run.map_err(|error| format!("{error:?}"))
            }
        }
    }
}

struct Kept(
    #[allow(dead_code)] Option<Arc<Cluster>>,
    #[allow(dead_code)] Option<TempDir>,
);

async fn sqlite(options: SqliteOptions) -> (SqliteStore, ByHand, Kept) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let store = options.open(&path).await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    (store, ByHand::Sqlite(connection), Kept(None, Some(folder)))
}

async fn postgresql(
    options: impl Fn(PostgresOptions) -> PostgresOptions,
) -> (PostgresStore, ByHand, Kept) {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let connect = options(PostgresOptions::new(&url).unwrap()).connect();
    let store = connect.await.unwrap();
    let client = cluster.client(&url).await;
    client
        .batch_execute("SET search_path = account_status")
        .await
        .unwrap();
    (store, ByHand::Postgres(client), Kept(Some(cluster), None))
}

macro_rules! over_both_stores {
    ($($name:ident;)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let (store, by_hand, _keep) = super::sqlite(super::SqliteOptions::new()).await;
                super::$name(store, by_hand).await;
            })*
        }

        mod on_postgresql {
            $(#[tokio::test]
            async fn $name() {
                let (store, by_hand, _keep) = super::postgresql(|options| options).await;
                super::$name(store, by_hand).await;
            })*
        }
    };
}

over_both_stores! {
    a_set_and_a_lift_are_recorded_with_who_when_why_and_through_what;
    what_is_set_again_is_recorded_and_what_changes_nothing_is_not;
    what_was_not_done_is_not_recorded;
    a_statement_by_hand_is_recorded;
    what_is_rolled_back_by_hand_is_not_recorded;
    pages_have_every_entry_once;
    entries_are_found_by_account_and_by_time;
    any_text_and_any_time_comes_back;
}

fn alice() -> UserId {
    "@alice:example.org".into()
}

fn now() -> SystemTime {
    // What both databases hold, to the microsecond.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = u64::try_from(since.unwrap().as_micros()).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

fn by(name: &str) -> ChangeRecord {
    ChangeRecord::through(Channel::COMMAND_LINE)
        .with_actor(name)
        .with_time(now())
}

async fn set(store: &impl RestrictionStore, user: &UserId, record: impl Into<RestrictionRecord>) {
    let set = store.set_restriction(user, record.into()).await;
    set.map_err(Into::into).unwrap();
}

async fn read(store: &impl AuditLog, query: &AuditQuery) -> Vec<AuditEntry> {
    store.audit(query).await.map_err(Into::into).unwrap()
}

/// All entries, the oldest first, in few words.
async fn all(store: &impl AuditLog) -> Vec<(String, &'static str, String)> {
    let entries = read(store, &AuditQuery::new().with_limit(10_000)).await;
    let words = |entry: AuditEntry| {
        let kind = entry.kind().as_str().to_owned();
        (
            entry.user().as_str().to_owned(),
            entry.action().as_str(),
            kind,
        )
    };
    entries.into_iter().rev().map(words).collect()
}

#[track_caller]
fn assert_words<A: Debug>(found: &[A], expected: &[&str]) {
    let words: Vec<String> = found
        .iter()
        .map(|entry| format!("{entry:?}").replace(['"', '(', ')', ','], ""))
        .collect();
    assert_eq!(words, expected);
}

async fn a_set_and_a_lift_are_recorded_with_who_when_why_and_through_what(
    store: impl RestrictionStore + AuditLog,
    by_hand: ByHand,
) {
    let before = now() - Duration::from_secs(1);
    let lock = Restriction::new(Locked)
        .with_reason("See your e-mail")
        .with_until(now() + Duration::from_secs(3600));
    let set_by = by("@mod:example.org").with_note("report 4711");
    let record = RestrictionRecord::new(lock.clone()).with_change(set_by.clone());
    set(&store, &alice(), record).await;
    let lifted_by = ChangeRecord::through(Channel::ADMIN_ENDPOINT)
        .with_actor("@other:example.org")
        .with_note("appeal granted")
        .with_time(now() - Duration::from_secs(5));
    let lifted = store.lift_restriction(&alice(), Locked, &lifted_by).await;
    assert!(lifted.map_err(Into::into).unwrap());

    let entries = read(&store, &AuditQuery::new()).await;
    let [lift, set] = &entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!((lift.action(), set.action()), (Lifted, Set));
    assert_eq!((lift.change(), set.change()), (&lifted_by, &set_by));
    for entry in &entries {
        assert_eq!((entry.user(), entry.kind()), (&alice(), Locked));
        assert_eq!(entry.restriction(), &lock);
        let recorded_at = entry.recorded_at();
        assert!(before < recorded_at && recorded_at <= now() + Duration::from_millis(1));
        let database_user = match by_hand {
            ByHand::Sqlite(_) => None,
            ByHand::Postgres(_) => Some("postgres"),
        };
        assert_eq!(entry.database_user(), database_user);
    }
}

async fn what_is_set_again_is_recorded_and_what_changes_nothing_is_not(
    store: impl RestrictionStore + AuditLog,
    _: ByHand,
) {
    let first = by("@one:x");
    let again = first.clone().with_actor("@two:x");
    let later = first.clone().with_time(now() + Duration::from_secs(1));
    for change in [&first, &again, &again, &later] {
        set(
            &store,
            &alice(),
            RestrictionRecord::new(Locked).with_change(change.clone()),
        )
        .await;
    }
    let entries = read(&store, &AuditQuery::new()).await;
    let changes: Vec<_> = entries.iter().rev().map(AuditEntry::change).collect();
    assert_eq!(changes, [&first, &again, &later]);
}

async fn what_was_not_done_is_not_recorded(
    store: impl RestrictionStore + AuditLog,
    by_hand: ByHand,
) {
    let nobody = UserId::from("");
    let set = store.set_restriction(&nobody, Locked.into()).await;
    assert!(set.is_err(), "nobody can be locked");
    let lifted = store
        .lift_restriction(&alice(), Locked, &by("@mod:x"))
        .await;
    assert!(!lifted.map_err(Into::into).unwrap());
    by_hand
        .try_to_run("INSERT INTO restrictions (user_id, kind, set_at) VALUES ('', 'locked', NOW)")
        .await
        .unwrap_err();
    by_hand
        .run("DELETE FROM restrictions WHERE user_id = '@nobody:x'")
        .await;
    assert_words(&all(&store).await, &[]);
}

async fn a_statement_by_hand_is_recorded(store: impl RestrictionStore + AuditLog, by_hand: ByHand) {
    let insert = "INSERT INTO restrictions (user_id, kind, reason, set_by, set_at) VALUES";
    by_hand
        .run(&format!(
            "{insert} ('@a:x', 'locked', 'why', '@mod:x', NOW)"
        ))
        .await;
    by_hand
        .run("UPDATE restrictions SET reason = 'because'")
        .await;
    by_hand
        .run("UPDATE restrictions SET reason = 'because'")
        .await;
    by_hand
        .run("UPDATE restrictions SET user_id = '@b:x'")
        .await;
    by_hand
        .run("UPDATE restrictions SET kind = 'suspended', set_by = '@other:x'")
        .await;
    by_hand
        .run(&format!(
            "{insert} ('@b:x', 'suspended', 'upsert', '@other:x', NOW) \
             ON CONFLICT (user_id, kind) DO UPDATE SET reason = excluded.reason"
        ))
        .await;
    by_hand.run("DELETE FROM restrictions").await;
    let entries = read(&store, &AuditQuery::new()).await;
    assert_words(
        &all(&store).await,
        &[
            "@a:x set locked",
            "@a:x set locked",
            "@a:x lifted locked",
            "@b:x set locked",
            "@b:x lifted locked",
            "@b:x set suspended",
            "@b:x set suspended",
            "@b:x lifted suspended",
        ],
    );
    let reason = |entry: &AuditEntry| entry.restriction().reason().unwrap().to_owned();
    let reasons: Vec<_> = entries.iter().rev().map(reason).collect();
    let because = "because";
    let expected = [
        "why", because, because, because, because, because, "upsert", "upsert",
    ];
    assert_eq!(reasons, expected);
    // The actor of an earlier statement is not that of a later one.
    let actor = |entry: &AuditEntry| entry.change().actor().map(ToString::to_string);
    let actors: Vec<_> = entries.iter().rev().map(actor).collect();
    let (moderator, other) = (Some("@mod:x".to_owned()), Some("@other:x".to_owned()));
    assert_eq!(
        actors,
        [moderator, None, None, None, None, other, None, None]
    );
    assert!(
        entries
            .iter()
            .all(|entry| *entry.change().channel() == Channel::SQL)
    );

    // Everything at once; and the store's own change after it is the store's.
    for user in ["@c:x", "@d:x"] {
        set(
            &store,
            &user.into(),
            RestrictionRecord::new(Locked).with_change(by("@mod:x")),
        )
        .await;
    }
    by_hand
        .run(match by_hand {
            ByHand::Sqlite(_) => "DELETE FROM restrictions",
            ByHand::Postgres(_) => "TRUNCATE restrictions",
        })
        .await;
    let entries = read(&store, &AuditQuery::new().with_limit(4)).await;
    let lifted: HashSet<_> = entries[..2].iter().map(AuditEntry::user).collect();
    assert_eq!(lifted.len(), 2, "{entries:?}");
    for entry in &entries {
        let channel = match entry.action() {
            Lifted => Channel::SQL,
            _ => Channel::COMMAND_LINE,
        };
        assert_eq!(*entry.change().channel(), channel, "{entry:?}");
    }
}

async fn what_is_rolled_back_by_hand_is_not_recorded(
    store: impl RestrictionStore + AuditLog,
    by_hand: ByHand,
) {
    by_hand
        .run(
            "BEGIN; INSERT INTO restrictions (user_id, kind, set_at) VALUES \
             ('@a:x', 'locked', NOW); ROLLBACK",
        )
        .await;
    by_hand
        .run(
            "INSERT INTO restrictions (user_id, kind, set_at) VALUES \
             ('@b:x', 'locked', NOW)",
        )
        .await;
    assert_words(&all(&store).await, &["@b:x set locked"]);
}

async fn pages_have_every_entry_once(store: impl RestrictionStore + AuditLog, by_hand: ByHand) {
    // Many of them have the same time.
    let values: Vec<String> = (0..500)
        .map(|number| format!("('@{number}:x', 'locked', NOW)"))
        .collect();
    by_hand
        .run(&format!(
            "INSERT INTO restrictions (user_id, kind, set_at) VALUES {}",
            values.join(",")
        ))
        .await;
    let mut query = AuditQuery::new().with_limit(64);
    let mut seen = Vec::new();
    loop {
        let page = read(&store, &query).await;
        seen.extend(page.iter().map(|entry| entry.user().clone()));
        // Entries that are added meanwhile are newer than the reader's position.
        set(&store, &format!("@new-{}:x", seen.len()).into(), Locked).await;
        match page.last() {
            Some(last) if page.len() == 64 => query = query.behind(last.position()),
            _ => break,
        }
    }
    let different: HashSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), different.len()), (500, 500));
}

async fn entries_are_found_by_account_and_by_time(
    store: impl RestrictionStore + AuditLog,
    _: ByHand,
) {
    let (bob, carl) = (UserId::from("@bob:x"), UserId::from("@carl:x"));
    set(&store, &bob, Locked).await;
    set(&store, &carl, Locked).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = SystemTime::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    set(&store, &bob, Suspended).await;

    let count = async |query: AuditQuery| read(&store, &query).await.len();
    assert_eq!(count(AuditQuery::new()).await, 3);
    assert_eq!(count(AuditQuery::new().with_limit(1)).await, 1);
    assert_eq!(count(AuditQuery::new().with_limit(0)).await, 0);
    let of_bob = AuditQuery::new().with_user(bob.clone());
    assert_eq!(count(of_bob.clone()).await, 2);
    assert_eq!(count(of_bob.clone().with_since(between)).await, 1);
    assert_eq!(count(of_bob.with_until(between)).await, 1);
    assert_eq!(count(AuditQuery::new().with_since(between)).await, 1);
    assert_eq!(count(AuditQuery::new().with_until(between)).await, 2);
    // Like every user id, byte by byte.
    assert_eq!(count(AuditQuery::new().with_user("@Bob:x")).await, 0);
    assert_eq!(count(AuditQuery::new().with_user("@b\0b:x")).await, 0);
}

async fn any_text_and_any_time_comes_back(store: impl RestrictionStore + AuditLog, _: ByHand) {
    let odd = "'\"\\ \u{1} {\"a\": [}] \u{1F980} \n";
    for (at, until) in [
        (SystemTime::UNIX_EPOCH, now() + Duration::from_secs(1 << 38)),
        (now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 42)),
    ] {
        let change = ChangeRecord::through(Channel::new(odd))
            .with_actor(odd)
            .with_note(odd)
            .with_time(at);
        let restriction = Restriction::new(Locked).with_reason(odd).with_until(until);
        let record = RestrictionRecord::new(restriction.clone()).with_change(change.clone());
        set(&store, &odd.into(), record).await;
        let lifted = store.lift_restriction(&odd.into(), Locked, &change).await;
        assert!(lifted.map_err(Into::into).unwrap());
        let entries = read(&store, &AuditQuery::new().with_user(odd).with_limit(2)).await;
        let stored = entries[1].restriction().until().unwrap();
        assert!(stored > now() + Duration::from_secs(1 << 37));
        for entry in &entries {
            assert_eq!(entry.restriction().reason(), restriction.reason());
            assert_eq!(entry.change(), &change);
        }
    }
}
