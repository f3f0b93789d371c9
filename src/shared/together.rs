//! Many waiting requests ask at the same moment: who waits for which answer, and who may ask.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::{
    account::{AccountState, UserId},
    locks::{Mutex, lock},
    store::StoreError,
};

/// The answer that one of many gets.
pub(crate) type Answer = Result<AccountState, Unanswered>;

/// Why it gets no answer.
#[derive(Clone, Debug)]
pub(crate) enum Unanswered {
    Error(StoreError),
    Panicked,
    TimedOut,
}

/// How many look-ups for waiting requests are under way at a time: half of what a pool of
/// connections usually has, so that all of them at once leave room for requests that come now.
const PLACES: usize = 4;
/// How many accounts one look-up asks for: at first, and at most.
const FIRST_SIZE: usize = 8;
const MOST: usize = 256;
/// A look-up that takes less may ask for twice as many accounts the next time, and one that takes
/// longer for half: a store that asks for one after the other is not to run out of its time.
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_millis(200);

/// Those that wait for an answer, and the places for asking.
///
/// A request that gets a place asks for those that came first, perhaps for itself too. No task does
/// this: if the request that asks goes away meanwhile, the others ask again.
#[derive(Debug)]
pub(crate) struct Together {
    waiting: Mutex<VecDeque<(UserId, oneshot::Sender<Answer>)>>,
    places: Semaphore,
    size: AtomicUsize,
}

/// What one that waits gets.
pub(crate) enum Next<'a> {
    Place(SemaphorePermit<'a>),
    Answer(Answer),
    /// The one that asked has gone away.
    Nothing,
}

impl Together {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            places: Semaphore::new(PLACES),
            size: AtomicUsize::new(FIRST_SIZE),
        }
    }

    pub(crate) fn wait_for(&self, user: &UserId) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        lock(&self.waiting).push_back((user.clone(), sender));
        answer
    }

    /// The answer, or a place for asking, whichever comes first.
    pub(crate) async fn next(&self, answer: &mut oneshot::Receiver<Answer>) -> Next<'_> {
        let mut place = pin!(self.places.acquire());
        poll_fn(|context| {
            if let Poll::Ready(answer) = Pin::new(&mut *answer).poll(context) {
                return Poll::Ready(answer.map_or(Next::Nothing, Next::Answer));
            }
            let place = place.as_mut().poll(context);
            // The semaphore is never closed.
            place.map(|place| place.map_or(Next::Nothing, Next::Place))
        })
        .await
    }

    /// Those that came first and have not gone away, by account.
    pub(crate) fn first(&self) -> HashMap<UserId, Vec<oneshot::Sender<Answer>>> {
        let size = self.size.load(Ordering::Relaxed);
        let mut first = HashMap::<UserId, Vec<_>>::new();
        let mut waiting = lock(&self.waiting);
        while let Some((user, answer)) = waiting.pop_front() {
            if answer.is_closed() {
                continue;
            }
            if first.len() >= size && !first.contains_key(&user) {
                waiting.push_front((user, answer));
                break;
            }
            first.entry(user).or_default().push(answer);
        }
        first
    }

    /// One account with which the store has trouble does not keep the others from their answers:
    /// after a failure fewer are asked for together, at last each alone.
    pub(crate) fn took(&self, time: Duration, failed: bool) {
        let size = self.size.load(Ordering::Relaxed);
        let next = match failed || time > LONG {
            true => (size / 2).max(1),
            false if time < SHORT => (size * 2).min(MOST),
            false => size,
        };
        self.size.store(next, Ordering::Relaxed);
    }
}
