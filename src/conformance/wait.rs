//! Waits for answers, for one or for many, and not for ever.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

use crate::{changes::Subscription, store::StoreError};

/// A store that takes longer to answer a question hangs.
const LIMIT: Duration = Duration::from_secs(5);

/// A future that holds its thread longer in one poll blocks it.
const BLOCKED: Duration = Duration::from_millis(250);

/// How a question ended.
pub(super) enum Asked<T> {
    Answered(T),
    Failed(String),
    Panicked(String),
    /// There was no answer within this time.
    Hung(Duration),
    /// It was answered, but one poll held the thread for this long.
    Blocked(Duration, T),
}

impl<T> Asked<T> {
    /// The answer, or the text to report.
    pub(super) fn into_result(self) -> Result<T, String> {
        match self {
            Self::Answered(answer) | Self::Blocked(_, answer) => Ok(answer),
            Self::Failed(error) => Err(format!("it failed: {error}")),
            Self::Panicked(message) => Err(format!("it panicked: {message}")),
            Self::Hung(limit) => Err(format!("no answer within {limit:?}")),
        }
    }
}

/// Asks a question and waits for its answer. It is asked here because a store may panic before it
/// returns a future.
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

/// The answer, or the text to report.
pub(super) async fn answer<T, E: Into<StoreError>>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    ask(|| question).await.into_result()
}

/// The same for one of `count` questions that are asked at once. A store that makes one change after
/// the other, each at the pace of its disk, answers the last one when it has made them all.
pub(super) async fn answer_among<T, E: Into<StoreError>>(
    count: u32,
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    let asked = ask_within(LIMIT * count, || question).await;
    asked.into_result()
}

/// The answer of a call that does not wait, or the message of its panic.
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

/// Whether a change is announced within the time limit.
pub(super) async fn hears(subscription: &mut Subscription) -> bool {
    tokio::time::timeout(LIMIT, subscription.changed())
        .await
        .is_ok()
}

/// Whether a change has been announced.
pub(super) async fn has_heard(subscription: &mut Subscription) -> bool {
    let mut changed = pin!(subscription.changed());
    poll_fn(|context| Poll::Ready(changed.as_mut().poll(context).is_ready())).await
}

/// Waits until the entries of a log are older.
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Polls a future once, and drops it after this many milliseconds.
pub(super) async fn give_up<F: Future>(millis: u64, future: F) {
    let mut future = pin!(future);
    let polled_once = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    if millis > 0 && polled_once.is_pending() {
        let _ = tokio::time::timeout(Duration::from_millis(millis), future).await;
    }
}

/// Drives two futures at the same time.
pub(super) async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut of_one, mut of_other) = (None, None);
    poll_fn(|context| {
        if of_one.is_none() {
            if let Poll::Ready(output) = one.as_mut().poll(context) {
                of_one = Some(output);
            }
        }
        if of_other.is_none() {
            if let Poll::Ready(output) = other.as_mut().poll(context) {
                of_other = Some(output);
            }
        }
        match (of_one.take(), of_other.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (of_one, of_other) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
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
