//! What a PUT records.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use tower_account_status::{
    Restriction,
    RestrictionKind::Locked,
    RestrictionRecord, RestrictionStore,
    store::{ChangeRecord, Channel},
};

use crate::{
    stacks::Stack,
    world::{ADMIN, ALICE, Layer, OTHER_ADMIN, World, now},
};

pub(crate) fn request(
    method: Method,
    path: &str,
    token: &str,
    body: &'static str,
) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Bytes::from_static(body.as_bytes()))
        .unwrap()
}

pub(crate) const LOCK_ALICE: &str = "/_matrix/client/v1/admin/lock/@alice:example.org";

async fn lock_alice<R: RestrictionStore>(layer: &Layer<R>) {
    let request = request(Method::PUT, LOCK_ALICE, "admin", r#"{"locked":true}"#);
    let response = Stack::AroundRouter.send(layer, request).await;
    assert_eq!(response.status(), StatusCode::OK, "{:?}", response.body());
}

fn ago(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

pub(crate) async fn a_put_goes_on_record<R: RestrictionStore>(store: R) {
    let world = World::new(store);
    lock_alice(&world.layer()).await;
    let expected = RestrictionRecord::new(Locked)
        .with_set_by(ADMIN)
        .with_set_at(now());
    assert_eq!(world.record(ALICE, Locked).await, Some(expected));
}

pub(crate) async fn metadata_is_reflected_where_the_state_stands_already<R: RestrictionStore>(
    store: R,
) {
    let world = World::new(store);
    let restriction = Restriction::new(Locked)
        .with_reason("See your e-mail")
        .with_until(now() + Duration::from_secs(60));
    let record = RestrictionRecord::new(restriction.clone())
        .with_set_by(OTHER_ADMIN)
        .with_set_at(ago(60));
    world.restrict(ALICE, record).await;
    lock_alice(&world.layer()).await;
    let expected = RestrictionRecord::new(restriction)
        .with_set_by(ADMIN)
        .with_set_at(now());
    assert_eq!(
        world.record(ALICE, Locked).await,
        Some(expected.clone()),
        "the reason and the end stay, and whoever asked last is named"
    );
    let later = world.layer().with_clock(|| now() + Duration::from_secs(1));
    lock_alice(&later).await;
    assert_eq!(
        world.record(ALICE, Locked).await,
        Some(expected),
        "the same administrator's second request changes nothing"
    );
}

pub(crate) async fn an_ended_restriction_is_replaced<R: RestrictionStore>(store: R) {
    let world = World::new(store);
    let restriction = Restriction::new(Locked)
        .with_reason("A day to cool down")
        .with_until(ago(1));
    let record = RestrictionRecord::new(restriction).with_set_by(ADMIN);
    world.restrict(ALICE, record.with_set_at(ago(60))).await;
    lock_alice(&world.layer()).await;
    let expected = RestrictionRecord::new(Locked)
        .with_set_by(ADMIN)
        .with_set_at(now());
    assert_eq!(world.record(ALICE, Locked).await, Some(expected));
}

/// A lift too: the endpoint knows who asks for it.
pub(crate) async fn every_change_says_who_makes_it<R: RestrictionStore>(store: R) {
    let world = World::new(store);
    for body in [r#"{"locked":true}"#, r#"{"locked":false}"#] {
        let put = request(Method::PUT, LOCK_ALICE, "admin", body);
        let response = Stack::AroundRouter.send(&world.layer(), put).await;
        assert_eq!(response.status(), StatusCode::OK);
        let change = ChangeRecord::through(Channel::ADMIN_ENDPOINT)
            .with_actor(ADMIN)
            .with_time(now());
        assert_eq!(world.restrictions.take_changes(), [change], "{body}");
    }
}
