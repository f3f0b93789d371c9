//! Rule 2: a restriction with an end ends by itself, to the second, whichever store holds it and
//! whatever cache is in front; until then the refusal says how long it takes.
//!
//! Only the layer's clock decides. Nothing sweeps the store, nothing is announced, and a cache keeps
//! what it remembers.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
mod support;

use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use postgres::Cluster;
use support::{ALICE, Answer, SYNC, TOKEN, alices, ask, verdict};
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, CachedStore, Combined, MemoryStore, Restriction,
    RestrictionKind::{self, Deactivated, Locked, Suspended},
    RestrictionStore,
    store::{PostgresStore, SqliteStore},
};
use tower_account_status::{
    store::{self, ChangeRecord, Channel, StoreError},
    without,
};
use tower_layer::Layer;

const SEND: &str = "/_matrix/client/v3/rooms/!room:localhost/send/m.room.message/1";

/// A clock that does not move until it is set.
#[derive(Clone)]
struct Clock(Arc<Mutex<SystemTime>>);

impl Clock {
    fn set(&self, now: SystemTime) {
        *self.0.lock().unwrap() = now;
    }

    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// Two milliseconds before a full second, as it may come.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_998)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A store with Alice's account behind a layer with a clock.
struct World<S, R> {
    layer: AccountStatusLayer<Arc<S>>,
    restrictions: R,
    clock: Clock,
}

impl<S: AccountStateStore, R: RestrictionStore> World<S, R> {
    fn new(store: S, restrictions: R) -> Self {
        let clock = Clock(Arc::new(Mutex::new(start())));
        let layer = AccountStatusLayer::new(Arc::new(store));
        let layer = layer.with_clock({
            let clock = clock.clone();
            move || clock.now()
        });
        Self {
            layer,
            restrictions,
            clock,
        }
    }

    async fn restrict(&self, restriction: Restriction) {
        let restricted = self
            .restrictions
            .set_restriction(&ALICE.into(), restriction.into())
            .await;
        restricted.map_err(Into::<StoreError>::into).unwrap();
    }

    async fn lift(&self, kind: RestrictionKind) -> bool {
        let lifted = self
            .restrictions
            .lift_restriction(&ALICE.into(), kind, &ChangeRecord::through(Channel::SERVER))
            .await;
        lifted.map_err(Into::<StoreError>::into).unwrap()
    }

    /// What Alice gets for sending a message, which every restriction refuses.
    async fn send_at(&self, now: SystemTime) -> Answer {
        self.clock.set(now);
        ask(&self.layer, alices(Method::PUT, SEND)).await
    }

    #[track_caller]
    fn expect(answer: &Answer, expected: (u16, &str), retry_after: Option<&str>) {
        assert_eq!(answer.verdict(), verdict(expected.0, expected.1));
        assert_eq!(answer.header("retry-after"), retry_after, "{answer:?}");
    }
}

fn refused(kind: RestrictionKind) -> (u16, &'static str) {
    match kind {
        Locked => (401, "M_USER_LOCKED"),
        Deactivated => (403, "M_USER_DEACTIVATED"),
        _ => (403, "M_USER_SUSPENDED"),
    }
}

const PASSED: (u16, &str) = (200, "");

async fn a_time_out_ends_by_itself_to_the_second<S, R>(world: World<S, R>)
where
    S: AccountStateStore,
    R: RestrictionStore,
{
    let until = start() + seconds(3600);
    let milli = Duration::from_millis(1);
    for kind in RestrictionKind::ALL.iter().copied() {
        let time_out = Restriction::new(kind)
            .with_reason("Please calm down")
            .with_until(until);
        world.restrict(time_out.clone()).await;
        for (now, expected, retry_after) in [
            (start(), refused(kind), Some("3600")),
            (start() + milli, refused(kind), Some("3600")),
            (until - seconds(60), refused(kind), Some("60")),
            (until - seconds(1), refused(kind), Some("1")),
            (until - milli, refused(kind), Some("1")),
            (until, PASSED, None),
            (until + seconds(3600), PASSED, None),
        ] {
            let answer = world.send_at(now).await;
            World::<S, R>::expect(&answer, expected, retry_after);
            if expected != PASSED {
                assert_eq!(answer.json()["error"], "Please calm down");
            }
        }
        // It has ended, and nobody has lifted it, so it is still on record.
        let record = world.restrictions.record(&ALICE.into(), kind).await;
        let record = record
            .map_err(Into::into)
            .unwrap()
            .expect("it is on record");
        assert_eq!(record.restriction(), &time_out);
        assert!(world.lift(kind).await);
    }
}

async fn each_restriction_ends_at_its_own_time<S, R>(world: World<S, R>)
where
    S: AccountStateStore,
    R: RestrictionStore,
{
    let (first, second) = (start() + seconds(60), start() + seconds(120));
    world
        .restrict(Restriction::new(Locked).with_until(first))
        .await;
    world
        .restrict(Restriction::new(Suspended).with_until(second))
        .await;
    for (now, expected, retry_after) in [
        (start(), refused(Locked), Some("60")),
        (first, refused(Suspended), Some("60")),
        (second, PASSED, None),
    ] {
        World::<S, R>::expect(&world.send_at(now).await, expected, retry_after);
    }

    // A longer one takes its place, a shorter one too, and one without an end.
    for (until, retry_after) in [(300, Some("180")), (180, Some("60"))] {
        let until = start() + seconds(until);
        world
            .restrict(Restriction::new(Locked).with_until(until))
            .await;
        World::<S, R>::expect(&world.send_at(second).await, refused(Locked), retry_after);
    }
    world.restrict(Locked.into()).await;
    let for_ever = world.send_at(second + seconds(1_000_000_000)).await;
    World::<S, R>::expect(&for_ever, refused(Locked), None);
}

async fn rule_16_a_sync_that_waits_ends_for_a_restriction_in_force_and_for_no_other<S, R>(
    world: World<S, R>,
) where
    S: AccountStateStore,
    R: RestrictionStore,
{
    let called = Arc::new(Notify::new());
    let never = tower::service_fn({
        let called = Arc::clone(&called);
        move |_: Request<Full<Bytes>>| {
            called.notify_one();
            pending::<Result<Response<Full<Bytes>>, Infallible>>()
        }
    });
    let mut waiting = pin!(world.layer.layer(never).oneshot(alices(Method::GET, SYNC)));
    tokio::select! {
        answer = waiting.as_mut() => panic!("nothing restricts the account: {answer:?}"),
        () = called.notified() => {}
    }

    let ended = Restriction::new(Locked).with_until(start());
    world.restrict(ended).await;
    let is_pending = tokio::time::timeout(Duration::from_millis(50), waiting.as_mut());
    // Long enough for every store to be asked again.
    is_pending
        .await
        .expect_err("a restriction that has ended restricts nothing");

    let in_force = Restriction::new(Locked).with_until(start() + seconds(90));
    world.restrict(in_force).await;
    let answer = tokio::time::timeout(seconds(30), waiting).await;
    let answer = Answer::read(answer.expect("it ends").unwrap()).await;
    World::<S, R>::expect(&answer, refused(Locked), Some("90"));
}

/// Whose tokens there are, in memory.
struct Own;

impl AccountStateStore for Own {
    const RESOLVES_AT_ONCE: bool = true;

    async fn access_token(&self, token: &str) -> store::Answer {
        Ok((token == TOKEN).then(|| ALICE.into()))
    }

    without! {
        application_service, login_name, third_party, login_token, refresh_token, event_sender, state, changes
    }
}

macro_rules! over_every_store {
    ($($name:ident: $make:expr;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn rule_2_a_time_out_ends_by_itself_to_the_second() {
                let (store, restrictions, _keep) = $make;
                a_time_out_ends_by_itself_to_the_second(World::new(store, restrictions)).await;
            }

            #[tokio::test]
            async fn rule_4_each_restriction_ends_at_its_own_time() {
                let (store, restrictions, _keep) = $make;
                each_restriction_ends_at_its_own_time(World::new(store, restrictions)).await;
            }

            #[tokio::test]
            async fn rule_16_a_sync_that_waits_ends_for_a_restriction_in_force_and_for_no_other() {
                let (store, restrictions, _keep) = $make;
                let world = World::new(store, restrictions);
                super::rule_16_a_sync_that_waits_ends_for_a_restriction_in_force_and_for_no_other(
                    world,
                )
                .await;
            }
        }
    )*};
}

fn memory() -> Arc<MemoryStore> {
    support::store()
}

async fn sqlite() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("restrictions.db")).await;
    (store.unwrap(), folder)
}

async fn in_postgres() -> (PostgresStore, Arc<Cluster>) {
    let cluster = Cluster::shared();
    let store = PostgresStore::connect(&cluster.database().await).await;
    (store.unwrap(), cluster)
}

over_every_store! {
    memory_store: {
        let store = memory();
        (Arc::clone(&store), store, ())
    };
    cached_memory_store: {
        let store = memory();
        (CachedStore::new(Arc::clone(&store)), store, ())
    };
    sqlite_store: {
        let (store, keep) = sqlite().await;
        (Combined::new(Own, store.clone()), store, keep)
    };
    cached_sqlite_store: {
        let (store, keep) = sqlite().await;
        (CachedStore::new(Combined::new(Own, store.clone())), store, keep)
    };
    postgres_store: {
        let (store, keep) = in_postgres().await;
        (Combined::new(Own, store.clone()), store, keep)
    };
    cached_postgres_store: {
        let (store, keep) = in_postgres().await;
        (CachedStore::new(Combined::new(Own, store.clone())), store, keep)
    };
}
