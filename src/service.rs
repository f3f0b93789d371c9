//! The way of a request.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response, header::AUTHORIZATION};
use http_body::Body;
use tower_service::Service;

use crate::{
    body::{KeptBodies, RequestBodies, ResponseBodies},
    check::{AtOnce, Begun, FastPath, Findings, check_awaited, look_up},
    checked_accounts::CheckedAccounts,
    common::inner_service,
    denial::AnswerForm,
    future::ResponseFuture,
    guard::AccountGuard,
    request::head::Head,
    shared::Shared,
    store::AccountStateStore,
};

/// Refuses what restricted accounts may not do, and hands every other request to the inner service
/// `S`. [`AccountStatusLayer`](crate::AccountStatusLayer) makes it.
///
/// `Store` is the account store. `Req` and `Res` say whether bodies are kept or wrapped.
pub struct AccountStatus<S, Store, Req = KeptBodies, Res = KeptBodies> {
    inner: S,
    shared: Arc<Shared<Store>>,
    bodies: PhantomData<fn() -> (Req, Res)>,
}

impl<S, Store, Req, Res> AccountStatus<S, Store, Req, Res> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<Store>>) -> Self {
        Self {
            inner,
            shared,
            bodies: PhantomData,
        }
    }

    /// A make-service that answers every connection with a clone of this one. `axum::serve` takes it
    /// when the layer is around a whole router.
    ///
    /// It hands on no address of the client. If handlers extract axum's `ConnectInfo`, use axum's own
    /// `ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(service)`.
    #[must_use]
    pub fn into_make_service(self) -> IntoMakeService<Self> {
        IntoMakeService(self)
    }
}

inner_service!([S, Store], AccountStatus);

impl<S, Store, Req, Res, B, ResB> Service<Request<B>> for AccountStatus<S, Store, Req, Res>
where
    S: Service<Request<Req::Body>, Response = Response<ResB>> + Clone,
    Store: AccountStateStore,
    Req: RequestBodies<B>,
    Req::Body: Send + 'static,
    Res: ResponseBodies<ResB>,
    B: Body + Send + 'static,
{
    type Response = Response<Res::Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req::Body, Res>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    // No `#[inline]`: a generic function is inlined anyway where that pays, but later, when the
    // request need not be copied into a variable of its own.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.shared.fast_path(&request) {
            FastPath::Passes if size_of::<S::Future>() > LARGE => {
                ResponseFuture::pass(call_out_of_line::<Req, _, _>(&mut self.inner, request))
            }
            FastPath::Passes => ResponseFuture::pass(Req::call(&mut self.inner, request)),
            // One arm for each, because one arm for all copies the request in some stacks.
            FastPath::UsualPoll(usual) => self.wait(request, usual),
            FastPath::Unclear => self.examine(request, FastPath::Unclear, None),
            FastPath::RepeatedHeader => self.examine(request, FastPath::RepeatedHeader, None),
            FastPath::MayBeSpecial => self.examine(request, FastPath::MayBeSpecial, None),
            FastPath::LogsOut => self.examine(request, FastPath::LogsOut, None),
            FastPath::Glanced(peek) => self.examine(request, FastPath::Glanced(peek), None),
        }
    }
}

/// The size in bytes from which the inner future is worth a call: axum's holds the request.
const LARGE: usize = 128;

/// Otherwise the compiler makes the future in one place and copies it to another.
#[inline(never)]
fn call_out_of_line<Req, S, B>(inner: &mut S, request: Request<B>) -> S::Future
where
    S: Service<Request<Req::Body>>,
    Req: RequestBodies<B>,
{
    Req::call(inner, request)
}

impl<S: Clone, Store: AccountStateStore, Req, Res> AccountStatus<S, Store, Req, Res> {
    /// Hands on a usual long poll that passes.
    #[inline(never)]
    fn wait<B, ResB>(
        &mut self,
        request: Request<B>,
        usual: usize,
    ) -> ResponseFuture<S, Req::Body, Res>
    where
        S: Service<Request<Req::Body>, Response = Response<ResB>>,
        Req: RequestBodies<B>,
        Req::Body: Send + 'static,
        B: Body + Send + 'static,
    {
        // Counted before the store is asked, so that a later announcement ends the request.
        let announcements = self.shared.changes.announcements();
        let headers = request.headers();
        match self.shared.watch_usual_poll(usual, headers, announcements) {
            Ok(watch) => ResponseFuture::wait(Req::call(&mut self.inner, request), watch),
            Err(seen) => self.examine(request, seen, Some(announcements)),
        }
    }

    /// Checks a request that the fast path has `seen` so. `announcements` were counted before the fast
    /// path asked the store, if the request may have to wait.
    #[inline(never)]
    fn examine<B, ResB>(
        &mut self,
        mut request: Request<B>,
        seen: FastPath,
        announcements: Option<u64>,
    ) -> ResponseFuture<S, Req::Body, Res>
    where
        S: Service<Request<Req::Body>, Response = Response<ResB>>,
        Req: RequestBodies<B>,
        Req::Body: Send + 'static,
        B: Body + Send + 'static,
    {
        let announcements = announcements.unwrap_or_else(|| self.shared.changes.announcements());
        let seen = match seen {
            FastPath::RepeatedHeader => match self.shared.look_at_repeated(request.headers()) {
                FastPath::Passes => {
                    return ResponseFuture::pass(Req::call(&mut self.inner, request));
                }
                seen => seen,
            },
            seen => seen,
        };
        let head = Head::of(&request, &self.shared.settings.path);
        let mut found = Findings::new();
        let class = match self.shared.check_at_once(&head, seen, &mut found) {
            AtOnce::Pass(class) => {
                self.shared.passed(&found, head.act());
                class
            }
            AtOnce::Refuse(denial) => match self.shared.refused(denial, &found, head.act()) {
                Ok(()) => None,
                Err(denial) => {
                    // The inner service gives back what it reserved when it became ready.
                    drop(self.take_ready());
                    let form = AnswerForm::of(head.method, &head.path);
                    return ResponseFuture::deny(denial, form);
                }
            },
            AtOnce::Await(class, answers) => {
                let form = AnswerForm::of(head.method, &head.path);
                let begun = Begun {
                    class,
                    path: head.keep_path(),
                    announcements,
                    answers,
                    has_plain_token: found.has_plain_token,
                    found: found.is_anything().then(|| Box::new(found)),
                };
                let shared = Arc::clone(&self.shared);
                let header = || request.headers().get(AUTHORIZATION).cloned();
                let plain = begun.plain_question();
                let check = match plain.and_then(|rest| Some((header()?, rest))) {
                    // Nearly always.
                    Some(plain) => {
                        look_up::<_, _, Req>(shared, request, begun, plain, Shared::hand_on)
                    }
                    None => check_awaited::<_, _, Req>(shared, request, begun, Shared::hand_on),
                };
                return ResponseFuture::look_up(check, self.take_ready(), form);
            }
        };
        let watched = class.and_then(|class| self.shared.to_be_watched(class, &head, &found));
        self.shared.hand_on(&found, request.extensions_mut());
        let watch =
            watched.and_then(|watched| self.shared.watch(watched, announcements, found.accounts));
        let logout = class.and_then(|class| class.logout);
        let ended = logout.map(|logout| {
            let headers = request.headers();
            self.shared.ends(logout, headers, request.uri())
        });
        let inner = Req::call(&mut self.inner, request);
        match (watch, ended) {
            (None, None) => ResponseFuture::pass(inner),
            (Some(watch), _) => ResponseFuture::wait(inner, watch),
            (None, Some(ended)) => ResponseFuture::log_out(inner, ended),
        }
    }

    /// The service that is ready. A clone that is not ready takes its place.
    fn take_ready(&mut self) -> S {
        let clone = self.inner.clone();
        std::mem::replace(&mut self.inner, clone)
    }
}

impl<Store: AccountStateStore> Shared<Store> {
    /// Puts into the request's extensions what the settings want there.
    fn hand_on(self: &Arc<Self>, found: &Findings, extensions: &mut Extensions) {
        if found.hands_on_guard {
            let guard = AccountGuard::strong(Arc::clone(self), found.is_refresh);
            extensions.insert(guard);
        }
        if self.settings.hand_on_account {
            let accounts = CheckedAccounts::new(found.accounts.clone());
            extensions.insert(accounts);
        }
    }
}

impl<S: Clone, Store, Req, Res> Clone for AccountStatus<S, Store, Req, Res> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

impl<S: fmt::Debug, Store, Req, Res> fmt::Debug for AccountStatus<S, Store, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountStatus")
            .field("inner", &self.inner)
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

/// Answers every connection with a clone of one service. [`AccountStatus::into_make_service`] makes it.
#[derive(Clone, Debug)]
pub struct IntoMakeService<S>(S);

impl<S: Clone, Target> Service<Target> for IntoMakeService<S> {
    type Response = S;
    type Error = Infallible;
    type Future = Ready<Result<S, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Target) -> Self::Future {
        ready(Ok(self.0.clone()))
    }
}
