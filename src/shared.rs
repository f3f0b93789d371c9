//! What the layer, its services, their futures and the guards have in common.

use std::{fmt, sync::Arc};

use crate::{changes::Changes, settings::Settings, store::AccountStateStore};

/// Made once, by the layer's constructor: axum makes a service per route, and one per request.
pub(crate) struct Shared<S> {
    pub(crate) store: Arc<S>,
    pub(crate) settings: Settings,
    pub(crate) changes: Changes,
}

impl<S: AccountStateStore> Shared<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            changes: store.changes().unwrap_or_default(),
            store: Arc::new(store),
            settings: Settings::default(),
        }
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            settings: self.settings.clone(),
            changes: self.changes.clone(),
        }
    }
}

impl<S> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
