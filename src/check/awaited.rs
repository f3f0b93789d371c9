//! The store has to be asked, or a body read.

use std::{future::Future, sync::Arc, time::Duration};

use http::{Request, request::Parts};
use http_body::Body;
use tokio::time::Instant;

use super::{
    Answers, Failure, Head, Judged, Passage, Refusal, Watch, body::Held, deadline,
    watch::ToBeWatched,
};
use crate::{
    account::{Account, RestrictionKind, UserId},
    body::RequestBodies,
    credential::Claim,
    denial::{Denial, DenialCause},
    judge::Verdict,
    request::{
        endpoint::{self, Naming, NamingEndpoint},
        few::Few,
        named_account,
    },
    shared::Shared,
    store::AccountStateStore,
    suspension::{Redaction, judge_body, judge_redaction},
};

/// Finds out whether the request passes, and gives it back if it does, as `hand_on` has changed it,
/// with what is to end it while it waits.
///
/// One block, and what it is about lent to all others: an `async` function that is handed the
/// request would hold it twice.
pub(crate) fn inquire<S, B, M, F>(
    shared: Arc<Shared<S>>,
    request: Request<B>,
    answers: Answers,
    watched: Option<ToBeWatched>,
    hand_on: F,
) -> impl Future<Output = Result<(Request<M::Body>, Option<Watch>), Denial>> + use<S, B, M, F>
where
    S: AccountStateStore,
    B: Body,
    M: RequestBodies<B>,
    F: FnOnce(&Arc<Shared<S>>, &Passage, &mut Request<M::Body>),
{
    let (parts, body) = request.into_parts();
    let mut body = Held::Untouched(body);
    async move {
        let mut passage = Passage::free();
        passage.answers = answers;
        let answer = {
            let head = Head::of_parts(&parts, &shared.settings);
            shared.decide(&head, &parts, &mut body, &mut passage).await
        };
        let denial = match answer {
            Ok(()) => {
                shared.passed(&passage, &parts.method);
                None
            }
            Err(denial) => {
                shared.refused(denial.clone(), &passage, &parts.method)?;
                Some(denial)
            }
        };
        let Some(body) = body.into_body::<M>() else {
            // The layer only reports, but what is lost cannot be handed on.
            let lost = || shared.settings.denial(DenialCause::BodyFailed);
            return Err(denial.unwrap_or_else(lost));
        };
        let mut request = Request::from_parts(parts, body);
        hand_on(&shared, &passage, &mut request);
        let watch = watched.and_then(|watched| shared.watch(watched, passage.accounts));
        Ok((request, watch))
    }
}

impl<S: AccountStateStore> Shared<S> {
    async fn decide<B: Body>(
        &self,
        head: &Head<'_>,
        parts: &Parts,
        body: &mut Held<B>,
        passage: &mut Passage,
    ) -> Result<(), Denial> {
        self.ask_head(head, passage).await?;
        let is_restricted = |account: &Account| !account.state.is_active();
        if passage.accounts.iter().any(is_restricted) {
            for account in &passage.accounts.clone() {
                match self.settings.judge(account, head) {
                    Judged::Clear => {}
                    Judged::LeaveToHandler => passage.hands_on_guard = true,
                    Judged::Denied(refusal) => {
                        return Err(self.settings.refuse(account.clone(), refusal));
                    }
                    Judged::Depends(verdict) => {
                        // Boxed, as is the next: rare, and large beside what nearly every look-up
                        // is.
                        Box::pin(self.look_closer(account, verdict, body, passage)).await?;
                    }
                }
            }
        }
        match endpoint::naming(head.method, &head.path) {
            Some(naming) if self.settings.asks_for_named(naming, head, passage) => {
                Box::pin(self.ask_named(head, naming, parts, body, passage)).await
            }
            _ => Ok(()),
        }
    }

    /// Asks for every account that the head has a credential of.
    async fn ask_head(&self, head: &Head<'_>, passage: &mut Passage) -> Result<(), Denial> {
        if head.ignores_access_token() {
            return Ok(());
        }
        let Ok(credentials) = head.credentials() else {
            return Err(self.settings.denial(DenialCause::TooManyCredentials));
        };
        let claim = |turn| credentials.iter().nth(turn).map(Claim::from);
        let mut answers = std::mem::take(&mut passage.answers);
        let asked = self
            .ask_all(claim, &mut answers, &mut passage.accounts)
            .await;
        passage.waited(asked.time);
        let Some(failure) = asked.failure else {
            return Ok(());
        };
        for account in &passage.accounts {
            if let Judged::Denied(refusal) = self.settings.judge(account, head) {
                return Err(self.settings.refuse(account.clone(), refusal));
            }
        }
        self.failed(failure, passage)
    }

    /// Asks for every account that the body names. What is refused here is refused to somebody
    /// who has not proved to be the owner.
    async fn ask_named<B: Body>(
        &self,
        head: &Head<'_>,
        naming: Naming,
        parts: &Parts,
        body: &mut Held<B>,
        passage: &mut Passage,
    ) -> Result<(), Denial> {
        let data = body.read(&self.settings).await?;
        let named = match named_account::read(naming.endpoint, data) {
            Ok(named) => named,
            // Another application's form below the same layer, which is none of ours.
            Err(_) if !naming.is_matrix && super::body::is_form(parts, data) => return Ok(()),
            Err(problem) => return Err(self.settings.denial(problem.into())),
        };
        if named.is_empty() {
            return Ok(());
        }
        let mut accounts = Few::new();
        let claim = |turn| {
            let named = named.iter().nth(turn);
            named.map(|named| Claim::from(named.credential()))
        };
        let asked = self
            .ask_all(claim, &mut Answers::none(), &mut accounts)
            .await;
        passage.waited(asked.time);
        // Those that are known to be restricted are refused, whatever became of the others.
        for account in &accounts {
            if let Judged::Denied(refusal) = self.settings.judge(account, head) {
                let denial = self.settings.refuse(account.clone(), refusal);
                return Err(denial.without_details());
            }
        }
        match asked.failure {
            Some(failure) if naming.endpoint == NamingEndpoint::Refresh => {
                // Clients sign out when a refresh fails; the new token is checked when it is used.
                passage.failure = Some(failure);
                Ok(())
            }
            Some(failure) => self.failed(failure, passage),
            None => Ok(()),
        }
    }

    /// Reads the body, or asks whose event it is, where a suspension depends on that.
    async fn look_closer<B: Body>(
        &self,
        account: &Account,
        verdict: Verdict<'_>,
        body: &mut Held<B>,
        passage: &mut Passage,
    ) -> Result<(), Denial> {
        let policy = &self.settings.suspension;
        let mut verdict = verdict;
        loop {
            verdict = match verdict {
                Verdict::Pass => return Ok(()),
                Verdict::LeaveToHandler => {
                    passage.hands_on_guard = true;
                    return Ok(());
                }
                Verdict::Deny(action) => {
                    let refusal = Refusal {
                        kind: RestrictionKind::Suspended,
                        action,
                        now: self.settings.now_for(&account.state),
                    };
                    return Err(self.settings.refuse(account.clone(), refusal));
                }
                Verdict::AskBody(question) => {
                    let data = body.read(&self.settings).await?;
                    judge_body(policy, question, data).into()
                }
                Verdict::AskSender(redaction) => {
                    let own = match self.ask_sender(&redaction, passage).await {
                        Ok(sender) => sender.map(|sender| sender == account.user),
                        Err(failure) => {
                            return self.failed(failure, passage);
                        }
                    };
                    judge_redaction(policy, own).into()
                }
            }
        }
    }

    /// Puts into `accounts` those of all the credentials that are somebody's, within the time
    /// limit; and says whether some of them could not be asked for.
    ///
    /// Each is asked for on its own, so that nobody can keep the store from answering for one by
    /// sending another that it fails on. They are read off one after the other and not kept
    /// together, for all of this stands in a future that waits.
    async fn ask_all<'c>(
        &self,
        claim: impl Fn(usize) -> Option<Claim<'c>>,
        answers: &mut Answers,
        accounts: &mut Few<Account>,
    ) -> Asked {
        let started = Instant::now();
        let deadline = deadline(started, self.settings.store_timeout);
        let (mut turn, mut failure) = (0, None);
        while let Some(claim) = claim(turn) {
            let known = answers.take(turn);
            match self.account_before(deadline, claim, known).await {
                // There are no more accounts than credentials.
                Ok(Some(account)) => accounts.push(account).unwrap_or_default(),
                Ok(None) => {}
                Err(failed) => failure = Some(failed),
            }
            turn += 1;
        }
        Asked {
            failure,
            time: started.elapsed(),
        }
    }

    async fn ask_sender(
        &self,
        redaction: &Redaction<'_>,
        passage: &mut Passage,
    ) -> Result<Option<UserId>, Failure> {
        let started = Instant::now();
        let (room, event) = (redaction.room_id(), redaction.event_id());
        let answer = self.sender_of(&room, &event).await;
        passage.waited(started.elapsed());
        answer
    }
}

/// What the store was asked for several accounts.
struct Asked {
    /// Why one of them, the last, could not be asked for.
    failure: Option<Failure>,
    time: Duration,
}
