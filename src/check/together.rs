//! If many waiting requests ask at the same moment, one look-up answers many of them.

use tokio::{sync::SemaphorePermit, time::Instant};

use super::limits::Failure;
use crate::{
    account::{AccountState, UserId},
    shared::{Answer, Next, Shared, Unanswered},
    store::{AccountStateStore, StoreError},
};

impl<S: AccountStateStore> Shared<S> {
    /// The state of `user` now, for a request that waits and whose store has no answer at hand.
    pub(super) async fn ask_together(&self, user: &UserId) -> Result<AccountState, Failure> {
        let answer = self.answer_for_waiting(user).await;
        answer.map_err(|unanswered| match unanswered {
            Unanswered::Error(error) => Failure::Error(error.into()),
            Unanswered::Panicked => Failure::Panicked,
            Unanswered::TimedOut => Failure::TimedOut,
        })
    }

    async fn answer_for_waiting(&self, user: &UserId) -> Answer {
        loop {
            let mut answer = self.together.wait_for(user);
            loop {
                match self.together.next(&mut answer).await {
                    Next::Answer(answer) => return answer,
                    Next::Nothing => break,
                    Next::Place(place) => {
                        if !self.ask_for_first(place).await {
                            // None are left, because another request asks for this one.
                            match answer.await {
                                Ok(answer) => return answer,
                                Err(_) => break,
                            }
                        }
                    }
                }
            }
        }
    }

    /// Asks for the first that wait, if any do.
    async fn ask_for_first(&self, place: SemaphorePermit<'_>) -> bool {
        let first = self.together.first();
        if first.is_empty() {
            return false;
        }
        let (users, answers): (Vec<_>, Vec<_>) = first.into_iter().unzip();
        let began = Instant::now();
        let states = self.states_now(&users).await;
        self.together.took(began.elapsed(), states.is_err());
        drop(place);
        let mut states = states.map(Vec::into_iter);
        for answers in answers {
            let state: Answer = match &mut states {
                Ok(states) => states
                    .next()
                    .unwrap_or_else(|| Err(too_few()))
                    .map_err(Unanswered::Error),
                Err(Failure::Panicked) => Err(Unanswered::Panicked),
                Err(_) => Err(Unanswered::TimedOut),
            };
            for answer in answers {
                let _ = answer.send(state.clone());
            }
        }
        true
    }
}

fn too_few() -> StoreError {
    StoreError::msg(
        "the account store's `states` returned fewer states than users: it has to return one for each",
    )
}
