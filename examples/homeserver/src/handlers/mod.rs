//! The handlers. None of them looks at an account's state, because the layer does.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod events;
pub(crate) mod media;
pub(crate) mod misc;
pub(crate) mod rooms;
pub(crate) mod session;
pub(crate) mod sync;

use std::sync::Arc;

use serde_json::Value;

use crate::{error::Result, homeserver::Homeserver};

type State = axum::extract::State<Arc<Homeserver>>;

/// A JSON object, or a Matrix error.
type Answer = Result<axum::Json<Value>>;

/// Makes an [`Answer`] from a JSON literal.
macro_rules! answer {
    ($($json:tt)+) => { Ok(axum::Json(serde_json::json!($($json)+))) };
}
use answer;
