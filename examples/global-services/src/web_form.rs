//! A login form for browsers, which shares the password check with the Matrix login.
//!
//! It is no Matrix request: the path is the server's own and the body is a form, so the layer does
//! not read the name in it. The handler asks the guard between the password and the new device.

use axum::{Form, Router, routing::post};
use serde::Deserialize;
use tower_account_status::AccountGuard;

use crate::{
    api::local,
    error::{Error, Result},
    services::services,
};

pub(crate) fn routes() -> Router {
    Router::new().route("/web/login", post(log_in))
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn log_in(guard: AccountGuard, Form(login): Form<Login>) -> Result<String> {
    let (users, user) = (&services().users, local(&login.user.to_lowercase()));
    if !users.is_password(&user, &login.password)? {
        return Err(Error::forbidden("Wrong username or password."));
    }
    guard.check(&user.as_str().into()).await?;
    users.create_device(&user)
}
