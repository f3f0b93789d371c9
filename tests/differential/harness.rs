//! The layer around a router, and the outcome of a request.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use http::{Request, Response};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use tower_account_status::{
    AccountStateStore, AccountStatusLayer, Denial, MemoryStore, RestrictionKind,
};
use tower_account_status::{forward, store::Answer};
use tower_layer::Layer as _;

use crate::{
    endpoints::{ENDPOINTS, EXCLUDED, Endpoint},
    routers::Router,
};

pub(crate) const LOCKED: &str = "@locked:example.org";
pub(crate) const ACTIVE: &str = "@active:example.org";
/// The sender of an application service, which is locked too.
pub(crate) const BOT: &str = "@bot:example.org";
pub(crate) const LOCKED_TOKEN: &str = "tok_locked";
pub(crate) const ACTIVE_TOKEN: &str = "tok_active";
pub(crate) const SERVICE_TOKEN: &str = "tok_service";
pub(crate) const LOCKED_REFRESH: &str = "ref_locked";

/// The index of the endpoint whose handler ran, in a response's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran(pub(crate) usize);

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum End {
    /// The layer answered.
    Refused,
    /// The router knew no such endpoint.
    NotFound,
    Reached(&'static Endpoint),
}

pub(crate) fn memory() -> Arc<MemoryStore> {
    let store = MemoryStore::new().with_server_name("example.org");
    store.insert_access_token(LOCKED_TOKEN, LOCKED);
    store.insert_access_token(ACTIVE_TOKEN, ACTIVE);
    store.insert_application_service_token(SERVICE_TOKEN, BOT);
    store.insert_refresh_token(LOCKED_REFRESH, LOCKED);
    store.restrict(LOCKED, RestrictionKind::Locked);
    store.restrict(BOT, RestrictionKind::Locked);
    Arc::new(store)
}

/// The same store, which never answers at once.
pub(crate) struct Awaited(pub(crate) Arc<MemoryStore>);

impl AccountStateStore for Awaited {
    forward! { 0 => all except access_token }

    async fn access_token(&self, token: &str) -> Answer {
        tokio::task::yield_now().await;
        self.0.access_token(token).await
    }
}

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
});

/// Sends `request` through the layer to `router`.
pub(crate) fn send(router: &Router, awaits: bool, request: Request<Body>) -> End {
    static MEMORY: LazyLock<AccountStatusLayer<Arc<MemoryStore>>> =
        LazyLock::new(|| AccountStatusLayer::new(memory()).add_excluded_prefix(EXCLUDED));
    static AWAITED: LazyLock<AccountStatusLayer<Awaited>> =
        LazyLock::new(|| AccountStatusLayer::new(Awaited(memory())).add_excluded_prefix(EXCLUDED));
    let router = router.clone();
    let response = RUNTIME.block_on(async {
        match awaits {
            false => MEMORY.layer(router).oneshot(request).await,
            true => AWAITED.layer(router).oneshot(request).await,
        }
    });
    let response: Response<Body> = response.unwrap_or_else(|never| match never {});
    if response.extensions().get::<Denial>().is_some() {
        return End::Refused;
    }
    match response.extensions().get::<Ran>() {
        Some(&Ran(index)) => End::Reached(&ENDPOINTS[index]),
        None => End::NotFound,
    }
}
