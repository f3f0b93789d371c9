//! A store that remembers what it was asked, and a handler that remembers what it was given.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use tower_account_status::{AccountStateStore, AccountStatusLayer, Credential, Secret};
use tower_account_status::{ThirdParty, by_credential, store::Answer, without};
use tower_layer::Layer as _;

use crate::readers::{Names, Reader};

pub(crate) const LOGIN: &str = "/_matrix/client/v3/login";
pub(crate) const REFRESH: &str = "/_matrix/client/v3/refresh";
pub(crate) const DEACTIVATE: &str = "/_matrix/client/v3/account/deactivate";

#[derive(Clone, Default)]
struct Remembers(Arc<Mutex<Names>>);

impl AccountStateStore for Remembers {
    by_credential! { owner }
    without! { event_sender, state, changes }
}

impl Remembers {
    async fn owner(&self, credential: Credential<'_>) -> Answer {
        let text = |secret: Secret<'_>| secret.expose_str().unwrap_or_default().to_owned();
        let name = match credential {
            Credential::LoginName(user) => format!("user {user}"),
            Credential::ThirdParty(ThirdParty::Address { medium, address }) => {
                format!("third party {medium} {address}")
            }
            Credential::ThirdParty(ThirdParty::Phone { country, phone }) => {
                format!("phone {country} {phone}")
            }
            Credential::LoginToken(login) => {
                let login_type = login.login_type().unwrap_or_default();
                format!("login token {login_type} {}", text(login.token()))
            }
            Credential::RefreshToken(token) => format!("refresh token {}", text(token)),
            other => panic!("nobody sent {other:?}"),
        };
        self.0.lock().unwrap().push(name);
        Ok(None)
    }
}

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
});

/// A body, and its trailers.
pub(crate) type Received = (Bytes, Option<HeaderMap>);

/// The outcome of a request with a body.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) status: StatusCode,
    /// Whom the store was asked for.
    pub(crate) asked: Names,
    /// What the handler received, if it ran.
    pub(crate) received: Option<Received>,
}

/// Posts `body` to `path`.
pub(crate) async fn post<B>(path: &str, body: B) -> Sent
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    let received: Arc<Mutex<Option<Received>>> = Arc::default();
    let receives = Arc::clone(&received);
    let handler = tower::service_fn(
        move |request: Request<tower_account_status::RequestBody<B>>| {
            let receives = Arc::clone(&receives);
            async move {
                let body = request
                    .into_body()
                    .collect()
                    .await
                    .expect("what was read is whole");
                let trailers = body.trailers().cloned();
                *receives.lock().unwrap() = Some((body.to_bytes(), trailers));
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        },
    );
    let store = Remembers::default();
    let service = AccountStatusLayer::new(store.clone())
        .with_wrapped_bodies()
        .layer(handler);
    let request = Request::post(path).body(body).expect("a request");
    let response = service
        .oneshot(request)
        .await
        .unwrap_or_else(|never| match never {});
    let asked = store.0.lock().unwrap().clone();
    let received = received.lock().unwrap().take();
    Sent {
        status: response.status(),
        asked,
        received,
    }
}

/// Posts the whole of `body`, and checks what must be true of any: the handler receives what was
/// sent, and the store was asked for everybody whom one of `readers` sees in it.
pub(crate) fn check(path: &str, readers: &[(&str, Reader)], body: &[u8]) -> Sent {
    let whole = http_body_util::Full::new(Bytes::copy_from_slice(body));
    let sent = RUNTIME.block_on(post(path, whole));
    assert!(
        sent.asked.len() <= 4,
        "{} look-ups for one request",
        sent.asked.len()
    );
    let Some((received, _)) = &sent.received else {
        assert!(sent.status.is_client_error(), "{}", sent.status);
        return sent;
    };
    assert_eq!(received, body, "what was received is not what was sent");
    for (reader, read) in readers {
        for name in read(body).unwrap_or_default() {
            // Nothing names nobody.
            let names_nobody = name.ends_with(' ');
            assert!(
                names_nobody || sent.asked.contains(&name),
                "{reader} reads {name:?} in {:?}, and the store was asked only for {:?}",
                String::from_utf8_lossy(body),
                sent.asked
            );
        }
    }
    sent
}
