//! The log, on the standard error output: one line an event, with its time and level.
//!
//! No line holds a token, a path or a body.

use std::{
    fmt, io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::{
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Begins to write events of `level` and above.
pub(crate) fn start(format: Format, level: LevelFilter) {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level);
    let others = filter_fn(|event| !is_told_by_observers(event));
    match format {
        Format::Text => subscriber.finish().with(others).init(),
        Format::Json => {
            let subscriber = subscriber.json().flatten_event(true);
            subscriber.finish().with(others).init();
        }
    }
    // Not what the panic says: it may quote a request.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a task panicked");
    }));
}

/// Whether it is an event of the layers about a request. The gateway's observers write their own, at the level
/// that its options ask for.
fn is_told_by_observers(event: &Metadata<'_>) -> bool {
    let layers = [
        "tower_account_status::outcome",
        "tower_account_status::moderation::outcome",
    ];
    layers.contains(&event.target())
}

/// Writes a failure to the log, at most one a second, because while the homeserver is away each request has one.
pub(crate) fn failure(what: fmt::Arguments<'_>) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        return;
    }
    *last = Some(Instant::now());
    drop(last);
    match LEFT_OUT.swap(0, Ordering::Relaxed) {
        0 => tracing::warn!("{what}"),
        left_out => tracing::warn!(left_out, "{what}"),
    }
}
