use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, Instant},
};

use super::{Announcement, Changes};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn rule_17_a_change_between_subscribing_and_waiting_is_heard() {
    let changes = Changes::new();
    let mut subscription = changes.subscribe("@alice:localhost");
    changes.announce("@alice:localhost");
    subscription.changed().await;
}

#[tokio::test]
async fn a_waiting_subscriber_is_woken_once_per_announcement() {
    let changes = Changes::new();
    let mut subscription = changes.subscribe("@alice:localhost");
    for _ in 0..3 {
        let mut changed = pin!(subscription.changed());
        assert!(futures_poll(&mut changed).is_pending());
        changes.announce_all();
        assert!(futures_poll(&mut changed).is_ready());
    }
}

#[test]
fn an_announcement_wakes_few_of_the_many_who_wait() {
    let changes = Changes::new();
    let user = |number: usize| format!("@{number}:localhost");
    let subscribe = |number| changes.subscribe(&user(number));
    let mut subscriptions: Vec<_> = (0..10_000).map(subscribe).collect();
    changes.announce(&user(17));
    let mut woken = Vec::new();
    for (number, subscription) in subscriptions.iter_mut().enumerate() {
        if futures_poll(&mut pin!(subscription.changed())).is_ready() {
            woken.push(number);
        }
    }
    assert!(woken.contains(&17), "{woken:?}");
    assert!(woken.len() < 20, "{woken:?}");
}

#[tokio::test]
async fn rule_14_a_dropped_wait_loses_no_news() {
    let changes = Changes::new();
    let mut subscription = changes.subscribe("@alice:localhost");
    {
        let mut changed = pin!(subscription.changed());
        assert!(futures_poll(&mut changed).is_pending());
        changes.announce("@alice:localhost");
    }
    subscription.changed().await;
}

#[test]
fn rule_17_a_listener_is_called_before_announce_returns_and_until_it_is_dropped() {
    let changes = Changes::new();
    let outer = Changes::relaying([changes.clone()]);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = outer.listen({
        let heard = Arc::clone(&heard);
        move |announcement| {
            heard.lock().unwrap().push(match announcement {
                Announcement::Account(user) => Some(user.to_owned()),
                Announcement::AllAccounts => None,
            });
        }
    });
    let subscription = outer.subscribe("@alice:localhost");
    changes.announce("@alice:localhost");
    assert_eq!(
        *heard.lock().unwrap(),
        [Some("@alice:localhost".to_owned())]
    );
    assert!(futures_poll(&mut pin!({ subscription }.changed())).is_ready());
    changes.announce_all();
    assert_eq!(heard.lock().unwrap().last(), Some(&None));
    drop(listener);
    changes.announce_all();
    assert_eq!(heard.lock().unwrap().len(), 2);
}

#[test]
fn rule_17_a_listener_that_panics_keeps_nobody_from_hearing() {
    let changes = Changes::new();
    let heard = Arc::new(Mutex::new(0));
    let _panics = changes.listen(|_| panic!("a listener's own mistake"));
    let _counts = changes.listen({
        let heard = Arc::clone(&heard);
        move |_| *heard.lock().unwrap() += 1
    });
    let mut subscription = changes.subscribe("@alice:localhost");
    changes.announce("@alice:localhost");
    changes.announce_all();
    assert_eq!(*heard.lock().unwrap(), 2);
    assert!(futures_poll(&mut pin!(subscription.changed())).is_ready());
}

#[test]
fn rule_19_news_from_outside_are_believed_only_as_long_as_they_are_proved() {
    let within = Changes::new();
    assert!(within.is_believed());
    within.distrust();
    assert!(within.is_believed(), "news that never leave the process");
    assert_eq!(within.believed_until(), None);

    let outside = Changes::needing_proof();
    assert!(!outside.is_believed());
    let now = Instant::now();
    outside.believe_until(now + HOUR);
    assert!(outside.is_believed());
    assert_eq!(outside.believed_until(), Some(now + HOUR));
    outside.believe_until(now);
    assert!(!outside.is_believed(), "nothing ran, and belief has ended");
    outside.believe_until(now + HOUR);
    outside.distrust();
    assert!(!outside.is_believed());
}

#[test]
fn rule_19_who_relays_is_believed_as_long_as_all_that_it_relays() {
    let (within, one, two) = (
        Changes::new(),
        Changes::needing_proof(),
        Changes::needing_proof(),
    );
    let outer = Changes::relaying([within, one.clone(), two.clone()]);
    let now = Instant::now();
    one.believe_until(now + HOUR);
    assert!(!outer.is_believed());
    two.believe_until(now + 2 * HOUR);
    assert!(outer.is_believed());
    assert_eq!(outer.believed_until(), Some(now + HOUR));
    let outermost = Changes::relaying([outer]);
    assert!(outermost.is_believed());
    one.distrust();
    assert!(!outermost.is_believed());
}

#[test]
fn who_relays_is_not_kept_by_what_it_relays() {
    let source = Changes::new();
    let outer = Changes::relaying([source.clone()]);
    let alive = Arc::downgrade(&outer.0);
    drop(outer);
    assert!(alive.upgrade().is_none());
    source.announce_all();
    assert!(source.0.listeners().callbacks.is_empty());
}

fn futures_poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context)
}
