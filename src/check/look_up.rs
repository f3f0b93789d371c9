//! The store must be awaited.
//!
//! Nearly always it is asked for the only token of a plain header. That look-up is here. The request
//! stays in one place until it is handed on.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    Findings, Watch,
    at_once::counted,
    awaited::{Begun, Check, HandOn, check_awaited},
    limits::{Failure, within_limits},
};
use crate::{
    account::Account,
    body::RequestBodies,
    credential::AccessToken,
    denial::Denial,
    request::{
        class::CountedTokens,
        head::{Head, plain_token},
    },
    shared::Shared,
    store::{
        AccountStateStore,
        ask::{self, Rest},
    },
};

pin_project! {
    struct PlainLookUp<S, B, M, A>
    where
        M: RequestBodies<B>,
    {
        shared: Arc<Shared<S>>,
        request: Option<Request<B>>,
        begun: Option<Begun>,
        hand_on: HandOn<S>,
        started: Option<Instant>,
        #[pin]
        answer: A,
        // Set if more than the answer must be known.
        closer: Option<Pin<Box<dyn Check<M::Body>>>>,
        bodies: PhantomData<fn() -> M>,
    }
}

/// The token's owner and its state, within the time limit. It owns what it needs, so that the request
/// need not be lent to it.
#[inline(always)] // it would be moved once more
fn answer<S: AccountStateStore>(
    shared: &Shared<S>,
    header: HeaderValue,
    tokens: CountedTokens,
    rest: Rest,
) -> impl Future<Output = Result<Option<Account>, Failure>> + Send + use<S> {
    let store = Arc::clone(&shared.store);
    within_limits(shared.settings.store_timeout, async move {
        let token = plain_token(&header).unwrap_or_default();
        let claim = counted(tokens, AccessToken::new(token));
        ask::ask(&*store, &claim, rest).await
    })
}

/// Finds out whether a request passes whose only token is the one in `header`. `rest` is what the store left
/// open about it. `hand_on` changes a request that passes.
#[inline]
pub(crate) fn look_up<S, B, M>(
    shared: Arc<Shared<S>>,
    request: Request<B>,
    begun: Begun,
    (header, rest): (HeaderValue, Rest),
    hand_on: HandOn<S>,
) -> Pin<Box<dyn Check<M::Body>>>
where
    S: AccountStateStore,
    B: Body + Send + 'static,
    M: RequestBodies<B>,
    M::Body: Send + 'static,
{
    let answer = answer(&shared, header, begun.class.tokens, rest);
    Box::pin(PlainLookUp::<S, B, M, _> {
        started: shared.reads_time().then(Instant::now),
        shared,
        request: Some(request),
        begun: Some(begun),
        hand_on,
        answer,
        closer: None,
        bodies: PhantomData,
    })
}

impl<S, B, M, A> Check<M::Body> for PlainLookUp<S, B, M, A>
where
    S: AccountStateStore,
    B: Body + Send + 'static,
    M: RequestBodies<B>,
    M::Body: Send + 'static,
    A: Future<Output = Result<Option<Account>, Failure>> + Send,
{
    fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Watch>, Denial>> {
        let this = self.project();
        if let Some(closer) = this.closer {
            return closer.as_mut().poll(context);
        }
        let answer = ready!(this.answer.poll(context));
        let (Some(request), Some(begun)) = (this.request.as_mut(), this.begun.as_ref()) else {
            unreachable!("what has not passed yet is still here");
        };
        let (shared, class) = (&*this.shared, begun.class);
        let mut found = Findings::new();
        found.has_plain_token = true;
        found.waited(this.started.map(|started| started.elapsed()));
        let failure = match answer {
            // It is the first.
            Ok(Some(account)) => {
                found.accounts.push(account).unwrap_or_default();
                None
            }
            Ok(None) => None,
            Err(failure) => Some(failure),
        };
        let head = Head::of_moved(
            request.method(),
            request.uri(),
            request.headers(),
            &begun.path,
        );
        let judged = shared.judge_all(class, &head, &mut found);
        let judged = judged.and_then(|needs_more| {
            if let Some(failure) = failure {
                shared.failed(failure, &mut found)?;
            }
            let names = class.naming;
            let asks = |naming| shared.asks_for_named(naming, &head, &found);
            Ok(needs_more || names.is_some_and(asks))
        });
        match judged {
            Ok(false) => shared.passed(&found, head.act()),
            Ok(true) => {
                let (Some(request), Some(begun)) = (this.request.take(), this.begun.take()) else {
                    unreachable!("they have just been seen");
                };
                let begun = Begun {
                    answers: None,
                    found: Some(Box::new(found)),
                    ..begun
                };
                let shared = Arc::clone(shared);
                let closer = check_awaited::<_, _, M>(shared, request, begun, *this.hand_on);
                return this.closer.insert(closer).as_mut().poll(context);
            }
            Err(denial) => shared.refused(denial, &found, head.act())?,
        }
        let watched = shared.to_be_watched(class, &head, &found);
        let announcements = begun.announcements;
        (this.hand_on)(shared, &found, request.extensions_mut());
        let watch =
            watched.and_then(|watched| shared.watch(watched, announcements, found.accounts));
        Poll::Ready(Ok(watch))
    }

    fn take_request(self: Pin<&mut Self>) -> Option<Request<M::Body>> {
        let this = self.project();
        match this.closer {
            Some(closer) => closer.as_mut().take_request(),
            None => this.request.take().map(M::keep_request),
        }
    }
}
