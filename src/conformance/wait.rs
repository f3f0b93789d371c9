//! Waiting for answers: together, once, and not for ever.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

use crate::{changes::Subscription, store::StoreError};

/// How long a question may take before the store counts as hanging.
const LIMIT: Duration = Duration::from_secs(5);

/// How long a future may hold the thread when it is polled.
const BLOCKED: Duration = Duration::from_millis(250);

/// What became of a question.
pub(super) enum Asked<T> {
    Answered(T),
    Failed(String),
    Panicked(String),
    /// There was no answer within this time.
    Hung(Duration),
    /// It was answered, and held the thread for so long.
    Blocked(Duration, T),
}

impl<T> Asked<T> {
    /// What is to be reported of it, if it was not answered.
    pub(super) fn into_result(self) -> Result<T, String> {
        match self {
            Self::Answered(answer) | Self::Blocked(_, answer) => Ok(answer),
            Self::Failed(error) => Err(format!("it failed: {error}")),
            Self::Panicked(message) => Err(format!("it panicked: {message}")),
            Self::Hung(limit) => Err(format!("no answer within {limit:?}")),
        }
    }
}

/// Waits for the answer to a question, which is asked here: a store may panic before it returns
/// a future.
pub(super) async fn ask<T, E, F>(question: impl FnOnce() -> F) -> Asked<T>
where
    E: Into<StoreError>,
    F: Future<Output = Result<T, E>>,
{
    ask_within(LIMIT, question).await
}

async fn ask_within<T, E, F>(limit: Duration, question: impl FnOnce() -> F) -> Asked<T>
where
    E: Into<StoreError>,
    F: Future<Output = Result<T, E>>,
{
    let mut longest = Duration::ZERO;
    let future = match catch_unwind(AssertUnwindSafe(question)) {
        Ok(future) => future,
        Err(panic) => return Asked::Panicked(message(&*panic)),
    };
    let mut future = pin!(future);
    let polled = poll_fn(|context| {
        let started = Instant::now();
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        longest = longest.max(started.elapsed());
        match poll {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(message(&*panic))),
        }
    });
    let answer = tokio::time::timeout(limit, polled).await;
    match answer {
        Ok(Ok(Ok(answer))) if longest > BLOCKED => Asked::Blocked(longest, answer),
        Ok(Ok(Ok(answer))) => Asked::Answered(answer),
        Ok(Ok(Err(error))) => Asked::Failed(error.into().to_string()),
        Ok(Err(panic)) => Asked::Panicked(panic),
        Err(_) => Asked::Hung(limit),
    }
}

/// The answer, or what to report in its place.
pub(super) async fn answer<T, E: Into<StoreError>>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    ask(|| question).await.into_result()
}

/// The same of a question that is asked beside others, `count` in all: a store that makes one change
/// after the other, each at its disk's pace, answers the last when it has made all.
pub(super) async fn answer_among<T, E: Into<StoreError>>(
    count: u32,
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    let asked = ask_within(LIMIT * count, || question).await;
    asked.into_result()
}

/// What is answered at once, or the panic's message.
pub(super) fn at_once<T>(question: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(question))
        .map_err(|panic| format!("it panicked: {}", message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "with no message".to_owned(),
    }
}

/// Whether news come in time.
pub(super) async fn hears(subscription: &mut Subscription) -> bool {
    tokio::time::timeout(LIMIT, subscription.changed())
        .await
        .is_ok()
}

/// Whether there are news already.
pub(super) async fn has_heard(subscription: &mut Subscription) -> bool {
    let mut changed = pin!(subscription.changed());
    poll_fn(|context| Poll::Ready(changed.as_mut().poll(context).is_ready())).await
}

/// Drives all futures at the same time.
pub(super) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, output) in waiting.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                if let Poll::Ready(ready) = future.as_mut().poll(context) {
                    *output = Some(ready);
                }
            }
        }
        match outputs.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
