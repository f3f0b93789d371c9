//! The future of a response.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    body::ResponseBodies,
    check::{Check, EndedSessions, Watch},
    denial::{AnswerForm, Denial},
};

pin_project! {
    /// The future of [`AccountStatus`](crate::AccountStatus)'s response.
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
    enum State<S, F, ReqB> {
        /// The inner service is at work.
        Pass { #[pin] inner: F },
        /// The same, but a restriction of its account ends it.
        Watched { #[pin] inner: F, watch: Watch },
        /// Few requests come here. It is a type of its own, so that polling and dropping the future of
        /// the others stays cheap.
        Detour { detour: Detour<S, F, ReqB> },
    }
}

impl<S, F, ReqB> State<S, F, ReqB> {
    const DONE: Self = Self::Detour {
        detour: Detour::Done,
    };
}

enum Detour<S, F, ReqB> {
    /// The response is made when the future is polled.
    Deny {
        denial: Denial,
        form: AnswerForm,
    },
    /// The store is asked. The inner service is ready and waits for the answer.
    Lookup {
        check: Pin<Box<dyn Check<ReqB>>>,
        service: Option<S>,
        form: AnswerForm,
    },
    /// A logout. The store is told if it succeeds. Boxed, because it is rare.
    LogOut {
        logging_out: Pin<Box<LoggingOut<F>>>,
    },
    Done,
}

pin_project! {
    /// A logout, and what the store is told once the inner service has answered with success.
    struct LoggingOut<F> {
        #[pin]
        inner: F,
        ended: EndedSessions,
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
        Self::new(State::Watched { inner, watch })
    }

    pub(crate) fn log_out(inner: S::Future, ended: EndedSessions) -> Self {
        Self::detour(Detour::LogOut {
            logging_out: Box::pin(LoggingOut { inner, ended }),
        })
    }

    pub(crate) fn deny(denial: Denial, form: AnswerForm) -> Self {
        Self::detour(Detour::Deny { denial, form })
    }

    pub(crate) fn look_up(check: Pin<Box<dyn Check<ReqB>>>, service: S, form: AnswerForm) -> Self {
        Self::detour(Detour::Lookup {
            check,
            service: Some(service),
            form,
        })
    }

    fn detour(detour: Detour<S, S::Future, ReqB>) -> Self {
        Self::new(State::Detour { detour })
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
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Projection::Pass { inner } = self.as_mut().project().state.project() {
            return Res::keep_response(inner.poll(context));
        }
        self.poll_otherwise(context)
    }
}

impl<S, ReqB, Res> ResponseFuture<S, ReqB, Res>
where
    S: Service<Request<ReqB>>,
{
    /// Out of line, so that the path of nearly every request is small enough to be inlined.
    #[inline(never)]
    fn poll_otherwise<ResB>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<Res::Body>, S::Error>>
    where
        S: Service<Request<ReqB>, Response = Response<ResB>>,
        Res: ResponseBodies<ResB>,
    {
        let mut state = self.project().state;
        loop {
            let (denial, form) = match state.as_mut().project() {
                Projection::Pass { inner } => return Res::keep_response(inner.poll(context)),
                Projection::Watched { mut inner, watch } => {
                    // The restriction first: a response that became ready at the same time is dropped.
                    let denial = match watch.poll(context) {
                        Poll::Ready(denial) => denial,
                        Poll::Pending => {
                            let response = Res::keep_response(inner.as_mut().poll(context));
                            if response.is_ready() {
                                return response;
                            }
                            ready!(watch.begin(context))
                        }
                    };
                    state.set(State::DONE);
                    // Long polls are GET or POST requests.
                    (denial, AnswerForm::default())
                }
                Projection::Detour { detour } => match detour {
                    Detour::Lookup {
                        check,
                        service,
                        form,
                    } => match ready!(check.as_mut().poll(context)) {
                        Ok(watch) => {
                            let mut service = service.take().expect("taken only once");
                            let request = check.as_mut().take_request();
                            let inner = service.call(request.expect("taken only once"));
                            state.set(match watch {
                                None => State::Pass { inner },
                                Some(watch) => State::Watched { inner, watch },
                            });
                            continue;
                        }
                        Err(denial) => {
                            let form = *form;
                            *detour = Detour::Done;
                            (denial, form)
                        }
                    },
                    Detour::LogOut { logging_out } => {
                        let logging_out = logging_out.as_mut().project();
                        let answer = ready!(logging_out.inner.poll(context));
                        let succeeds = |response: &Response<ResB>| response.status().is_success();
                        if answer.as_ref().is_ok_and(succeeds) {
                            logging_out.ended.tell();
                        }
                        return Res::keep_response(Poll::Ready(answer));
                    }
                    Detour::Deny { .. } => match std::mem::replace(detour, Detour::Done) {
                        Detour::Deny { denial, form } => (denial, form),
                        _ => unreachable!("it has just been seen"),
                    },
                    Detour::Done => panic!("`ResponseFuture` polled after it was ready"),
                },
            };
            return Poll::Ready(Ok(denial.respond(form, Res::refuse)));
        }
    }
}

impl<S, ReqB, Res> fmt::Debug for ResponseFuture<S, ReqB, Res>
where
    S: Service<Request<ReqB>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Pass { .. } => "Pass",
            State::Watched { .. } => "Watched",
            State::Detour { detour } => match detour {
                Detour::Deny { .. } => "Deny",
                Detour::Lookup { .. } => "Lookup",
                Detour::LogOut { .. } => "LogOut",
                Detour::Done => "Done",
            },
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
