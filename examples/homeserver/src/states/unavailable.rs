//! Replaces the states in PostgreSQL if the example was built without the feature.

use std::{convert::Infallible, error::Error, sync::Arc};

use axum::Router;
use tower_account_status::UserId;

use crate::homeserver::Homeserver;

/// Cannot be made.
#[derive(Clone)]
pub(crate) enum States {}

impl States {
    pub(crate) async fn connect(_: &str) -> Result<Self, Box<dyn Error>> {
        Err("`--states` needs the feature `postgres`: \
             `cargo run -p homeserver --features postgres -- --states …`"
            .into())
    }

    pub(crate) async fn deactivate(&self, _: &UserId) -> Result<(), Infallible> {
        match *self {}
    }

    pub(crate) fn app(self, _: Arc<Homeserver>) -> Router {
        match self {}
    }
}
