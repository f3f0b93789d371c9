//! What the layer, its services, their futures and the guards have in common.

use std::{fmt, sync::Arc};

use tokio::sync::Semaphore;

#[cfg(feature = "tracing")]
use crate::outcome::Failures;
use crate::{changes::Changes, settings::Settings, store::AccountStateStore};

/// How many waiting requests ask the store at a time whether their account was restricted: half of
/// what a pool of connections usually has, so that all of them at once leave room for requests that
/// come now.
const ASKING_AGAIN: usize = 4;

/// Made once, by the layer's constructor: axum makes a service per route, and one per request.
pub(crate) struct Shared<S> {
    pub(crate) store: Arc<S>,
    pub(crate) settings: Settings,
    pub(crate) changes: Changes,
    /// The places for waiting requests that ask again.
    pub(crate) asking_again: Arc<Semaphore>,
    #[cfg(feature = "tracing")]
    pub(crate) failures: Arc<Failures>,
    /// What this was made of by changing a setting, where a guard holds that weakly: the guard
    /// works as long as this lives.
    _before: Option<Arc<Self>>,
}

impl<S: AccountStateStore> Shared<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            changes: store.changes().unwrap_or_default(),
            store: Arc::new(store),
            settings: Settings::default(),
            asking_again: Arc::new(Semaphore::new(ASKING_AGAIN)),
            #[cfg(feature = "tracing")]
            failures: Arc::default(),
            _before: None,
        }
    }
}

impl<S> Shared<S> {
    /// The settings of `shared` alone. Whoever else has them keeps them as they are.
    pub(crate) fn settings_mut(shared: &mut Arc<Self>) -> &mut Settings {
        // `Arc::make_mut` would take the state away from weak pointers.
        if Arc::get_mut(shared).is_none() {
            let before = Arc::clone(shared);
            *shared = Arc::new(Self {
                store: Arc::clone(&before.store),
                settings: before.settings.clone(),
                changes: before.changes.clone(),
                asking_again: Arc::clone(&before.asking_again),
                #[cfg(feature = "tracing")]
                failures: Arc::clone(&before.failures),
                _before: Some(before),
            });
        }
        &mut Arc::get_mut(shared)
            .expect("nobody else has what has just been made")
            .settings
    }
}

impl<S> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
