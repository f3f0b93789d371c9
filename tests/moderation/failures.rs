//! Rule 12: while the directory or the store fails, hangs or panics the answer is 503, and never
//! 401, 403 or 404. And the answers to bodies that fail.

use std::{
    convert::Infallible,
    future::pending,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use tower::{Layer as _, ServiceExt};
use tower_account_status::{
    AccountDirectory, AccountModerationLayer, AccountState, Authentication, MemoryStore,
    RestrictionKind, RestrictionRecord, RestrictionStore, UserId,
};
use tower_account_status::{
    Changes,
    moderation::Refusal,
    store::{ChangeRecord, StoreError},
};

use crate::{
    records::{LOCK_ALICE, request},
    stacks::{oneshot, router},
    table::check_error,
    world::{Directory, World},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Point {
    Authenticate,
    Administrator,
    Local,
    Exists,
    State,
    Record,
    Restrict,
    Lift,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Fails,
    Hangs,
    Panics,
}

/// A directory and a store that fail at one point.
#[derive(Default)]
pub(crate) struct Broken {
    pub(crate) directory: Directory,
    pub(crate) store: MemoryStore,
    pub(crate) at: Option<(Point, How)>,
    /// What a failure says.
    pub(crate) error: Option<StoreError>,
}

impl Broken {
    async fn at(&self, point: Point) -> Result<(), StoreError> {
        match self.at {
            Some((at, How::Fails)) if at == point => {
                let down = || StoreError::msg("the database is down");
                Err(self.error.clone().unwrap_or_else(down))
            }
            Some((at, How::Hangs)) if at == point => pending().await,
            Some((at, How::Panics)) if at == point => panic!("{point:?} panics, as it should"),
            _ => Ok(()),
        }
    }
}

fn sure<T>(answer: Result<T, Infallible>) -> T {
    answer.unwrap_or_else(|never| match never {})
}

impl AccountDirectory for Broken {
    type Error = StoreError;

    async fn authenticate(&self, token: &str) -> Result<Authentication, StoreError> {
        self.at(Point::Authenticate).await?;
        Ok(sure(self.directory.authenticate(token).await))
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, StoreError> {
        self.at(Point::Administrator).await?;
        Ok(sure(self.directory.is_administrator(user).await))
    }

    fn is_local(&self, user: &UserId) -> bool {
        if matches!(self.at, Some((Point::Local, _))) {
            panic!("`is_local` panics, as it should");
        }
        self.directory.is_local(user)
    }

    async fn exists(&self, user: &UserId) -> Result<bool, StoreError> {
        self.at(Point::Exists).await?;
        Ok(sure(self.directory.exists(user).await))
    }
}

impl RestrictionStore for Broken {
    type Error = StoreError;

    async fn state_of(&self, user: &str) -> Result<AccountState, StoreError> {
        self.at(Point::State).await?;
        Ok(sure(self.store.state_of(user).await))
    }

    async fn set_restriction(
        &self,
        user: &UserId,
        record: RestrictionRecord,
    ) -> Result<(), StoreError> {
        self.at(Point::Restrict).await?;
        sure(self.store.set_restriction(user, record).await);
        Ok(())
    }

    async fn lift_restriction(
        &self,
        user: &UserId,
        kind: RestrictionKind,
        change: &ChangeRecord,
    ) -> Result<bool, StoreError> {
        self.at(Point::Lift).await?;
        Ok(sure(self.store.lift_restriction(user, kind, change).await))
    }

    fn restriction_changes(&self) -> Option<Changes> {
        None
    }

    async fn record(
        &self,
        user: &UserId,
        kind: RestrictionKind,
    ) -> Result<Option<RestrictionRecord>, StoreError> {
        self.at(Point::Record).await?;
        Ok(sure(self.store.record(user, kind).await))
    }

    async fn restricted(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, Vec<RestrictionRecord>)>, StoreError> {
        Ok(sure(self.store.restricted(after, limit).await))
    }
}

async fn ask(at: Option<(Point, How)>, method: Method, body: &'static str) -> Response<Bytes> {
    let broken = Arc::new(Broken {
        at,
        ..Broken::default()
    });
    let layer = AccountModerationLayer::new(Arc::clone(&broken), broken);
    let request = request(method, LOCK_ALICE, "admin", body);
    oneshot(layer.layer(router()), request).await
}

#[tokio::test(start_paused = true)]
async fn rule_12_whatever_fails_the_answer_is_503() {
    const LOCK: (Method, &str) = (Method::PUT, r#"{"locked":true}"#);
    const UNLOCK: (Method, &str) = (Method::PUT, r#"{"locked":false}"#);
    for (point, (method, body)) in [
        (Point::Authenticate, (Method::GET, "")),
        (Point::Administrator, (Method::GET, "")),
        (Point::Local, (Method::GET, "")),
        (Point::Exists, (Method::GET, "")),
        (Point::State, (Method::GET, "")),
        (Point::Record, LOCK),
        (Point::Restrict, LOCK),
        (Point::Lift, UNLOCK),
    ] {
        let sound = ask(None, method.clone(), body).await;
        assert_eq!(sound.status(), 200, "{point:?} is sound");
        for how in [How::Fails, How::Hangs, How::Panics] {
            let before = tokio::time::Instant::now();
            let response = ask(Some((point, how)), method.clone(), body).await;
            assert_eq!(response.status(), 503, "{point:?} {how:?}");
            check_error(&response, "M_UNKNOWN", None).unwrap();
            // Rule 21: a change that may have been made is not answered as one that was not.
            let is_begun = matches!(point, Point::Restrict | Point::Lift);
            let expected = match is_begun {
                true => Refusal::NotKnown,
                false => Refusal::Unavailable,
            };
            assert_eq!(response.extensions().get(), Some(&expected), "{point:?}");
            let said = String::from_utf8_lossy(response.body());
            assert_eq!(said.contains("not known whether"), is_begun, "{said}");
            assert_eq!(response.headers()["retry-after"], "5");
            let exposed = &response.headers()["access-control-expose-headers"];
            assert_eq!(exposed, "Retry-After");
            assert!(before.elapsed() <= Duration::from_millis(5001));
        }
    }
}

/// A body that hangs, fails, or panics if it is read.
enum OddBody {
    Hangs,
    Fails,
    MustNotBeRead,
}

impl http_body::Body for OddBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match *self {
            Self::Hangs => Poll::Pending,
            Self::Fails => Poll::Ready(Some(Err("connection reset"))),
            Self::MustNotBeRead => panic!("nobody may read this body"),
        }
    }
}

async fn put(token: &str, body: OddBody) -> Response<Bytes> {
    let world = World::new(MemoryStore::new());
    let request = request(Method::PUT, LOCK_ALICE, token, "").map(|_| Body::new(body));
    let service = world.layer().layer(router());
    let response: Response<Body> = service.oneshot(request).await.unwrap();
    assert!(world.state("@alice:example.org").await.is_active());
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
    Response::from_parts(parts, body)
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_body_that_fails_is_400_and_one_that_hangs_408() {
    let response = put("admin", OddBody::Fails).await;
    assert_eq!(response.status(), 400);
    check_error(&response, "M_UNKNOWN", None).unwrap();
    let response = put("admin", OddBody::Hangs).await;
    assert_eq!(response.status(), 408);
    check_error(&response, "M_UNKNOWN", None).unwrap();
}

#[tokio::test]
async fn rule_11_the_body_is_read_for_an_administrator_only() {
    for (token, status) in [("alice", 403), ("nobody", 401)] {
        let response = put(token, OddBody::MustNotBeRead).await;
        assert_eq!(response.status(), status, "{token}");
    }
}

#[tokio::test]
async fn other_paths_are_not_looked_at() {
    let world = World::new(MemoryStore::new());
    let request = Request::builder()
        .method(Method::PUT)
        .uri("/_matrix/client/v3/rooms/!r/send/m.room.message/1")
        .header("authorization", "Bearer admin")
        .body(Body::new(OddBody::MustNotBeRead))
        .unwrap();
    let response = world
        .layer()
        .layer(router())
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert!(world.directory.take_questions().is_empty());
    assert_eq!(world.restrictions.take_calls(), 0);
}

#[tokio::test]
async fn rule_13_the_inner_services_error_passes_unchanged() {
    #[derive(Debug, PartialEq)]
    struct Odd;
    let inner = tower::service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>(Odd) });
    let service = World::new(MemoryStore::new()).layer().layer(inner);
    let request = Request::new(Body::empty());
    assert_eq!(service.oneshot(request).await.unwrap_err(), Odd);
}
