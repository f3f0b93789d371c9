//! The service, which finds the requests to the endpoints.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ResponseFuture, directory::AccountDirectory, endpoint::Target, shared::Shared};
use crate::{
    body::{KeptBodies, RequestBodies, ResponseBodies},
    common::inner_service,
    store::RestrictionStore,
};

/// Answers the moderation endpoints, and hands every other request to the inner service `S`.
/// [`AccountModerationLayer`](crate::AccountModerationLayer) makes it.
///
/// `D` knows the server's users, `R` holds their restrictions; `Req` and `Res` say whether bodies
/// are kept or wrapped.
pub struct AccountModeration<S, D, R, Req = KeptBodies, Res = KeptBodies> {
    inner: S,
    shared: Arc<Shared<D, R>>,
    bodies: PhantomData<fn() -> (Req, Res)>,
}

impl<S, D, R, Req, Res> AccountModeration<S, D, R, Req, Res> {
    pub(super) fn new(inner: S, shared: Arc<Shared<D, R>>) -> Self {
        Self {
            inner,
            shared,
            bodies: PhantomData,
        }
    }
}

inner_service!([S, D, R], AccountModeration);

impl<S, D, R, Req, Res, B, ResB> Service<Request<B>> for AccountModeration<S, D, R, Req, Res>
where
    S: Service<Request<Req::Body>, Response = Response<ResB>> + Clone,
    D: AccountDirectory,
    R: RestrictionStore,
    Req: RequestBodies<B>,
    Res: ResponseBodies<ResB>,
    B: Body + Send + 'static,
{
    type Response = Response<Res::Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Res>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = &self.shared.settings.path;
        match Target::of(&path.of(request.uri(), request.extensions()).path) {
            None => ResponseFuture::pass(self.inner.call(request.map(Req::keep))),
            Some(target) => self.answer(request, target),
        }
    }
}

impl<S, D, R, Req, Res> AccountModeration<S, D, R, Req, Res>
where
    S: Clone,
    D: AccountDirectory,
    R: RestrictionStore,
{
    #[inline(never)]
    fn answer<F, B>(&mut self, request: Request<B>, target: Target) -> ResponseFuture<F, Res>
    where
        B: Body + Send + 'static,
    {
        // Whatever the inner service reserved in becoming ready, it gives back.
        let unready = self.inner.clone();
        drop(std::mem::replace(&mut self.inner, unready));
        let shared = Arc::clone(&self.shared);
        ResponseFuture::answer(Box::pin(
            async move { shared.answer(request, target).await },
        ))
    }
}

impl<S: Clone, D, R, Req, Res> Clone for AccountModeration<S, D, R, Req, Res> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, D, R, Req, Res> fmt::Debug for AccountModeration<S, D, R, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountModeration")
            .field("inner", &self.inner)
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
