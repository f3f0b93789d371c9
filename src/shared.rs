//! The state that the layer, its services, their futures and the guards share.

mod together;

use std::{fmt, sync::Arc};

pub(crate) use self::together::{Answer, Next, Together, Unanswered};
#[cfg(feature = "tracing")]
use crate::store::Failures;
use crate::{changes::Changes, settings::Settings, store::AccountStateStore};

/// The layer's constructor makes it once, because axum makes a service per route, and one per request.
pub(crate) struct Shared<S> {
    pub(crate) store: Arc<S>,
    pub(crate) settings: Settings,
    pub(crate) changes: Changes,
    /// The waiting requests that ask again.
    pub(crate) together: Arc<Together>,
    #[cfg(feature = "tracing")]
    pub(crate) failures: Arc<Failures>,
    /// The state from which this was made by changing a setting, if a guard holds that weakly. The guard works
    /// as long as this lives.
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
