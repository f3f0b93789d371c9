//! The store has to be asked, or a body read.

use std::{sync::Arc, time::Instant};

use http::{Request, request::Parts};
use http_body::Body;

use super::{Failure, Head, Judged, Passage, Refusal, body::Held, within_limits};
use crate::{
    Account, AccountStateStore, Credential, Denial, DenialCause, Peek, RestrictionKind, UserId,
    body::RequestBodies,
    request::{
        endpoint::{self, Naming, NamingEndpoint},
        few::Few,
        named_account::{self, NamedAccount},
    },
    shared::Shared,
    verdict::{
        Verdict,
        suspension::{Redaction, judge_body, judge_redaction},
    },
};

/// Finds out whether the request passes, and gives it back if it does.
pub(crate) async fn inquire<S, B, M>(
    shared: Arc<Shared<S>>,
    parts: Parts,
    body: B,
) -> Result<(Request<M::Body>, Passage), Denial>
where
    S: AccountStateStore,
    B: Body,
    M: RequestBodies<B>,
{
    let mut passage = Passage::free();
    let mut body = Held::Untouched(body);
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
    Ok((Request::from_parts(parts, body), passage))
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
        for account in &passage.accounts.clone() {
            match self.settings.judge(account, head) {
                Judged::Clear => {}
                Judged::LeaveToHandler => passage.hands_on_guard = true,
                Judged::Denied(refusal) => {
                    return Err(self.settings.refuse(account.clone(), refusal));
                }
                Judged::Depends(verdict) => {
                    // Boxed, as is the next: rare, and large beside what nearly every look-up is.
                    Box::pin(self.look_closer(account, verdict, body, passage)).await?;
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
        let (accounts, failure) = self.ask_all(credentials.iter().collect(), passage).await;
        passage.accounts = accounts;
        let Some(failure) = failure else {
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
        let credentials = named.iter().map(NamedAccount::credential).collect();
        let (accounts, failure) = self.ask_all(credentials, passage).await;
        // Those that are known to be restricted are refused, whatever became of the others.
        for account in &accounts {
            if let Judged::Denied(refusal) = self.settings.judge(account, head) {
                let denial = self.settings.refuse(account.clone(), refusal);
                return Err(denial.without_details());
            }
        }
        match failure {
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

    /// The accounts of all the credentials that are somebody's, within the time limit; and why
    /// some of them could not be asked for.
    ///
    /// Each is asked for on its own, so that nobody can keep the store from answering for one by
    /// sending another that it fails on.
    async fn ask_all(
        &self,
        credentials: Few<Credential<'_>>,
        passage: &mut Passage,
    ) -> (Few<Account>, Option<Failure>) {
        let started = Instant::now();
        let deadline = tokio::time::Instant::now() + self.settings.store_timeout;
        let (mut accounts, mut failure) = (Few::new(), None);
        for credential in credentials {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let asked = within_limits(left, async {
                match self.store.peek(credential) {
                    Peek::Account(account) => Ok(Some(account)),
                    Peek::Nobody => Ok(None),
                    Peek::Ask => self.store.account_and_state(credential).await,
                }
            });
            match asked.await {
                // There are no more accounts than credentials.
                Ok(Some(account)) => accounts.push(account).unwrap_or_default(),
                Ok(None) => {}
                Err(failed) => failure = Some(failed),
            }
        }
        passage.waited(started);
        (accounts, failure)
    }

    async fn ask_sender(
        &self,
        redaction: &Redaction<'_>,
        passage: &mut Passage,
    ) -> Result<Option<UserId>, Failure> {
        let started = Instant::now();
        let (room, event) = (redaction.room_id(), redaction.event_id());
        let asked = within_limits(self.settings.store_timeout, async {
            self.store.event_sender(&room, &event).await
        });
        let answer = asked.await;
        passage.waited(started);
        answer
    }
}
