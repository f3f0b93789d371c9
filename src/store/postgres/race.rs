//! Several futures of one task, of which the first to end ends all.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

/// The output of the future that ends first, or `None` if it panics.
pub(super) async fn first_to_end<T, const N: usize>(
    mut futures: [Pin<Box<dyn Future<Output = T> + Send + '_>>; N],
) -> Option<T> {
    poll_fn(|context| {
        for future in &mut futures {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(output)) => return Poll::Ready(Some(output)),
                Err(_) => return Poll::Ready(None),
            }
        }
        Poll::Pending
    })
    .await
}
