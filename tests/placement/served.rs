//! A server on a port of its own, and the requests that are sent to it in every place.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    routing::{any, get, post},
};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower_account_status::{AccountStatusLayer, MemoryStore, RestrictionKind::Locked};

use crate::support::{
    ALICE, Answer, HANDLED, LOGIN, LOGOUT, SYNC, alices, anonymous, layer, locked, passed, store,
};

/// `axum::serve` with any service that it accepts, as a future without a name.
macro_rules! serve {
    ($listener:expr, $service:expr) => {{
        let server = axum::serve($listener, $service);
        let server = async move { drop(server.await) };
        Box::new(Box::pin(server)) as Box<dyn Future<Output = ()> + Send + Unpin>
    }};
}
pub(crate) use serve;

pub(crate) type Layer = AccountStatusLayer<Arc<MemoryStore>>;

/// What a login sends, and the handler answers.
pub(crate) const LOGIN_BODY: &str = r#"{"user":"alice"}"#;

/// The answer to a locked account, byte for byte.
pub(crate) const LOCKED_BODY: &str =
    r#"{"errcode":"M_USER_LOCKED","error":"This account has been locked","soft_logout":true}"#;

/// The client endpoints of a server that knows nothing of account states.
pub(crate) fn router() -> Router {
    Router::new()
        .route(SYNC, get(|| async { HANDLED }))
        .route(LOGIN, post(|body: String| async { body }))
        .route(LOGOUT, post(|| async { HANDLED }))
        .fallback(any(|| async { HANDLED }))
}

pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { store: store() }
    }

    pub(crate) fn layer(&self) -> Layer {
        layer(&self.store)
    }

    pub(crate) fn lock(&self) {
        self.store.restrict(ALICE, Locked);
    }

    pub(crate) fn unlock(&self) {
        self.store.lift(ALICE, Locked);
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    pub(crate) async fn by(
        serve: impl FnOnce(TcpListener) -> Box<dyn Future<Output = ()> + Send + Unpin>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(serve(listener));
        Self { address, task }
    }

    pub(crate) async fn router(router: Router) -> Self {
        Self::by(|listener| serve!(listener, router)).await
    }

    /// The answer to one request on a connection of its own.
    pub(crate) async fn ask(&self, mut request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let connection = tokio::spawn(connection);
        let host = "localhost".try_into().unwrap();
        request.headers_mut().insert("host", host);
        let answer = Answer::read(sender.send_request(request).await.unwrap()).await;
        drop(sender);
        connection.await.unwrap().ok();
        answer
    }

    pub(crate) async fn sync(&self) -> Answer {
        self.ask(alices(Method::GET, SYNC)).await
    }

    pub(crate) async fn login(&self) -> Answer {
        let mut login = anonymous(Method::POST, LOGIN, LOGIN_BODY);
        let json = "application/json".try_into().unwrap();
        login.headers_mut().insert("content-type", json);
        self.ask(login).await
    }

    /// Everything that holds wherever the layer is.
    pub(crate) async fn assert_enforced(&self, place: &str, world: &World) {
        world.unlock();
        let answer = self.sync().await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, HANDLED),
            "{place}"
        );
        let answer = self.login().await;
        let whole = (200, LOGIN_BODY);
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            whole,
            "{place}: a login that was read"
        );
        world.lock();
        for refused in [self.sync().await, self.login().await] {
            assert_eq!(refused.verdict(), locked(), "{place}");
            assert_eq!(refused.text(), LOCKED_BODY, "{place}");
            for (name, value) in [
                ("content-type", "application/json"),
                ("content-length", "85"),
                ("cache-control", "no-store"),
                ("access-control-allow-origin", "*"),
            ] {
                let values: Vec<_> = refused.headers.get_all(name).iter().collect();
                assert_eq!(values, [value], "{place}: {name}");
            }
        }
        let head = self.ask(alices(Method::HEAD, SYNC)).await;
        assert_eq!(
            (head.status.as_u16(), head.text()),
            (401, ""),
            "{place}: HEAD"
        );
        let logout = self.ask(alices(Method::POST, LOGOUT)).await;
        assert_eq!(logout.verdict(), passed(), "{place}: logout");
        let preflight = self.ask(alices(Method::OPTIONS, SYNC)).await;
        assert_ne!(preflight.status.as_u16(), 401, "{place}: preflight");
        let anonymous = self.ask(anonymous(Method::GET, SYNC, "")).await;
        assert_eq!(anonymous.verdict(), passed(), "{place}: no token");
        world.unlock();
    }
}
