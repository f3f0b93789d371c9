//! The state that the layer, its services and their futures share.

use std::sync::Arc;

use super::Outcome;
use crate::settings::Common;
#[cfg(feature = "tracing")]
use crate::store::Failures;

type Observer = Arc<dyn Fn(&Outcome<'_>) + Send + Sync>;

pub(super) struct Shared<D, R> {
    pub(super) directory: Arc<D>,
    pub(super) restrictions: Arc<R>,
    pub(super) settings: Common,
    pub(super) observer: Option<Observer>,
    #[cfg(feature = "tracing")]
    pub(super) failures: Arc<Failures>,
}

impl<D, R> Clone for Shared<D, R> {
    fn clone(&self) -> Self {
        Self {
            directory: Arc::clone(&self.directory),
            restrictions: Arc::clone(&self.restrictions),
            settings: self.settings.clone(),
            observer: self.observer.clone(),
            #[cfg(feature = "tracing")]
            failures: Arc::clone(&self.failures),
        }
    }
}
