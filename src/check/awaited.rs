//! The store must be asked for more than one plain token, or a body must be read; and what the store is asked
//! when it must be awaited.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Extensions, Request, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    Findings, Watch,
    at_once::{Answers, Said, counted},
    body::{Held, is_form},
    limits::{Deadline, Failure, before, within_limits},
};
use crate::{
    account::{Account, AccountState, UserId},
    body::RequestBodies,
    credential::Claim,
    denial::{Denial, DenialCause},
    judge::Verdict,
    request::{
        class::{Class, CountedTokens},
        few::Few,
        head::Head,
        named_account,
        naming::{Naming, NamingEndpoint},
        request_path::KeptPath,
    },
    shared::Shared,
    store::{
        AccountStateStore, StoreError,
        ask::{self, Known, Rest},
    },
};

/// A check that must wait. It keeps the request meanwhile.
pub(crate) trait Check<B>: Send {
    /// Ready when the request passes, with what ends it while it waits, or when it is denied.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>)
    -> Poll<Result<Option<Watch>, Denial>>;

    /// The request for the inner service, once it passes.
    fn take_request(self: Pin<&mut Self>) -> Option<Request<B>>;
}

/// Adds to the extensions of a request that passes what the settings want there.
pub(crate) type HandOn<S> = fn(&Arc<Shared<S>>, &Findings, &mut Extensions);

/// What is known of a request before the store is awaited.
pub(crate) struct Begun {
    pub(crate) class: Class,
    pub(crate) path: KeptPath,
    /// Counted before the store was asked for anything.
    pub(crate) announcements: u64,
    /// What the store has said about the credentials in the head, if it must be asked for more.
    pub(crate) answers: Option<Answers>,
    /// Whether that is about the only token of a plain header.
    pub(crate) has_plain_token: bool,
    /// What else has been found, if anything. Boxed, because that is rare.
    pub(crate) found: Option<Box<Findings>>,
}

impl Begun {
    /// What the store left open about the only token of a plain header, if that is all that must be known.
    pub(crate) fn plain_question(&self) -> Option<Rest> {
        match self.answers.and_then(|answers| answers.of(0)) {
            Some(Said::Await(rest)) if self.has_plain_token && self.found.is_none() => Some(rest),
            _ => None,
        }
    }
}

pin_project! {
    struct Awaited<F, B> {
        #[pin]
        check: F,
        passed: Option<Request<B>>,
    }
}

impl<F, B> Check<B> for Awaited<F, B>
where
    F: Future<Output = Result<(Request<B>, Option<Watch>), Denial>> + Send,
    B: Send,
{
    fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Watch>, Denial>> {
        let this = self.project();
        let (request, watch) = ready!(this.check.poll(context))?;
        *this.passed = Some(request);
        Poll::Ready(Ok(watch))
    }

    fn take_request(self: Pin<&mut Self>) -> Option<Request<B>> {
        self.project().passed.take()
    }
}

/// Finds out whether a request passes. `hand_on` changes one that does.
///
/// It is one `async` block that lends the request to all others, because an `async` function that takes
/// the request holds it twice.
pub(crate) fn check_awaited<S, B, M>(
    shared: Arc<Shared<S>>,
    request: Request<B>,
    begun: Begun,
    hand_on: HandOn<S>,
) -> Pin<Box<dyn Check<M::Body>>>
where
    S: AccountStateStore,
    B: Body + Send + 'static,
    M: RequestBodies<B>,
    M::Body: Send + 'static,
{
    let (parts, body) = request.into_parts();
    let mut body = Held::Untouched(body);
    let check = async move {
        let mut found = begun.found.map_or_else(Findings::new, |found| *found);
        found.has_plain_token = begun.has_plain_token;
        let watched = {
            let (class, answers) = (begun.class, begun.answers);
            let head = Head::of_moved(&parts.method, &parts.uri, &parts.headers, &begun.path);
            let checked = shared.check(class, answers, &head, &parts, &mut body, &mut found);
            let checked = checked.await;
            let act = head.act();
            match checked {
                Ok(()) => shared.passed(&found, act),
                // Even a layer that only reports cannot hand on a body that is lost.
                Err(denial) if body.is_lost() => return Err(shared.answered(denial, &found, act)),
                Err(denial) => shared.refused(denial, &found, act)?,
            }
            shared.to_be_watched(class, &head, &found)
        };
        let Some(body) = body.into_body::<M>() else {
            return Err(shared.denial(DenialCause::BodyFailed));
        };
        let mut request = Request::from_parts(parts, body);
        hand_on(&shared, &found, request.extensions_mut());
        let watch =
            watched.and_then(|watched| shared.watch(watched, begun.announcements, found.accounts));
        Ok((request, watch))
    };
    Box::pin(Awaited {
        check,
        passed: None,
    })
}

impl<S: AccountStateStore> Shared<S> {
    async fn check<B: Body>(
        &self,
        class: Class,
        answers: Option<Answers>,
        head: &Head<'_>,
        parts: &Parts,
        body: &mut Held<B>,
        found: &mut Findings,
    ) -> Result<(), Denial> {
        if class.tokens != CountedTokens::None {
            let failure = match answers {
                Some(answers) => {
                    // A question that failed at once is asked again.
                    found.failure = None;
                    Box::pin(self.ask_head(class, head, answers, found)).await?
                }
                None => None,
            };
            // Accounts that are known to be restricted are refused, even if another look-up failed.
            let needs_more = self.judge_all(class, head, found)?;
            if let Some(failure) = failure {
                self.failed(failure, found)?;
            }
            if needs_more {
                // Boxed, as is the next: rare, and large beside what nearly every look-up is.
                Box::pin(self.look_closer_at_all(class, head, body, found)).await?;
            }
        }
        match class.naming {
            Some(naming) if self.asks_for_named(naming, head, found) => {
                Box::pin(self.ask_named(class, head, naming, parts, body, found)).await
            }
            _ => Ok(()),
        }
    }

    /// Asks for what `answers` leave open about the credentials in the head. Returns the failure of one of
    /// them, if there is one.
    async fn ask_head(
        &self,
        class: Class,
        head: &Head<'_>,
        answers: Answers,
        found: &mut Findings,
    ) -> Result<Option<Failure>, Denial> {
        let Ok(credentials) = head.credentials_for(class) else {
            return Err(self.denial(DenialCause::TooManyCredentials));
        };
        let claim = |turn| {
            let access = credentials.iter().nth(turn);
            access.map(|access| counted(class.tokens, access))
        };
        let asked = self.ask_all(claim, answers, &mut found.accounts).await;
        found.waited(asked.time);
        Ok(asked.failure)
    }

    async fn look_closer_at_all<B: Body>(
        &self,
        class: Class,
        head: &Head<'_>,
        body: &mut Held<B>,
        found: &mut Findings,
    ) -> Result<(), Denial> {
        for account in &found.accounts.clone() {
            match self.judge(class, head.act(), account) {
                Ok(verdict) => {
                    let headers = head.headers;
                    self.look_closer(account, verdict, headers, body, found)
                        .await?;
                }
                Err(failure) => self.failed(failure, found)?,
            }
        }
        Ok(())
    }

    /// Asks for every account that the body names. A refusal gives no details, because the person has not
    /// proved to be the owner.
    async fn ask_named<B: Body>(
        &self,
        class: Class,
        head: &Head<'_>,
        naming: Naming,
        parts: &Parts,
        body: &mut Held<B>,
        found: &mut Findings,
    ) -> Result<(), Denial> {
        let Some(data) = body.read(&parts.headers, &self.settings).await? else {
            found.failure = Some(Failure::BodyUnread);
            return Ok(());
        };
        let named = match named_account::read(naming.endpoint, data) {
            Ok(named) => named,
            // It is the form of another application below the same layer.
            Err(_) if !naming.is_matrix && is_form(parts, data) => return Ok(()),
            Err(problem) => return Err(self.denial(problem.into())),
        };
        if named.is_empty() {
            return Ok(());
        }
        let mut accounts = Few::new();
        let claim = |turn| {
            let named = named.iter().nth(turn);
            named.map(|named| Claim::from(named.credential()))
        };
        let asked = self.ask_all(claim, Answers::none(), &mut accounts).await;
        found.waited(asked.time);
        let mut failure = asked.failure;
        for account in &accounts {
            match self.judge(class, head.act(), account) {
                Ok(Verdict::Refuse(refusal)) => {
                    return Err(self.refuse(account, refusal).without_details());
                }
                Ok(_) => {}
                Err(failed) => failure = Some(failed),
            }
        }
        match failure {
            Some(failure) if naming.endpoint == NamingEndpoint::Refresh => {
                // Clients sign out when a refresh fails; the new token is checked when it is used.
                found.failure = Some(failure);
                Ok(())
            }
            Some(failure) => self.failed(failure, found),
            None => Ok(()),
        }
    }

    /// Replaces `accounts`, which were found at once, by the owners of all the credentials, in their order
    /// and within the time limit. Says whether one of them could not be looked up.
    ///
    /// Each is looked up on its own, so that a credential that the store fails on does not hide another.
    /// They are read one after the other and not collected, because all of this is part of a future that
    /// waits.
    async fn ask_all<'c>(
        &self,
        claim: impl Fn(usize) -> Option<Claim<'c>>,
        answers: Answers,
        accounts: &mut Few<Account>,
    ) -> Asked {
        let started = self.reads_time().then(Instant::now);
        let mut deadline = Deadline::new(self.settings.store_timeout);
        // Boxed, because there are rarely any.
        let at_once = match accounts.is_empty() {
            true => None,
            false => Some(Box::new(std::mem::replace(accounts, Few::new()))),
        };
        let mut failure = None;
        for turn in 0.. {
            let Some(claim) = claim(turn) else { break };
            let rest = match answers.of(turn) {
                None => None,
                Some(Said::Await(rest)) => Some(rest),
                Some(Said::Unknown) => continue,
                Some(Said::Account(place)) => {
                    if let Some(account) = at_once.as_ref().and_then(|found| found.at(place)) {
                        accounts.push(account.clone()).unwrap_or_default();
                    }
                    continue;
                }
            };
            match self.account_before(&mut deadline, claim, rest).await {
                // There are no more accounts than credentials.
                Ok(Some(account)) => accounts.push(account).unwrap_or_default(),
                Ok(None) => {}
                Err(failed) => failure = Some(failed),
            }
        }
        Asked {
            failure,
            time: started.map(|started| started.elapsed()),
        }
    }
}

/// Every question for whose answer the layer and the guard wait.
///
/// A store that panics, hangs or fails gives no answer, to any question.
impl<S: AccountStateStore> Shared<S> {
    /// The account that the claim names, and its state, before `deadline`. `rest` is what the store left
    /// open when it was asked at once, if it was.
    pub(super) fn account_before(
        &self,
        deadline: &mut Deadline,
        claim: Claim<'_>,
        rest: Option<Rest>,
    ) -> impl Future<Output = Result<Option<Account>, Failure>> + Send {
        before(deadline, async move {
            let rest = match rest {
                Some(rest) => rest,
                None => match ask::at_once(&*self.store, claim, None) {
                    Known::Account(account) => return Ok(Some(account)),
                    Known::Unknown => return Ok(None),
                    Known::Await(rest) => rest,
                },
            };
            ask::ask(&*self.store, &claim, rest).await
        })
    }

    /// The state of `user` now.
    pub(crate) fn state_now(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<AccountState, Failure>> + Send {
        within_limits(self.settings.store_timeout, ask::state(&*self.store, user))
    }

    /// The states of `users` now, in their order.
    pub(super) fn states_now(
        &self,
        users: &[UserId],
    ) -> impl Future<Output = Result<Vec<Result<AccountState, StoreError>>, Failure>> + Send {
        within_limits(self.settings.store_timeout, async move {
            Ok::<_, StoreError>(self.store.states(users).await)
        })
    }

    /// The sender of the event, if the store knows.
    pub(super) fn sender_of(
        &self,
        room: &str,
        event: &str,
    ) -> impl Future<Output = Result<Option<UserId>, Failure>> + Send {
        within_limits(self.settings.store_timeout, async move {
            self.store.event_sender(room, event).await
        })
    }
}

/// The result of looking up several accounts.
struct Asked {
    /// Why one of them could not be looked up. The last one counts.
    failure: Option<Failure>,
    time: Option<Duration>,
}
