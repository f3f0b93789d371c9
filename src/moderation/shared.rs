//! What the layer, its services and their futures have in common.

use std::sync::Arc;

use crate::settings::Common;

pub(super) struct Shared<D, R> {
    pub(super) directory: Arc<D>,
    pub(super) restrictions: Arc<R>,
    pub(super) settings: Common,
}

impl<D, R> Clone for Shared<D, R> {
    fn clone(&self) -> Self {
        Self {
            directory: Arc::clone(&self.directory),
            restrictions: Arc::clone(&self.restrictions),
            settings: self.settings.clone(),
        }
    }
}
