//! How often a store is asked, and what for.

mod support;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use support::{ALICE, BOB, BOBS_TOKEN, LOGIN, LOGOUT, SYNC, TOKEN, anonymous, ask, bear};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, RestrictionKind, ThirdParty, UserId,
    store::{Answer, StoreError},
    without,
};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

/// Notes each look-up that begins. Alice is locked.
#[derive(Default)]
struct Noting(Arc<Mutex<Vec<String>>>);

impl Noting {
    fn note(&self, what: &str, of: &str) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(format!("{what} {of}"));
    }

    fn token(&self, token: &str) -> Option<UserId> {
        self.note("token", token);
        match token {
            TOKEN => Some(ALICE.into()),
            BOBS_TOKEN => Some(BOB.into()),
            _ => None,
        }
    }

    fn service(&self, token: &str) -> Option<UserId> {
        self.note("service", token);
        (token == "bridge").then(|| "@bridge:localhost".into())
    }

    fn name(&self, name: &str) -> UserId {
        self.note("name", name);
        UserId::local(name, "localhost")
    }

    fn state_of(&self, user: &str) -> AccountState {
        self.note("state", user);
        match user {
            ALICE => RestrictionKind::Locked.into(),
            _ => AccountState::ACTIVE,
        }
    }
}

macro_rules! store {
    ($store:ident, $at_once:literal) => {
        struct $store(Noting);

        impl AccountStateStore for $store {
            const RESOLVES_AT_ONCE: bool = $at_once;

            async fn access_token(&self, token: &str) -> Answer {
                Ok(self.0.token(token))
            }

            async fn application_service(&self, token: &str) -> Answer {
                Ok(self.0.service(token))
            }

            async fn login_name(&self, name: &str) -> Answer {
                Ok(Some(self.0.name(name)))
            }

            async fn third_party(&self, _: ThirdParty<'_>) -> Answer {
                Ok(None)
            }

            without! { login_token, refresh_token, event_sender, changes }

            async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
                Ok(self.0.state_of(user))
            }
        }
    };
}

store!(PolledOnce, true);
store!(Awaited, false);

fn request(method: Method, uri: &str, token: &str, body: &'static str) -> Request<Full<Bytes>> {
    let mut request = anonymous(method, uri, body);
    if !token.is_empty() {
        bear(&mut request, token);
    }
    request
}

async fn begun<S: AccountStateStore>(
    make: impl FnOnce(Noting) -> S,
    request: Request<Full<Bytes>>,
) -> Vec<String> {
    let noted = Arc::default();
    let layer = AccountStatusLayer::new(make(Noting(Arc::clone(&noted))));
    ask(&layer, request).await;
    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *noted)
}

/// A look-up that was begun to answer at once is neither begun again nor awaited after that.
#[tokio::test]
async fn a_store_that_is_polled_once_begins_one_look_up_a_request() {
    let alice = ["token syt_alice_secret", "state @alice:localhost"].as_slice();
    let bob = ["token syt_bob_secret", "state @bob:localhost"].as_slice();
    let unknown = ["token unknown", "service unknown"].as_slice();
    let query = "?user_id=@bob:localhost";
    for (method, path, token, body, expected) in [
        (Method::GET, WHOAMI, BOBS_TOKEN, "", bob),
        (Method::GET, WHOAMI, TOKEN, "", alice),
        (Method::GET, WHOAMI, "", "", &[]),
        // Only when it is no user's is it looked for among the services'.
        (Method::GET, WHOAMI, "unknown", "", unknown),
        (
            Method::GET,
            WHOAMI,
            "bridge",
            "",
            &["token bridge", "service bridge", "state @bridge:localhost"],
        ),
        (Method::GET, SYNC, BOBS_TOKEN, "", bob),
        (Method::GET, SYNC, TOKEN, "", alice),
        (Method::PUT, "/x?y=z", BOBS_TOKEN, "", bob),
        (
            Method::POST,
            LOGIN,
            "",
            r#"{"user":"bob"}"#,
            &["name bob", "state @bob:localhost"],
        ),
    ] {
        for awaits in [false, true] {
            let request = request(method.clone(), path, token, body);
            let begun = match awaits {
                false => begun(PolledOnce, request).await,
                true => begun(Awaited, request).await,
            };
            assert_eq!(
                begun, expected,
                "{method} {path} {token}, awaited: {awaits}"
            );
        }
    }
    // What passes whatever the state is not asked for.
    let logs_out = || request(Method::POST, LOGOUT, TOKEN, "");
    assert!(begun(PolledOnce, logs_out()).await.is_empty());
    assert!(begun(Awaited, logs_out()).await.is_empty());
    // Its own state does not matter if the assertion counts.
    let asserts = request(Method::GET, &format!("{WHOAMI}{query}"), "bridge", "");
    let begun = begun(Awaited, asserts).await;
    assert_eq!(begun, ["service bridge", "state @bob:localhost"]);
}

/// Only the services' place can say whether a service has registered it.
#[cfg(feature = "cache")]
#[tokio::test]
async fn an_unknown_token_costs_two_look_ups_and_then_none() {
    let noted = Arc::default();
    let store = tower_account_status::CachedStore::new(Awaited(Noting(Arc::clone(&noted))));
    let layer = AccountStatusLayer::new(store);
    for path in [WHOAMI, SYNC, WHOAMI] {
        ask(&layer, request(Method::GET, path, "unknown", "")).await;
    }
    let noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(*noted, ["token unknown", "service unknown"]);
}
