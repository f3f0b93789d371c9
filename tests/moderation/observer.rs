//! What the layer's observer hears, and what the log has: every change, every refusal, every
//! failure with its causes, and no secret.

use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request};
use tower::Layer as _;
use tower_account_status::{
    AccountModerationLayer, MemoryStore, Restriction,
    RestrictionKind::Locked,
    RestrictionRecord,
    moderation::{Decision, Outcome, Refusal},
    store::StoreError,
};

use crate::{
    failures::{Broken, How, Point},
    records::{LOCK_ALICE, request},
    stacks::{Stack, oneshot, router},
    world::{OTHER_ADMIN, World, now},
};

const LOCK: &str = r#"{"locked":true}"#;
const UNLOCK: &str = r#"{"locked":false}"#;

/// What the observer heard, a line each.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn hear(&self) -> impl Fn(&Outcome<'_>) + Send + Sync + 'static {
        let heard = Arc::clone(&self.0);
        move |outcome| {
            assert!(!format!("{outcome:?}").contains("Bearer"));
            heard.lock().unwrap().push(said(outcome));
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn said(outcome: &Outcome<'_>) -> String {
    let name = |user: Option<&tower_account_status::UserId>| {
        user.and_then(|user| user.localpart())
            .unwrap_or("-")
            .to_owned()
    };
    let wanted = match outcome.wanted() {
        Some(true) => "set",
        Some(false) => "lift",
        None => "-",
    };
    let reason = outcome.restriction().and_then(Restriction::reason);
    let refusal = outcome.refusal().map(Refusal::errcode);
    let said = format!(
        "{} {} {} {wanted} {} {} {}",
        outcome.decision(),
        name(outcome.requester()),
        name(outcome.user()),
        outcome.kind().as_str(),
        reason.unwrap_or("-"),
        refusal.unwrap_or("-"),
    );
    match outcome.error() {
        Some(error) => format!("{said}: {}", causes(error)),
        None => said,
    }
}

/// What an error says and what it stems from, once each.
fn causes(error: &dyn Error) -> String {
    let said = error.to_string();
    let causes = error.source().map(causes).unwrap_or_default();
    match said.ends_with(&causes) {
        true => said,
        false => format!("{said}: {causes}"),
    }
}

fn suspend(user: &str) -> String {
    format!("/_matrix/client/v1/admin/suspend/@{user}:example.org")
}

#[tokio::test]
async fn every_change_and_every_refusal_is_heard() {
    let world = World::new(MemoryStore::new());
    let heard = Heard::default();
    let layer = world.layer().with_observer(heard.hear());
    let alice = suspend("alice");
    for (method, path, token, body, expected) in [
        (
            Method::GET,
            LOCK_ALICE,
            "admin",
            "",
            "answered admin alice - locked - -",
        ),
        (
            Method::PUT,
            LOCK_ALICE,
            "admin",
            LOCK,
            "changed admin alice set locked - -",
        ),
        (
            Method::PUT,
            LOCK_ALICE,
            "admin",
            LOCK,
            "unchanged admin alice set locked - -",
        ),
        (
            Method::PUT,
            LOCK_ALICE,
            "other-admin",
            LOCK,
            "changed other-admin alice set locked - -",
        ),
        (
            Method::PUT,
            LOCK_ALICE,
            "admin",
            UNLOCK,
            "changed admin alice lift locked - -",
        ),
        (
            Method::PUT,
            LOCK_ALICE,
            "admin",
            UNLOCK,
            "unchanged admin alice lift locked - -",
        ),
        (
            Method::PUT,
            LOCK_ALICE,
            "alice",
            LOCK,
            "refused alice alice - locked - M_FORBIDDEN",
        ),
        (
            Method::PUT,
            LOCK_ALICE,
            "nobody",
            LOCK,
            "refused - alice - locked - M_UNKNOWN_TOKEN",
        ),
        (
            Method::DELETE,
            LOCK_ALICE,
            "admin",
            LOCK,
            "refused - alice - locked - M_UNRECOGNIZED",
        ),
        (
            Method::PUT,
            LOCK_ALICE,
            "admin",
            "",
            "refused admin alice - locked - M_NOT_JSON",
        ),
        (
            Method::PUT,
            &*suspend("gone"),
            "admin",
            LOCK,
            "refused admin gone - suspended - M_NOT_FOUND",
        ),
        (
            Method::PUT,
            &*alice,
            "admin",
            r#"{"suspended":true}"#,
            "changed admin alice set suspended - -",
        ),
    ] {
        let request = request(method.clone(), path, token, body);
        Stack::AroundRouter.send(&layer, request).await;
        assert_eq!(heard.take(), [expected], "{method} {path} {body}");
    }
    // Nothing of what is the inner service's, nor of what asks nobody.
    for (method, path) in [
        (Method::OPTIONS, LOCK_ALICE),
        (Method::GET, "/_matrix/client/v3/sync"),
    ] {
        Stack::AroundRouter
            .send(&layer, request(method, path, "admin", ""))
            .await;
        assert!(heard.take().is_empty(), "{path}");
    }
    // The reason that stays is heard with the change.
    let restriction = Restriction::new(Locked)
        .with_reason("See your e-mail")
        .with_until(now() + Duration::from_secs(60));
    let record = RestrictionRecord::new(restriction).with_set_by(OTHER_ADMIN);
    world.restrict("@alice:example.org", record).await;
    let put = request(Method::PUT, LOCK_ALICE, "admin", LOCK);
    Stack::AroundRouter.send(&layer, put).await;
    assert_eq!(
        heard.take(),
        ["changed admin alice set locked See your e-mail -"]
    );
}

fn disk_full() -> StoreError {
    let disk = std::io::Error::new(std::io::ErrorKind::StorageFull, "the disk is full");
    StoreError::boxed(Wrapped(disk))
}

/// An error with a cause below.
#[derive(Debug)]
struct Wrapped(std::io::Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the change was not made")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn broken(at: Option<(Point, How)>) -> AccountModerationLayer<Arc<Broken>, Arc<Broken>> {
    let broken = Broken {
        at,
        error: Some(disk_full()),
        ..Broken::default()
    };
    let broken = Arc::new(broken);
    AccountModerationLayer::new(Arc::clone(&broken), broken)
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_heard_with_its_causes() {
    let heard = Heard::default();
    for (point, body, expected) in [
        (
            Point::Authenticate,
            LOCK,
            "failed - alice - locked - M_UNKNOWN",
        ),
        (
            Point::State,
            LOCK,
            "failed admin alice - locked - M_UNKNOWN",
        ),
        (
            Point::Restrict,
            LOCK,
            "failed admin alice set locked - M_UNKNOWN",
        ),
        (
            Point::Lift,
            UNLOCK,
            "failed admin alice lift locked - M_UNKNOWN",
        ),
    ] {
        for (how, cause) in [
            (How::Fails, ": the change was not made: the disk is full"),
            (
                How::Hangs,
                ": the store did not answer within the time limit",
            ),
            (How::Panics, ": the store panicked"),
        ] {
            let layer = broken(Some((point, how))).with_observer(heard.hear());
            let put = request(Method::PUT, LOCK_ALICE, "admin", body);
            let response = oneshot(layer.layer(router()), put).await;
            assert_eq!(response.status(), 503);
            assert_eq!(
                heard.take(),
                [format!("{expected}{cause}")],
                "{point:?} {how:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_observer_that_panics_harms_no_request() {
    let world = World::new(MemoryStore::new());
    let layer = world
        .layer()
        .with_observer(|_| panic!("the observer panics, as it should"));
    for body in [LOCK, ""] {
        let response = Stack::AroundRouter
            .send(&layer, request(Method::PUT, LOCK_ALICE, "admin", body))
            .await;
        assert_eq!(
            response.status().as_u16(),
            if body == LOCK { 200 } else { 400 }
        );
    }
    assert!(!world.state("@alice:example.org").await.is_active());
}

/// What a server keeps in the extensions is there, the request's id for one.
#[tokio::test]
async fn the_requests_extensions_are_shown() {
    let world = World::new(MemoryStore::new());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let layer = world.layer().with_observer(move |outcome| {
        let id = outcome.extensions().get::<&'static str>().copied();
        hear.lock()
            .unwrap()
            .push((id, outcome.endpoint(), outcome.method().clone()));
    });
    let mut put: Request<Bytes> = request(Method::PUT, LOCK_ALICE, "admin", LOCK);
    put.extensions_mut().insert("request 7");
    Stack::AroundRouter.send(&layer, put).await;
    let expected = (Some("request 7"), "admin/lock/{userId}", Method::PUT);
    assert_eq!(*heard.lock().unwrap(), [expected]);
    assert_eq!(Decision::Changed.to_string(), Decision::Changed.as_str());
}

#[cfg(feature = "tracing")]
mod log {
    use std::fmt::{Debug, Write as _};

    use tracing::{Event, Level, Metadata, Subscriber, field, span};

    use super::*;

    /// The events, a line each.
    #[derive(Clone, Default)]
    struct Events(Arc<Mutex<Vec<(Level, String)>>>);

    struct Fields(String);

    impl field::Visit for Fields {
        fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }

    impl Subscriber for Events {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata
                .target()
                .starts_with("tower_account_status::moderation")
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut fields = Fields(String::new());
            event.record(&mut fields);
            let mut events = self.0.lock().unwrap();
            events.push((*event.metadata().level(), fields.0));
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    impl Events {
        fn take(&self) -> Vec<(Level, String)> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_change_refusal_and_failure_is_an_event() {
        let events = Events::default();
        // With a single subscriber in the process, tracing asks the first thread that reaches an
        // event, perhaps that of another test, and remembers that it has none.
        let _second = tracing::Dispatch::new(Events::default());
        let _log = tracing::subscriber::set_default(events.clone());
        let sound = broken(None);
        let failing = broken(Some((Point::Restrict, How::Fails)));
        let away = broken(Some((Point::Authenticate, How::Fails)));
        for (layer, token, body, level, expected) in [
            (&sound, "admin", LOCK, Level::INFO, "restriction changed"),
            (&sound, "admin", UNLOCK, Level::INFO, "set=false"),
            (&sound, "admin", "", Level::INFO, "not JSON"),
            (
                &sound,
                "alice",
                LOCK,
                Level::DEBUG,
                "Only a server administrator",
            ),
            (
                &failing,
                "admin",
                LOCK,
                Level::WARN,
                "the change was not made: the disk is full",
            ),
            // Each change that an administrator wanted, and not one a minute.
            (
                &failing,
                "admin",
                LOCK,
                Level::WARN,
                "the change was not made: the disk is full",
            ),
            (
                &away,
                "admin",
                LOCK,
                Level::WARN,
                "the change was not made: the disk is full",
            ),
        ] {
            let put = request(Method::PUT, LOCK_ALICE, token, body);
            oneshot(layer.clone().layer(router()), put).await;
            let said = events.take();
            let [(found, text)] = &said[..] else {
                panic!("{body}: {said:?}");
            };
            assert_eq!(*found, level, "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(text.contains("@alice:example.org"), "{text}");
            assert!(!text.contains("Bearer"), "{text}");
        }
        // Failures that anybody can cause are logged once, and then counted.
        let put = request(Method::PUT, LOCK_ALICE, "admin", LOCK);
        oneshot(away.layer(router()), put).await;
        assert_eq!(events.take(), []);
    }
}
