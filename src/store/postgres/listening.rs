//! A running listener, and the handles that keep it alive.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::watch, time::timeout};

use super::{
    dial::{EndOnDrop, Hosts},
    error::Cause,
    listener::{Feed, Pace, Unheard},
    source::Source,
};
use crate::{
    changes::Changes,
    locks::{Mutex, lock},
    store::StoreError,
};

/// The listener ends with its last owner.
pub(super) struct Listening {
    changes: Changes,
    is_listening: watch::Receiver<bool>,
    feed: Arc<Feed>,
    task: Mutex<EndOnDrop>,
}

impl Listening {
    /// Returns when it listens, or with the reason why it cannot.
    pub(super) async fn start(
        hosts: Arc<Hosts>,
        source: Source,
        pace: Pace,
        changes: Changes,
    ) -> Result<Self, Cause> {
        let (sender, is_listening) = watch::channel(false);
        let feed = Arc::new(Feed {
            hosts,
            source,
            pace,
            changes: changes.clone(),
            is_listening: sender,
            unheard: Unheard::default(),
        });
        let task = Mutex::new(feed.start().await?);
        Ok(Self {
            changes,
            is_listening,
            feed,
            task,
        })
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    pub(super) fn is_listening(&self) -> bool {
        *self.is_listening.borrow() && self.changes.is_believed()
    }

    /// Why it does not listen, if that is known.
    pub(super) fn error(&self) -> Option<StoreError> {
        self.feed.unheard.latest()
    }

    pub(super) async fn until_listening(&self, listening: bool) {
        let mut is_listening = self.is_listening.clone();
        while self.is_listening() != listening {
            // Nothing tells when a proof gets old, or when a new one arrives.
            let now = Instant::now();
            let until = self.changes.believed_until();
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(now));
            let wait = left.clamp(Duration::from_millis(10), Duration::from_secs(1));
            // The sender lives as long as the feed.
            let _ = timeout(wait, is_listening.changed()).await;
        }
    }

    /// Listens again on this runtime, if there is one and if the runtime that listened has ended. Returns
    /// whether it may have ended.
    pub(super) fn heal(&self) -> bool {
        if *self.is_listening.borrow() || Handle::try_current().is_err() {
            return false;
        }
        let mut task = lock(&self.task);
        if task.is_finished() {
            *task = self.feed.restart();
        }
        true
    }
}
