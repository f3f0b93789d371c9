//! A panic of a callback of `Changes::listen` is reported to `tracing`. It affects neither other
//! callbacks nor the one who announces.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tower_account_status::Changes;
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Counts the events that are errors.
#[derive(Clone, Default)]
struct Errors(Arc<AtomicUsize>);

impl Subscriber for Errors {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() == Level::ERROR {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn rule_19_a_callback_that_panics_is_told_and_the_next_one_is_called() {
    let (errors, heard) = (Errors::default(), Arc::new(AtomicUsize::new(0)));
    let changes = Changes::new();
    let _panics = changes.listen(|_| panic!("a callback's own mistake"));
    let _counts = changes.listen({
        let heard = Arc::clone(&heard);
        move |_| {
            heard.fetch_add(1, SeqCst);
        }
    });
    tracing::subscriber::with_default(errors.clone(), || {
        changes.announce("@alice:x");
        changes.announce_all();
    });
    assert_eq!((errors.0.load(SeqCst), heard.load(SeqCst)), (2, 2));
}
