//! The load beside the faults: locks, unlocks, and the answers to requests.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::timeout;
use tower::{ServiceExt as _, service_fn};
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, DynAccountStateStore, UserId, store::Answer, without,
};
use tower_layer::Layer as _;

use crate::BOUND;

/// Every token is the name of its owner.
pub(crate) struct Names;

impl AccountStateStore for Names {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(Some(UserId::from(format!("@{token}:x"))))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes }
}

pub(crate) type Layer = AccountStatusLayer<DynAccountStateStore>;

pub(crate) async fn status(layer: &Layer, token: &str) -> u16 {
    let request = Request::get("/_matrix/client/v3/account/whoami")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::<Bytes>::default())
        .unwrap();
    let passes = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    layer
        .layer(passes)
        .oneshot(request)
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// The accounts of one database.
#[derive(Default)]
pub(crate) struct World {
    /// When each change was acknowledged. Who is in neither may be locked or not.
    locked: Mutex<BTreeMap<u64, Instant>>,
    lifted: Mutex<BTreeMap<u64, Instant>>,
    is_over: AtomicBool,
    answers: Mutex<BTreeMap<u16, u64>>,
    next: AtomicU64,
}

pub(crate) enum Change {
    Lock(u64),
    Lift(u64),
}

impl Change {
    pub(crate) fn sql(&self, table: &str, values: &str, columns: &str) -> String {
        match self {
            Self::Lock(number) => {
                format!(
                    "INSERT INTO {table} (user_id, {columns}) VALUES ('@locked{number}:x', {values})"
                )
            }
            Self::Lift(number) => {
                format!("DELETE FROM {table} WHERE user_id = '@locked{number}:x'")
            }
        }
    }
}

impl World {
    pub(crate) fn end(&self) {
        self.is_over.store(true, SeqCst);
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(SeqCst)
    }

    pub(crate) fn answers(&self) -> BTreeMap<u16, u64> {
        self.answers.lock().unwrap().clone()
    }

    /// How many accounts are locked, and how many no longer.
    pub(crate) fn changed(&self) -> (usize, usize) {
        let (locked, lifted) = (self.locked.lock().unwrap(), self.lifted.lock().unwrap());
        (locked.len(), lifted.len())
    }

    /// One account after another is locked, and some are unlocked again.
    pub(crate) fn next_change(&self) -> Option<Change> {
        let number = self.next.fetch_add(1, SeqCst);
        if !self.goes_on() {
            return None;
        }
        let earlier = number.checked_sub(40).filter(|number| number % 4 == 1);
        // It is not known what is so until this is acknowledged.
        match earlier
            .and_then(|earlier| Some((earlier, self.locked.lock().unwrap().remove(&earlier)?)))
        {
            Some((earlier, _)) => Some(Change::Lift(earlier)),
            None => Some(Change::Lock(number)),
        }
    }

    pub(crate) fn acknowledged(&self, change: &Change, at: Instant) {
        match *change {
            Change::Lock(number) => self.locked.lock().unwrap().insert(number, at),
            Change::Lift(number) => self.lifted.lock().unwrap().insert(number, at),
        };
    }

    fn count(&self, status: u16) {
        *self.answers.lock().unwrap().entry(status).or_default() += 1;
    }
}

fn latest(
    changes: &Mutex<BTreeMap<u64, Instant>>,
    count: usize,
    age: Duration,
) -> Vec<(u64, Instant)> {
    let changes = changes.lock().unwrap();
    let old = changes.iter().rev().filter(|(_, at)| at.elapsed() >= age);
    old.take(count).map(|(number, at)| (*number, *at)).collect()
}

pub(crate) async fn ask_changed(world: Arc<World>, what: &'static str, layer: Layer) {
    while world.goes_on() {
        for (number, acknowledged) in latest(&world.locked, 20, Duration::ZERO) {
            let began = Instant::now();
            let status = status(&layer, &format!("locked{number}")).await;
            let late = began.saturating_duration_since(acknowledged);
            // It may have been unlocked meanwhile.
            let is_locked = world.locked.lock().unwrap().contains_key(&number);
            world.count(status);
            assert!(
                !is_locked || status != 200 || late < BOUND,
                "{what}: locked account {number} passes {late:?} after its lock"
            );
        }
        // Those who are locked next, so that it is remembered that they are not.
        let next = world.next.load(SeqCst);
        for number in next..next + 3 {
            let status = status(&layer, &format!("locked{number}")).await;
            world.count(status);
        }
        for (number, _) in latest(&world.lifted, 5, BOUND) {
            let status = status(&layer, &format!("locked{number}")).await;
            world.count(status);
            assert!(
                [200, 503].contains(&status),
                "{what}: unlocked account {number} gets {status}"
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn ask_healthy(world: Arc<World>, what: &'static str, layer: Layer) {
    for number in 0_u64.. {
        if !world.goes_on() {
            return;
        }
        let status = status(&layer, &format!("healthy{}", number % 50)).await;
        world.count(status);
        assert!(
            [200, 503].contains(&status),
            "{what}: a healthy account gets {status}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Changes restrictions as another process would, at times without a trigger.
pub(crate) async fn change(world: Arc<World>, url: String) {
    let table = "account_status.restrictions";
    for number in 0_u64.. {
        let Some(change) = world.next_change() else {
            return;
        };
        let sql = change.sql(table, "'locked'", "kind");
        let sql = match number % 5 {
            0 => format!(
                "BEGIN; ALTER TABLE {table} DISABLE TRIGGER notify_change; {sql}; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER notify_change; COMMIT"
            ),
            _ => sql,
        };
        let done = timeout(Duration::from_secs(2), async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
            let driver = tokio::spawn(connection);
            let done = client.batch_execute(&sql).await;
            driver.abort();
            done
        });
        if let Ok(Ok(())) = done.await {
            world.acknowledged(&change, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
