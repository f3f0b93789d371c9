//! Waiting for answers: together, once, and not for ever.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use crate::{changes::Subscription, store::StoreError};

/// How long a question may take before the store counts as hanging.
const LIMIT: Duration = Duration::from_secs(10);

/// The answer, or what to report in its place.
pub(super) async fn answer<T, E: Into<StoreError>>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(LIMIT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("it failed: {}", error.into())),
        Err(_) => Err(format!("no answer within {LIMIT:?}")),
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
