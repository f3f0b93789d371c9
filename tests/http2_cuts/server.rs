//! The layer around a handler, with a store that is awaited; and all that can stay behind, counted.

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream},
    task::{JoinHandle, yield_now},
};
use tower::{limit::ConcurrencyLimit, util::BoxCloneService};
use tower_account_status::{
    AccountState, AccountStateStore, AccountStatusLayer, Credential, MemoryStore, RequestBody,
    RestrictionKind::Locked,
};
use tower_account_status::{
    Peek, by_credential, forward,
    store::{Answer, StoreError},
};
use tower_layer::Layer as _;

use crate::{SYNC, WHOAMI, answer, get, login, wire};

/// Counts what is under way.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

struct Counted(Counter);

impl Counter {
    fn count(&self) -> Counted {
        self.0.fetch_add(1, SeqCst);
        Counted(self.clone())
    }

    fn now(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// Answers after a few steps, or never: to the token, and about the user, `hangs`.
struct Awaited {
    memory: MemoryStore,
    look_ups: Counter,
}

impl Awaited {
    async fn takes_a_while(&self, is_for: &str) {
        for _ in 0..3 {
            yield_now().await;
        }
        if is_for == "hangs" {
            std::future::pending::<()>().await;
        }
    }
}

impl AccountStateStore for Awaited {
    by_credential! { owner }
    forward! { memory => all except credentials, state }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        let _counted = self.look_ups.count();
        self.takes_a_while(user).await;
        self.memory.state(user).await
    }
}

impl Awaited {
    async fn owner(&self, credential: Credential<'_>) -> Answer {
        let _counted = self.look_ups.count();
        self.takes_a_while("").await;
        Ok(match self.memory.peek(credential) {
            Peek::Account(account) => Some(account.user().clone()),
            _ => None,
        })
    }
}

/// Runs the tasks of a connection's streams, and counts them.
#[derive(Clone)]
struct Executor(Counter);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        let counted = self.0.count();
        tokio::spawn(async move {
            task.await;
            drop(counted);
        });
    }
}

type Service = BoxCloneService<Request<hyper::body::Incoming>, Response<Full<Bytes>>, Infallible>;

/// The layer, around a handler of which one runs at a time, and all that is counted.
pub(crate) struct Server {
    store: Arc<Awaited>,
    service: Service,
    handlers: Counter,
    tasks: Counter,
    /// Whose requests were handled, to their end.
    pub(crate) handled: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let memory = MemoryStore::new().with_server_name("x");
        for name in ["good", "locked", "hangs"] {
            memory.insert_access_token(name, name);
        }
        memory.restrict("locked", Locked);
        memory.restrict("@locked:x", Locked);
        let store = Arc::new(Awaited {
            memory,
            look_ups: Counter::default(),
        });
        let (handlers, handled) = (Counter::default(), Arc::default());
        let handler = handler(&handlers, &handled);
        let layer = AccountStatusLayer::new(Arc::clone(&store)).with_wrapped_request_body();
        let service = layer.layer(ConcurrencyLimit::new(handler, 1));
        Self {
            store,
            service: BoxCloneService::new(service),
            handlers,
            tasks: Counter::default(),
            handled,
        }
    }

    /// A connection, with so much room for what the other side has not read yet.
    pub(crate) fn connect(&self, room: usize) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = tokio::io::duplex(room);
        let service = TowerToHyperService::new(self.service.clone());
        let connection = hyper::server::conn::http2::Builder::new(Executor(self.tasks.clone()))
            .serve_connection(TokioIo::new(server), service);
        // A connection that is cut may end in an error; it is not to panic.
        (client, tokio::spawn(async move { drop(connection.await) }))
    }

    /// Waits until nothing of a connection is left whose client has gone.
    pub(crate) async fn nothing_is_left(&self, connection: JoinHandle<()>, what: &str) {
        let all_ends = async {
            connection.await.expect("a connection that does not panic");
            while self.under_way() != (0, 0, 0) {
                yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), all_ends).await;
        let left = self.under_way();
        assert!(ended.is_ok(), "{what}: look-ups, handlers, tasks: {left:?}");
        let handled = self.handled.lock().unwrap();
        assert!(
            !handled.contains(&"locked".to_owned()),
            "{what}: let through"
        );
    }

    pub(crate) fn under_way(&self) -> (usize, usize, usize) {
        let store = &self.store.look_ups;
        (store.now(), self.handlers.now(), self.tasks.now())
    }

    /// The one permit is free, and nothing else holds the store.
    pub(crate) async fn ends_as_new(self) {
        let (mut client, connection) = self.connect(4096);
        let bytes = [wire::preface(), get(1, WHOAMI, "good")].concat();
        client.write_all(&bytes).await.unwrap();
        assert!(answer(&mut client, 1).await.is_200);
        drop(client);
        self.nothing_is_left(connection, "at the end").await;
        let Self { store, service, .. } = self;
        drop(service);
        assert_eq!(Arc::strong_count(&store), 1, "somebody holds the store");
    }
}

/// Reads the body, takes a few steps, answers; `GET /sync` never does.
fn handler(
    handlers: &Counter,
    handled: &Arc<Mutex<Vec<String>>>,
) -> impl tower::Service<
    Request<RequestBody<hyper::body::Incoming>>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ use<> {
    let (handlers, handled) = (handlers.clone(), Arc::clone(handled));
    tower::service_fn(move |request: Request<RequestBody<_>>| {
        let (counted, handled) = (handlers.count(), Arc::clone(&handled));
        async move {
            let (head, body) = request.into_parts();
            let who = head.headers["x-who"].to_str().unwrap().to_owned();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            for _ in 0..3 {
                yield_now().await;
            }
            if head.uri.path() == SYNC {
                std::future::pending::<()>().await;
            }
            assert!(head.method == "GET" || body.is_ok_and(|body| body == login(&who)));
            handled.lock().unwrap().push(who);
            drop(counted);
            Ok(Response::new(Full::from("handled ".repeat(40))))
        }
    })
}
