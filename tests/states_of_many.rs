//! `states` and `states_of` give for many accounts the same answers as for each, in one look-up, through
//! every wrapper of a store.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use postgres::Cluster;
use tower_account_status::{
    AccountState, AccountStateStore, CachedStore, Changes, Combined, DynAccountStateStore,
    MemoryStore, RestrictionKind,
    RestrictionKind::{Locked, Suspended},
    RestrictionRecord, RestrictionStore, UserId, forward,
    store::{Answer, ChangeRecord, PostgresStore, SqliteStore, StoreError},
    without,
};

fn users() -> Vec<UserId> {
    [
        "@bob:x", "@alice:x", "@a\0b:x", "@Alice:x", "@alice:x", "@carol:x",
    ]
    .map(UserId::from)
    .to_vec()
}

/// With more than any statement has places for.
fn with_others() -> Vec<UserId> {
    let others = (0..70).map(|number| UserId::from(format!("@{number}:x")));
    users().into_iter().chain(others).collect()
}

async fn says_of_many_what_it_says_of_each(store: &impl RestrictionStore) {
    for (user, kind) in [
        ("@alice:x", Locked),
        ("@alice:x", Suspended),
        ("@carol:x", Locked),
        // In the last place of a statement of SQLite's, and in the first of the next.
        ("@25:x", Locked),
        ("@26:x", Locked),
        ("@69:x", Suspended),
    ] {
        let set = store.set_restriction(&user.into(), kind.into()).await;
        set.map_err(Into::into).unwrap();
    }
    for users in [users(), with_others()] {
        let states = store.states_of(&users).await;
        assert_eq!(states.len(), users.len());
        for (user, state) in users.iter().zip(states) {
            let alone = store.state_of(user).await.map_err(Into::into).unwrap();
            assert_eq!(state.unwrap(), alone, "{user:?}");
        }
    }
    assert!(store.states_of(&[]).await.is_empty());
}

#[tokio::test]
async fn each_store_says_of_many_accounts_what_it_says_of_each() {
    let cluster = Cluster::shared();
    let postgres = PostgresStore::connect(&cluster.database().await).await;
    says_of_many_what_it_says_of_each(&postgres.unwrap()).await;
    let sqlite = SqliteStore::open_in_memory().await.unwrap();
    says_of_many_what_it_says_of_each(&sqlite).await;
    says_of_many_what_it_says_of_each(&MemoryStore::new()).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_its_accounts_failure_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restrictions.db");
    let sqlite = SqliteStore::open(&path).await.unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    let row = "(user_id, kind, set_at) VALUES ('@alice:x', 'muted', 0), ('@carol:x', 'locked', 0)";
    raw.execute_batch(&format!(
        "PRAGMA ignore_check_constraints = ON; INSERT INTO restrictions {row}"
    ))
    .unwrap();
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let postgres = PostgresStore::connect(&url).await.unwrap();
    let client = cluster.client(&url).await;
    let table = "account_status.restrictions";
    let constraints = format!(
        "DO $$ DECLARE name text; BEGIN FOR name IN SELECT conname FROM pg_constraint \
         WHERE conrelid = '{table}'::regclass AND contype = 'c' LOOP \
         EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', name); END LOOP; END $$; \
         INSERT INTO {table} (user_id, kind) VALUES ('@alice:x', 'muted'), ('@carol:x', 'locked')"
    );
    client.batch_execute(&constraints).await.unwrap();
    for states in [
        sqlite.states_of(&users()).await,
        sqlite.states_of(&with_others()).await,
        postgres.states_of(&with_others()).await,
    ] {
        let failed: Vec<bool> = states.iter().map(Result::is_err).collect();
        assert_eq!(failed[..6], [false, true, false, false, true, false]);
        assert!(!failed[6..].contains(&true));
        assert_eq!(*states[5].as_ref().unwrap(), Locked.into());
    }
}

/// Counts look-ups of many, and answers no other.
#[derive(Default)]
struct Many(AtomicUsize);

impl RestrictionStore for Many {
    type Error = StoreError;

    async fn state_of(&self, _: &str) -> Result<AccountState, StoreError> {
        panic!("asked for one")
    }

    async fn states_of(&self, users: &[UserId]) -> Vec<Result<AccountState, StoreError>> {
        self.0.fetch_add(1, SeqCst);
        users.iter().map(|_| Ok(Locked.into())).collect()
    }

    async fn set_restriction(&self, _: &UserId, _: RestrictionRecord) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn lift_restriction(
        &self,
        _: &UserId,
        _: RestrictionKind,
        _: &ChangeRecord,
    ) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn record(
        &self,
        _: &UserId,
        _: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, StoreError> {
        unreachable!()
    }

    async fn restricted(
        &self,
        _: Option<&UserId>,
        _: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, StoreError> {
        unreachable!()
    }

    fn restriction_changes(&self) -> Option<Changes> {
        None
    }
}

struct Own;

impl AccountStateStore for Own {
    async fn access_token(&self, _: &str) -> Answer {
        Ok(None)
    }

    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
    }
}

struct Forwarding<S> {
    inner: S,
}

impl<S: AccountStateStore> AccountStateStore for Forwarding<S> {
    forward! { inner => all }
}

async fn asks_once<S: AccountStateStore>(wrap: impl FnOnce(Combined<Own, Arc<Many>>) -> S) {
    let many = Arc::<Many>::default();
    let store = wrap(Combined::new(Own, Arc::clone(&many)));
    let states = store.states(&users()).await;
    assert_eq!(states.len(), users().len());
    for state in states {
        assert_eq!(state.unwrap(), Locked.into());
    }
    assert_eq!(many.0.load(SeqCst), 1);
}

#[tokio::test]
async fn every_wrapper_passes_the_question_on() {
    asks_once(|store| store).await;
    asks_once(Arc::new).await;
    asks_once(Box::new).await;
    asks_once(CachedStore::new).await;
    asks_once(DynAccountStateStore::new).await;
    asks_once(|inner| Forwarding { inner }).await;
    let many = Arc::<Many>::default();
    let store = Arc::new(Combined::new(Own, Arc::clone(&many)));
    let states = Arc::downgrade(&store).states(&users()).await;
    assert!(states.iter().all(Result::is_ok));
    let weak = Arc::downgrade(&store);
    drop(store);
    let states = weak.states(&users()).await;
    assert_eq!(states.len(), users().len());
    assert!(states.iter().all(Result::is_err));
}
