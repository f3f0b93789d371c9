//! The future of a response.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{Denial, body::ResponseBodies, inquiry::Watch};

/// What an inquiry comes to: the request for the inner service, and what is to end it while it
/// waits; or a denial.
pub(crate) type Inquiry<ReqB> =
    Pin<Box<dyn Future<Output = Result<(Request<ReqB>, Option<Watch>), Denial>> + Send>>;

pin_project! {
    /// The future that [`AccountStatus`](crate::AccountStatus) answers with.
    ///
    /// Dropping it at any point loses nothing and blocks no one.
    ///
    /// # Panics
    ///
    /// If it is polled again after it was ready.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, ReqB, Res>
    where
        S: Service<Request<ReqB>>,
    {
        #[pin]
        state: State<S, S::Future, ReqB>,
        bodies: PhantomData<fn() -> Res>,
    }
}

pin_project! {
    #[project = Projection]
    #[project_replace = Replaced]
    enum State<S, F, ReqB> {
        /// The inner service is at work.
        Pass { #[pin] inner: F },
        /// The refusal is made when it is asked for.
        Deny { denial: Denial, is_head: bool },
        /// The store is asked. The inner service waits beside it, ready, and is not kept any
        /// longer than that.
        Lookup { inquiry: Inquiry<ReqB>, service: Option<S>, is_head: bool },
        /// The inner service waits for news. Boxed, so that no other request's future is larger
        /// for it.
        Waiting { waiting: Pin<Box<Waiting<F>>> },
        Done,
    }
}

pin_project! {
    /// A long poll, and what ends it.
    struct Waiting<F> {
        #[pin]
        inner: F,
        watch: Watch,
    }
}

impl<F> Waiting<F> {
    fn new(inner: F, watch: Watch) -> Pin<Box<Self>> {
        Box::pin(Self { inner, watch })
    }
}

impl<F: Future> Future for Waiting<F> {
    type Output = Result<F::Output, Denial>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The restriction first: what became ready at the same time is not delivered.
        if let Poll::Ready(denial) = this.watch.as_mut().poll(context) {
            return Poll::Ready(Err(denial));
        }
        this.inner.poll(context).map(Ok)
    }
}

impl<S, ReqB, Res> ResponseFuture<S, ReqB, Res>
where
    S: Service<Request<ReqB>>,
{
    #[inline]
    pub(crate) fn pass(inner: S::Future) -> Self {
        Self::new(State::Pass { inner })
    }

    pub(crate) fn wait(inner: S::Future, watch: Watch) -> Self {
        Self::new(State::Waiting {
            waiting: Waiting::new(inner, watch),
        })
    }

    pub(crate) fn deny(denial: Denial, method: &Method) -> Self {
        Self::new(State::Deny {
            denial,
            is_head: method == Method::HEAD,
        })
    }

    pub(crate) fn look_up(inquiry: Inquiry<ReqB>, service: S, is_head: bool) -> Self {
        Self::new(State::Lookup {
            inquiry,
            service: Some(service),
            is_head,
        })
    }

    #[inline]
    fn new(state: State<S, S::Future, ReqB>) -> Self {
        Self {
            state,
            bodies: PhantomData,
        }
    }
}

impl<S, ReqB, ResB, Res> Future for ResponseFuture<S, ReqB, Res>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    Res: ResponseBodies<ResB>,
{
    type Output = Result<Response<Res::Body>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                Projection::Pass { inner } => {
                    let response = ready!(inner.poll(context));
                    return Poll::Ready(response.map(|response| response.map(Res::keep)));
                }
                Projection::Lookup {
                    inquiry,
                    service,
                    is_head,
                } => {
                    let next = match ready!(inquiry.as_mut().poll(context)) {
                        Ok((request, watch)) => {
                            let mut service = service.take().expect("taken only once");
                            let inner = service.call(request);
                            match watch {
                                None => State::Pass { inner },
                                Some(watch) => State::Waiting {
                                    waiting: Waiting::new(inner, watch),
                                },
                            }
                        }
                        Err(denial) => State::Deny {
                            denial,
                            is_head: *is_head,
                        },
                    };
                    state.set(next);
                }
                Projection::Waiting { waiting } => match ready!(waiting.as_mut().poll(context)) {
                    Ok(response) => {
                        return Poll::Ready(response.map(|response| response.map(Res::keep)));
                    }
                    Err(denial) => {
                        // Long polls are GET or POST requests.
                        let is_head = false;
                        state.set(State::Deny { denial, is_head });
                    }
                },
                Projection::Deny { .. } => {
                    return Poll::Ready(Ok(refuse::<_, _, _, _, Res>(state)));
                }
                Projection::Done => panic!("`ResponseFuture` polled after it was ready"),
            }
        }
    }
}

#[cold]
#[inline(never)]
fn refuse<S, F, ReqB, ResB, Res: ResponseBodies<ResB>>(
    state: Pin<&mut State<S, F, ReqB>>,
) -> Response<Res::Body> {
    match state.project_replace(State::Done) {
        Replaced::Deny { denial, is_head } => {
            let response: Response<Bytes> = denial.respond(is_head);
            response.map(Res::refuse)
        }
        _ => unreachable!("only a denial is refused"),
    }
}

impl<S, ReqB, Res> fmt::Debug for ResponseFuture<S, ReqB, Res>
where
    S: Service<Request<ReqB>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Pass { .. } => "Pass",
            State::Deny { .. } => "Deny",
            State::Lookup { .. } => "Lookup",
            State::Waiting { .. } => "Waiting",
            State::Done => "Done",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
