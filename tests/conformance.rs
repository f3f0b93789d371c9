//! Every store of this crate keeps the promises of the traits: the kit for implementers runs on our
//! own stores.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_account_status::{
    AccountState, CachedStore, Combined, MemoryStore, RestrictionKind, RestrictionRecord,
    RestrictionStore, UserId,
    conformance::{self, Fixture, Passed, Report},
    store::{PostgresOptions, PostgresStore, SqliteOptions, SqliteStore},
};
use tower_account_status::{
    AccountStateStore, forward,
    store::{Answer, AuditLog, ChangeRecord, Channel, StoreError},
    without,
};

struct Memory(MemoryStore);

impl Fixture for Memory {
    type Store = MemoryStore;

    fn store(&self) -> &MemoryStore {
        &self.0
    }

    async fn insert_access_token(&self, token: &str, user: &UserId) -> Result<(), StoreError> {
        self.0.insert_access_token(token, user.clone());
        Ok(())
    }

    async fn set_state(&self, user: &UserId, state: AccountState) -> Result<(), StoreError> {
        self.0.set_state(user.clone(), state);
        Ok(())
    }

    async fn remove_access_token(&self, token: &str) -> Result<bool, StoreError> {
        Ok(self.0.remove_access_token(token))
    }

    async fn insert_refresh_token(&self, token: &str, user: &UserId) -> Result<bool, StoreError> {
        self.0.insert_refresh_token(token, user.clone());
        Ok(true)
    }

    async fn insert_login_token(&self, token: &str, user: &UserId) -> Result<bool, StoreError> {
        self.0.insert_login_token(token, user.clone());
        Ok(true)
    }
}

/// A server that knows whose a token is, and leaves the states to a ready-made store.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<HashMap<String, UserId>>>);

impl AccountStateStore for Tokens {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(self.0.lock().unwrap().get(token).cloned())
    }

    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
    }
}

struct WithTokens<R> {
    tokens: Tokens,
    store: Combined<Tokens, R>,
}

impl<R: RestrictionStore> WithTokens<R> {
    fn new(restrictions: R) -> Self {
        let tokens = Tokens::default();
        let store = Combined::new(tokens.clone(), restrictions);
        Self { tokens, store }
    }
}

impl<R: RestrictionStore> Fixture for WithTokens<R> {
    type Store = Combined<Tokens, R>;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn insert_access_token(&self, token: &str, user: &UserId) -> Result<(), StoreError> {
        let mut tokens = self.tokens.0.lock().unwrap();
        tokens.insert(token.into(), user.clone());
        Ok(())
    }

    async fn remove_access_token(&self, token: &str) -> Result<bool, StoreError> {
        Ok(self.tokens.0.lock().unwrap().remove(token).is_some())
    }

    async fn set_state(&self, user: &UserId, state: AccountState) -> Result<(), StoreError> {
        let restrictions = self.store.restrictions();
        for &kind in RestrictionKind::ALL {
            match state.restriction(kind) {
                Some(restriction) => {
                    let record = RestrictionRecord::new(restriction.clone());
                    let set = restrictions.set_restriction(user, record).await;
                    set.map_err(Into::<StoreError>::into)?;
                }
                None => {
                    let change = ChangeRecord::through(Channel::SERVER);
                    let lifted = restrictions.lift_restriction(user, kind, &change).await;
                    lifted.map_err(Into::<StoreError>::into)?;
                }
            }
        }
        Ok(())
    }
}

/// A database store, which keeps a log.
async fn check_all(restrictions: impl RestrictionStore + AuditLog) {
    assert_whole(conformance::check_audit_log(&restrictions).await);
    check_both(restrictions).await;
}

fn assert_whole(result: Result<Passed, Report>) {
    let passed = result.unwrap();
    assert_eq!(passed.skipped().count(), 0, "{passed}");
}

async fn check_both(restrictions: impl RestrictionStore) {
    assert_whole(conformance::check_restrictions(&restrictions).await);
    let fixture = WithTokens::new(restrictions);
    let passed = conformance::check(&fixture).await.unwrap();
    // The half with the credentials knows access tokens alone.
    for (what, _) in passed.skipped() {
        let states = ["reasons", "ends", "announcements", "logouts"];
        assert!(!states.contains(&what), "{passed}");
    }
}

#[tokio::test]
async fn memory_store() {
    let passed = conformance::check(&Memory(MemoryStore::new())).await;
    println!("{}", passed.unwrap());
    check_both(MemoryStore::new()).await;
}

#[tokio::test]
async fn sqlite_store_in_memory() {
    check_all(SqliteStore::open_in_memory().await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_store_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("restrictions.db")).await;
    Box::pin(check_all(store.unwrap())).await;
}

#[tokio::test]
async fn sqlite_store_with_the_set_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new().with_restricted_set_in_memory();
    let store = options.open(folder.path().join("restrictions.db")).await;
    Box::pin(check_all(store.unwrap())).await;
}

#[tokio::test]
async fn postgres_store() {
    let cluster = postgres::Cluster::shared();
    let store = PostgresStore::connect(&cluster.database().await).await;
    Box::pin(check_all(store.unwrap())).await;
}

#[tokio::test]
async fn postgres_store_with_the_set_in_memory() {
    let cluster = postgres::Cluster::shared();
    let options = PostgresOptions::new(&cluster.database().await).unwrap();
    let store = options.with_restricted_set_in_memory().connect().await;
    Box::pin(check_all(store.unwrap())).await;
}

/// How long the stores below keep entries. They look for older ones once a second.
const RETENTION: Duration = Duration::from_secs(1);

/// Far longer than it takes: a machine may be busy.
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn sqlite_store_with_a_retention_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new().with_audit_retention(RETENTION);
    let store = options.open(folder.path().join("restrictions.db")).await;
    assert_whole(conformance::check_audit_retention(&store.unwrap(), RETENTION, WITHIN).await);
}

#[tokio::test]
async fn postgres_store_with_a_retention_of_its_log() {
    let cluster = postgres::Cluster::shared();
    let options = PostgresOptions::new(&cluster.database().await).unwrap();
    let store = options.with_audit_retention(RETENTION).connect().await;
    assert_whole(conformance::check_audit_retention(&store.unwrap(), RETENTION, WITHIN).await);
}

/// A cache in front of a store that is awaited, as a database is.
struct Cached {
    memory: Arc<MemoryStore>,
    store: CachedStore<Awaited>,
}

struct Awaited(Arc<MemoryStore>);

impl AccountStateStore for Awaited {
    forward! { 0 => all except peek }
}

impl Fixture for Cached {
    type Store = CachedStore<Awaited>;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn insert_access_token(&self, token: &str, user: &UserId) -> Result<(), StoreError> {
        self.memory.insert_access_token(token, user.clone());
        Ok(())
    }

    async fn remove_access_token(&self, token: &str) -> Result<bool, StoreError> {
        Ok(self.memory.remove_access_token(token))
    }

    async fn set_state(&self, user: &UserId, state: AccountState) -> Result<(), StoreError> {
        self.memory.set_state(user.clone(), state);
        Ok(())
    }
}

#[tokio::test]
async fn a_cache() {
    let memory = Arc::new(MemoryStore::new());
    let store = CachedStore::new(Awaited(Arc::clone(&memory)));
    let passed = conformance::check(&Cached { memory, store }).await.unwrap();
    assert!(
        passed.skipped().all(|(what, _)| what != "logouts"),
        "{passed}"
    );
}
