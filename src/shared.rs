//! What the layer, its services, their futures and the guards have in common.

mod together;

use std::{fmt, sync::Arc};

pub(crate) use self::together::{Answer, Next, Together, Unanswered};
#[cfg(feature = "tracing")]
use crate::outcome::Failures;
use crate::{changes::Changes, settings::Settings, store::AccountStateStore};

/// Made once, by the layer's constructor: axum makes a service per route, and one per request.
pub(crate) struct Shared<S> {
    pub(crate) store: Arc<S>,
    pub(crate) settings: Settings,
    pub(crate) changes: Changes,
    /// The waiting requests that ask again.
    pub(crate) together: Arc<Together>,
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
            together: Arc::new(Together::new()),
            #[cfg(feature = "tracing")]
            failures: Arc::default(),
            _before: None,
        }
    }
}

impl<S> Shared<S> {
    /// The settings of `shared` alone. Other owners keep theirs as they are.
    pub(crate) fn settings_mut(shared: &mut Arc<Self>) -> &mut Settings {
        // `Arc::make_mut` would take the state away from weak pointers.
        if Arc::get_mut(shared).is_none() {
            let before = Arc::clone(shared);
            *shared = Arc::new(Self {
                store: Arc::clone(&before.store),
                settings: before.settings.clone(),
                changes: before.changes.clone(),
                together: Arc::clone(&before.together),
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
