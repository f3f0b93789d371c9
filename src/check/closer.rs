//! A suspension depends on more than the head: on the body, or on the sender of an event.

use http::HeaderMap;
use http_body::Body;
use tokio::time::Instant;

use super::{Findings, body::Held, limits::Failure};
use crate::{
    account::{Account, UserId},
    denial::Denial,
    judge::{Verdict, judge_body, judge_sender},
    shared::Shared,
    store::AccountStateStore,
    suspension::Redaction,
};

impl<S: AccountStateStore> Shared<S> {
    /// Finds out what the judge needs to know, and asks it again.
    pub(super) async fn look_closer<B: Body>(
        &self,
        account: &Account,
        verdict: Verdict<'_>,
        headers: &HeaderMap,
        body: &mut Held<B>,
        found: &mut Findings,
    ) -> Result<(), Denial> {
        let policy = &self.settings.suspension;
        let Ok(now) = self.settings.now_for(&account.state) else {
            return self.failed(Failure::ClockPanicked, found);
        };
        let mut verdict = verdict;
        loop {
            verdict = match verdict {
                Verdict::Pass => return Ok(()),
                Verdict::LeaveToHandler => {
                    found.hands_on_guard = true;
                    return Ok(());
                }
                Verdict::Refuse(refusal) => return Err(self.refuse(account, refusal)),
                Verdict::NeedsBody(question) => {
                    let Some(data) = body.read(headers, &self.settings).await? else {
                        found.failure = Some(Failure::BodyUnread);
                        return Ok(());
                    };
                    judge_body(policy, question, data, &account.user, now)
                }
                Verdict::NeedsSender(redaction) => match self.ask_sender(&redaction, found).await {
                    Ok(sender) => {
                        let own = sender.map(|sender| sender == account.user);
                        judge_sender(policy, own, now)
                    }
                    Err(failure) => return self.failed(failure, found),
                },
            }
        }
    }

    async fn ask_sender(
        &self,
        redaction: &Redaction<'_>,
        found: &mut Findings,
    ) -> Result<Option<UserId>, Failure> {
        let started = self.reads_time().then(Instant::now);
        let (room, event) = (redaction.room_id(), redaction.event_id());
        let answer = self.sender_of(&room, &event).await;
        found.waited(started.map(|started| started.elapsed()));
        answer
    }
}
