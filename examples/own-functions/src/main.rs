//! A server that already has the two functions, and OAuth beside Matrix.
//!
//! ```sh
//! cargo run -p example-own-functions
//! curl -i -H 'Authorization: Bearer token-of-mallory' http://127.0.0.1:8010/_matrix/client/v3/account/whoami
//! curl -i -X POST -d '{"identifier":{"type":"m.id.user","user":"mallory"}}' http://127.0.0.1:8010/_matrix/client/v3/login
//! ```

use std::{env, error::Error};

use axum::{
    Extension, Router,
    routing::{get, post},
};
use http::StatusCode;
use tokio::net::TcpListener;
use tower::Layer;
use tower_account_status::{
    AccountGuard, AccountState, AccountStateStore, AccountStatusLayer, Denial, NamedAccountCheck,
    NamedIn, RestrictionKind, UserId,
    store::{Answer, StoreError},
    without,
};

/// The functions that the server already has.
#[derive(Debug)]
struct Homeserver;

impl Homeserver {
    async fn owner_of_token(&self, token: &str) -> Option<UserId> {
        let localpart = token.strip_prefix("token-of-")?;
        Some(format!("@{localpart}:localhost").into())
    }

    async fn is_banned(&self, user: &str) -> bool {
        user.starts_with("@mallory:")
    }
}

impl AccountStateStore for Homeserver {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(self.owner_of_token(token).await)
    }

    async fn login_name(&self, name: &str) -> Answer {
        Ok(Some(UserId::local(name, "localhost")))
    }

    without! { application_service, third_party, login_token, refresh_token, event_sender, changes }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        Ok(match self.is_banned(user).await {
            true => RestrictionKind::Locked.into(),
            false => AccountState::ACTIVE,
        })
    }
}

/// A login handler that asks the guard itself, so that nobody learns of a lock without the password.
async fn log_in(
    Extension(guard): Extension<AccountGuard>,
    body: String,
) -> Result<&'static str, axum::response::Response> {
    // A real server checks the password here.
    let user = match body.contains("mallory") {
        true => UserId::from("@mallory:localhost"),
        false => UserId::from("@alice:localhost"),
    };
    guard.check(&user).await.map_err(Denial::into_response)?;
    // No device has been made before this line.
    Ok("{\"access_token\":\"…\"}\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::new()
        .route(
            "/_matrix/client/v3/account/whoami",
            get(|| async { "{}\n" }),
        )
        .route("/_matrix/client/v3/login", post(log_in))
        .route("/oauth2/token", post(|| async { StatusCode::NO_CONTENT }));

    let app = AccountStatusLayer::new(Homeserver)
        .with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler)
        .add_excluded_prefix("/oauth2")
        .layer(router);

    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8010");
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app.into_make_service()).await?;
    Ok(())
}
