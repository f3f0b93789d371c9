//! The store is told of a logout that succeeded. A store that remembers the token's owner forgets it, so
//! that the token of a restricted account is answered as any other unknown token.
#![cfg(feature = "cache")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, CachedStore, DynAccountStateStore, Logout,
    MemoryStore, RequestPath, RestrictionKind::Locked, UserId, forward, store::Answer, without,
};

type Body = Full<Bytes>;

const ALICE: &str = "@alice:hs";
const SYNC: &str = "GET /_matrix/client/v3/capabilities";
const LOGOUT: &str = "POST /_matrix/client/v3/logout";
const LOGOUT_ALL: &str = "POST /_matrix/client/r0/logout/all";

/// A wrapper as a server would write it.
struct Wrapper {
    inner: CachedStore<Awaited>,
}

impl AccountStateStore for Wrapper {
    forward! { inner => all except peek }
}

/// One that looks at the tokens itself.
struct OwnTokens {
    inner: CachedStore<Awaited>,
}

impl AccountStateStore for OwnTokens {
    forward! { inner => all except access_token }

    async fn access_token(&self, token: &str) -> Answer {
        self.inner.access_token(token).await
    }
}

/// A store that is awaited, as a database is.
struct Awaited(Arc<MemoryStore>);

impl AccountStateStore for Awaited {
    async fn access_token(&self, token: &str) -> Answer {
        AccountStateStore::access_token(&self.0, token).await
    }

    async fn state(
        &self,
        user: &str,
    ) -> Result<AccountState, tower_account_status::store::StoreError> {
        AccountStateStore::state(&self.0, user).await
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }
}

/// A homeserver in whose store these tokens are Alice's.
fn memory(tokens: &[&str]) -> Arc<MemoryStore> {
    let memory = MemoryStore::new();
    for token in tokens {
        memory.insert_access_token(token, ALICE);
    }
    memory.insert_access_token("bob", "@bob:hs");
    Arc::new(memory)
}

/// The answer to a request with this token, if logouts are answered with this status.
async fn ask<S: AccountStateStore>(
    layer: &AccountStatusLayer<S>,
    memory: &Arc<MemoryStore>,
    logout: StatusCode,
    (line, token): (&str, &str),
) -> u16 {
    let inner = service_fn(move |request: Request<Body>| {
        let memory = Arc::clone(memory);
        async move {
            let header = request.headers()["authorization"].to_str().expect("text");
            let token = header.strip_prefix("Bearer ").expect("a token").to_owned();
            let known = AccountStateStore::access_token(&memory, &token).await;
            let mut response = Response::new(Body::default());
            *response.status_mut() = match request.uri().path() {
                path if !path.contains("/logout") && known.is_ok_and(|k| k.is_none()) => {
                    StatusCode::NOT_FOUND
                }
                path if path.contains("/logout") => logout,
                _ => StatusCode::OK,
            };
            if response.status().is_success() && request.uri().path().ends_with("/logout") {
                memory.remove_access_token(&token);
            }
            if response.status().is_success() && request.uri().path().ends_with("/all") {
                for token in ["a", "b", "c"] {
                    memory.remove_access_token(token);
                }
            }
            Ok::<_, Infallible>(response)
        }
    });
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Body::default())
        .expect("a request");
    let mut service = layer.layer(inner);
    let response = service.ready().await.expect("ready").call(request);
    response.await.expect("infallible").status().as_u16()
}

async fn logs_out<S: AccountStateStore>(of: impl FnOnce(CachedStore<Awaited>) -> S) {
    let memory = memory(&["a", "b", "c"]);
    let store = CachedStore::new(Awaited(Arc::clone(&memory)));
    let cache = store.handle();
    let layer = AccountStatusLayer::new(of(store));
    let ok = StatusCode::OK;
    for token in ["a", "b", "c", "bob"] {
        assert_eq!(ask(&layer, &memory, ok, (SYNC, token)).await, 200);
    }
    memory.restrict(ALICE, Locked);
    memory.restrict("@bob:hs", Locked);
    cache.invalidate(ALICE);
    cache.invalidate("@bob:hs");
    for token in ["a", "b", "c", "bob"] {
        assert_eq!(ask(&layer, &memory, ok, (SYNC, token)).await, 401);
    }
    // A logout that fails ends nothing.
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    assert_eq!(ask(&layer, &memory, failed, (LOGOUT, "a")).await, 500);
    assert_eq!(ask(&layer, &memory, ok, (SYNC, "a")).await, 401);
    // One that succeeds ends the session of its token.
    assert_eq!(ask(&layer, &memory, ok, (LOGOUT, "a")).await, 200);
    assert_eq!(ask(&layer, &memory, ok, (SYNC, "a")).await, 404);
    assert_eq!(ask(&layer, &memory, ok, (SYNC, "b")).await, 401);
    // Or those of all its sessions, but no one else's.
    assert_eq!(ask(&layer, &memory, ok, (LOGOUT_ALL, "b")).await, 200);
    for token in ["b", "c"] {
        assert_eq!(
            ask(&layer, &memory, ok, (SYNC, token)).await,
            404,
            "{token}"
        );
    }
    assert_eq!(ask(&layer, &memory, ok, (SYNC, "bob")).await, 401);
}

#[tokio::test]
async fn rule_5_a_token_that_was_logged_out_is_unknown_in_the_cache_too() {
    logs_out(|store| store).await;
}

#[tokio::test]
async fn rule_5_a_token_that_was_logged_out_before_the_lock_is_unknown_afterwards() {
    for (logout, ended) in [(LOGOUT, &["a"][..]), (LOGOUT_ALL, &["a", "b", "c"])] {
        let memory = memory(&["a", "b", "c"]);
        let store = CachedStore::new(Awaited(Arc::clone(&memory)));
        let cache = store.handle();
        let layer = AccountStatusLayer::new(store);
        let ok = StatusCode::OK;
        for token in ["a", "b", "c"] {
            assert_eq!(ask(&layer, &memory, ok, (SYNC, token)).await, 200);
        }
        assert_eq!(ask(&layer, &memory, ok, (logout, "a")).await, 200);
        memory.restrict(ALICE, Locked);
        cache.invalidate(ALICE);
        for token in ["a", "b", "c"] {
            let answer = match ended.contains(&token) {
                true => 404,
                false => 401,
            };
            let answered = ask(&layer, &memory, ok, (SYNC, token)).await;
            assert_eq!(answered, answer, "{logout}, then {token}");
        }
    }
}

/// The paths that the settings take from elsewhere, heads that the fast path leaves to the long way, and
/// layers that examine every request.
#[tokio::test]
async fn rule_5_a_logout_of_an_active_account_is_told_on_every_way() {
    type Layer = AccountStatusLayer<Told>;
    let told = Arc::new(AtomicU16::new(0));
    let layer = || {
        AccountStatusLayer::new(Told {
            told: Arc::clone(&told),
            state: AccountState::ACTIVE,
        })
    };
    let exact = "/_matrix/client/v3/logout/all";
    let ways: [(Layer, &str, &[&str]); 5] = [
        (layer(), exact, &["cookie", "cookie"]),
        (layer(), "/_matrix/client/v3/logout/all?access_token=a", &[]),
        (layer().with_checked_accounts(), exact, &[]),
        (
            layer().with_request_path(RequestPath::nested_at("/_matrix/client/v3")),
            "/logout/all",
            &[],
        ),
        (layer().add_exempt(Method::POST, exact), exact, &[]),
    ];
    for (turn, (layer, uri, headers)) in ways.into_iter().enumerate() {
        let mut request = Request::post(uri);
        if !uri.contains("token") {
            request = request.header("authorization", "Bearer a");
        }
        for name in headers {
            request = request.header(*name, "x=y");
        }
        let inner = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Body::default()))
        });
        let request = request.body(Body::default()).expect("a request");
        let response = layer
            .layer(inner)
            .oneshot(request)
            .await
            .expect("infallible");
        assert_eq!(response.status(), 200, "{uri}");
        assert_eq!(
            usize::from(told.load(Ordering::Relaxed)),
            turn + 1,
            "{uri} {headers:?}"
        );
    }
}

#[tokio::test]
async fn rule_5_a_logout_reaches_the_cache_through_pointers_and_wrappers() {
    logs_out(|store| Arc::new(Box::new(store))).await;
    logs_out(DynAccountStateStore::new).await;
    logs_out(|inner| Wrapper { inner }).await;
    logs_out(|inner| OwnTokens { inner }).await;
}

/// Counts what it is told, and panics.
struct Told {
    told: Arc<AtomicU16>,
    state: AccountState,
}

impl AccountStateStore for Told {
    const RESOLVES_AT_ONCE: bool = true;

    async fn access_token(&self, _: &str) -> Answer {
        Ok(Some(UserId::from(ALICE)))
    }

    async fn state(
        &self,
        _: &str,
    ) -> Result<AccountState, tower_account_status::store::StoreError> {
        Ok(self.state.clone())
    }

    fn logged_out(&self, token: &str, logout: Logout) {
        assert_eq!((token, logout), ("a", Logout::AllSessions));
        self.told.fetch_add(1, Ordering::Relaxed);
        panic!("the store is a bad one");
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }
}

#[tokio::test]
async fn rule_12_a_store_that_panics_on_a_logout_does_not_fail_it() {
    let told = Arc::new(AtomicU16::new(0));
    let layer = AccountStatusLayer::new(Told {
        told: Arc::clone(&told),
        state: AccountState::ACTIVE.with(Locked),
    });
    let memory = memory(&[]);
    let answer = ask(&layer, &memory, StatusCode::OK, (LOGOUT_ALL, "a")).await;
    assert_eq!((answer, told.load(Ordering::Relaxed)), (200, 1));
    let answer = ask(&layer, &memory, StatusCode::BAD_GATEWAY, (LOGOUT_ALL, "a")).await;
    assert_eq!((answer, told.load(Ordering::Relaxed)), (502, 1));
}
