//! A store in which something goes wrong, and what is around it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::oneshot;
use tower::Service;
use tower_account_status::{
    AccountState, AccountStateStore, Credential, DynAccountStateStore, Peek,
    RestrictionKind::Locked,
};
use tower_account_status::{
    by_credential,
    store::{Answer, StoreError},
    without,
};

/// Everything is tried without a cache, and with one if there is one.
pub(crate) const CACHED: &[bool] = match cfg!(feature = "cache") {
    true => &[false, true],
    false => &[false],
};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Error,
    Hangs,
    Panics,
    /// The right answer, long after anyone waits for it.
    Late,
    /// The right answer, from a task of its own that goes on when nobody waits for it.
    Elsewhere,
}

/// Where it goes wrong: of one question the beginning, or the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Whatever answers at once: what a glance has said is not asked again.
    AtOnce,
    Glance,
    Account,
    AfterAccount,
    State,
    AfterState,
}

pub(crate) const FAULTS: [Fault; 5] = [
    Fault::Error,
    Fault::Hangs,
    Fault::Panics,
    Fault::Late,
    Fault::Elsewhere,
];
pub(crate) const PLACES: [Place; 6] = [
    Place::AtOnce,
    Place::Glance,
    Place::Account,
    Place::AfterAccount,
    Place::State,
    Place::AfterState,
];

/// Counts what is under way.
#[derive(Clone, Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counter {
    pub(crate) fn count(&self) -> Counted {
        self.0.fetch_add(1, SeqCst);
        Counted(Arc::clone(&self.0))
    }

    pub(crate) fn now(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// `good` is an active account's token, `locked` a locked one's; what else contains `bad` meets
/// the fault.
#[derive(Clone)]
pub(crate) struct Faulty {
    fault: Fault,
    place: Place,
    is_well: Arc<AtomicBool>,
    pub(crate) under_way: Counter,
}

impl Faulty {
    pub(crate) fn new(fault: Fault, place: Place) -> Self {
        Self {
            fault,
            place,
            is_well: Arc::default(),
            under_way: Counter::default(),
        }
    }

    /// From now on nothing goes wrong.
    pub(crate) fn recover(&self) {
        self.is_well.store(true, SeqCst);
    }

    /// The layer's store: this one, or a cache in front of it.
    pub(crate) fn behind(&self, is_cached: bool) -> DynAccountStateStore {
        #[cfg(feature = "cache")]
        if is_cached {
            // As many look-ups as there are tokens and accounts: one that is not given back shows.
            let cache = tower_account_status::CachedStore::new(self.clone())
                .with_failure_ttl(Duration::from_millis(1))
                .with_max_lookups(8);
            return DynAccountStateStore::new(cache);
        }
        assert!(!is_cached);
        DynAccountStateStore::new(self.clone())
    }

    fn at_once(&self, credential: Credential<'_>, place: Place) {
        assert!(
            self.is_well.load(SeqCst) || place != self.place || token(credential) != "bad",
            "a panic that the test asks for"
        );
    }

    async fn meet(&self, owner: &str, place: Place) -> Result<(), &'static str> {
        tokio::task::yield_now().await;
        if owner != "bad" || place != self.place || self.is_well.load(SeqCst) {
            return Ok(());
        }
        match self.fault {
            Fault::Error => Err("the database is away"),
            Fault::Hangs => std::future::pending().await,
            Fault::Panics => panic!("a panic that the test asks for"),
            Fault::Late => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok(())
            }
            Fault::Elsewhere => {
                let (counted, (answers, answer)) = (self.under_way.count(), oneshot::channel());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    let _ = answers.send(()); // nobody may be there
                    drop(counted);
                });
                answer.await.map_err(|_| "the task is gone")
            }
        }
    }
}

fn token(credential: Credential<'_>) -> String {
    let token = match credential {
        Credential::AccessToken(token)
        | Credential::ApplicationService(token)
        | Credential::RefreshToken(token) => token,
        other => panic!("not sent: {other:?}"),
    };
    token.expose_str().unwrap_or_default().to_owned()
}

impl AccountStateStore for Faulty {
    by_credential! { owner }
    without! { event_sender, changes }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        let _counted = self.under_way.count();
        self.meet(user, Place::State)
            .await
            .map_err(StoreError::msg)?;
        self.meet(user, Place::AfterState)
            .await
            .map_err(StoreError::msg)?;
        Ok(match user {
            "locked" => Locked.into(),
            _ => AccountState::ACTIVE,
        })
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        self.at_once(credential, Place::AtOnce);
        Peek::Ask
    }

    fn glance(&self, credential: Credential<'_>) -> Option<Peek> {
        self.at_once(credential, Place::Glance);
        self.at_once(credential, Place::AtOnce);
        Some(Peek::Ask)
    }
}

impl Faulty {
    async fn owner(&self, credential: Credential<'_>) -> Answer {
        if let Credential::ApplicationService(_) = credential {
            return Ok(None);
        }
        let _counted = self.under_way.count();
        let owner = token(credential);
        self.meet(&owner, Place::Account)
            .await
            .map_err(StoreError::msg)?;
        self.meet(&owner, Place::AfterAccount)
            .await
            .map_err(StoreError::msg)?;
        Ok(["good", "locked", "bad"]
            .contains(&&*owner)
            .then(|| owner.into()))
    }
}

pub(crate) type TestBody = Full<Bytes>;

pub(crate) fn handler(
    under_way: &Counter,
) -> impl Service<Request<TestBody>, Response = Response<TestBody>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ use<> {
    let under_way = under_way.clone();
    tower::service_fn(move |_| {
        let counted = under_way.count();
        async move {
            tokio::task::yield_now().await;
            drop(counted);
            Ok(Response::new(Full::default()))
        }
    })
}

pub(crate) fn get(first: &str, second: Option<&str>) -> Request<TestBody> {
    let query = second
        .map(|token| format!("?access_token={token}"))
        .unwrap_or_default();
    Request::get(format!("/_matrix/client/v3/account/whoami{query}"))
        .header("authorization", format!("Bearer {first}"))
        .body(Full::default())
        .expect("a request")
}
