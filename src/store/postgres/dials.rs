//! Who waits for a new connection, and the tasks that make one.
//!
//! Each task makes a connection for one who waits, and nobody gets another's. So one that is not polled
//! any longer, because its runtime stands still, keeps at most the one connection that was made for it.
//! A task outlives who asked for it, and then serves the next. No lock is held across an await.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{connection::Connection, error::Cause};
use crate::locks::{Mutex, lock};

pub(super) type Made = Result<Connection, Cause>;

#[derive(Default)]
pub(super) struct Dials(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Made>>,
    /// The oldest first.
    under_way: BTreeMap<u64, Dial>,
}

struct Dial {
    began: Instant,
    /// Who waits for it, or did.
    waiter: u64,
}

/// One who waits.
pub(super) struct Ticket {
    number: u64,
    dial: u64,
    /// Whether the dial has to be begun.
    pub(super) is_new: bool,
    pub(super) began: Instant,
    pub(super) answer: oneshot::Receiver<Made>,
}

impl Ticket {
    pub(super) fn dial(&self) -> u64 {
        self.dial
    }
}

impl Dials {
    /// Waits for a dial that was begun for somebody who has left, less than `limit` ago, or for a new one.
    pub(super) fn wait(&self, limit: Duration) -> Ticket {
        let mut tables = lock(&self.0);
        let tables = &mut *tables;
        tables.last += 1;
        let number = tables.last;
        let waiting = &tables.waiting;
        // The runtime of an older one may stand still.
        let left_behind =
            tables.under_way.iter_mut().rev().find(|(_, dial)| {
                !waiting.contains_key(&dial.waiter) && dial.began.elapsed() < limit
            });
        let (dial, began, is_new) = match left_behind {
            Some((found, dial)) => {
                dial.waiter = number;
                (*found, dial.began, false)
            }
            None => {
                let began = Instant::now();
                let waiter = number;
                tables.under_way.insert(number, Dial { began, waiter });
                (number, began, true)
            }
        };
        let (sender, answer) = oneshot::channel();
        tables.waiting.insert(number, sender);
        Ticket {
            number,
            dial,
            is_new,
            began,
            answer,
        }
    }

    /// Waits no longer, and neither does anybody else for that dial if `gives_up`. Returns what has arrived
    /// for the ticket and was not taken.
    pub(super) fn leave(&self, ticket: &mut Ticket, gives_up: bool) -> Option<Made> {
        let mut tables = lock(&self.0);
        tables.waiting.remove(&ticket.number);
        if gives_up {
            tables.under_way.remove(&ticket.dial);
        }
        drop(tables);
        ticket.answer.try_recv().ok()
    }

    /// Gives what a dial has come to to the one who waits for it. Returns it if nobody does.
    pub(super) fn deliver(&self, dial: u64, made: Made) -> Option<Made> {
        // Sent under the lock, so that who leaves either finds it or is not found.
        let mut tables = lock(&self.0);
        let waiter = tables.under_way.remove(&dial).map(|dial| dial.waiter);
        match waiter.and_then(|waiter| tables.waiting.remove(&waiter)) {
            Some(sender) => sender.send(made).err(),
            None => Some(made),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Dials, Duration, Made};

    const LIMIT: Duration = Duration::from_secs(60);

    fn made() -> Made {
        Err(Cause::ConnectionLost)
    }

    #[test]
    fn rule_20_a_dial_is_for_one_that_waits_and_then_for_the_next() {
        let dials = Dials::default();
        let mut kept = dials.wait(LIMIT);
        let mut other = dials.wait(LIMIT);
        assert!(kept.is_new && other.is_new);
        assert!(dials.deliver(other.dial(), made()).is_none());
        assert!(other.answer.try_recv().is_ok(), "it gets its own");
        assert!(kept.answer.try_recv().is_err());

        assert!(dials.leave(&mut kept, false).is_none());
        let mut next = dials.wait(LIMIT);
        assert!(!next.is_new);
        assert_eq!(next.dial(), kept.dial());
        assert!(dials.wait(LIMIT).is_new, "it is taken");
        assert!(dials.deliver(next.dial(), made()).is_none());
        assert!(next.answer.try_recv().is_ok());
    }

    #[test]
    fn rule_20_what_nobody_takes_is_given_back() {
        let dials = Dials::default();
        let mut leaves = dials.wait(LIMIT);
        assert!(dials.deliver(leaves.dial(), made()).is_none());
        assert!(
            dials.leave(&mut leaves, false).is_some(),
            "it came too late"
        );

        let mut leaves = dials.wait(LIMIT);
        assert!(dials.leave(&mut leaves, false).is_none());
        assert!(dials.deliver(leaves.dial(), made()).is_some());

        let mut gives_up = dials.wait(LIMIT);
        assert!(dials.leave(&mut gives_up, true).is_none());
        assert!(dials.wait(LIMIT).is_new, "its runtime may stand still");

        let mut leaves = dials.wait(LIMIT);
        assert!(dials.leave(&mut leaves, false).is_none());
        assert!(dials.wait(Duration::ZERO).is_new, "it is too old");
    }
}
