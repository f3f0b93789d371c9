//! What the layer, its services and their futures have in common.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{request::path_source::PathSource, settings::Clock};

pub(super) struct Shared<D, R> {
    pub(super) directory: Arc<D>,
    pub(super) restrictions: Arc<R>,
    pub(super) settings: Settings,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) path: PathSource,
    pub(super) store_timeout: Duration,
    pub(super) body_limit: usize,
    pub(super) body_timeout: Duration,
    pub(super) cors_headers: bool,
    pub(super) clock: Option<Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: PathSource::default(),
            store_timeout: Duration::from_secs(5),
            body_limit: 64 * 1024,
            body_timeout: Duration::from_secs(30),
            cors_headers: true,
            clock: None,
        }
    }
}

impl Settings {
    pub(super) fn now(&self) -> SystemTime {
        match &self.clock {
            None => SystemTime::now(),
            Some(clock) => clock(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("path", &self.path)
            .field("store_timeout", &self.store_timeout)
            .field("body_limit", &self.body_limit)
            .field("body_timeout", &self.body_timeout)
            .field("cors_headers", &self.cors_headers)
            .field("clock", &self.clock.is_some())
            .finish()
    }
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
