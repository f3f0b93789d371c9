//! What the layers do, as metrics of the [`metrics`] crate.
//!
//! Sends a few requests through the layers and prints what Prometheus would scrape:
//!
//! ```sh
//! cargo run -p example-metrics
//! ```
//!
//! A label takes only values from a short list that this program knows. A user id, a token or a
//! method that a client has invented never becomes one.

use std::{convert::Infallible, error::Error, io, time::Duration};

use axum::{Router, body::Body, routing::any};
use http::{Method, Request, header::AUTHORIZATION};
use metrics::{counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, ServiceExt};
use tower_account_status::{
    AccountDirectory, AccountModerationLayer, AccountState, AccountStateStore, AccountStatusLayer,
    Action, Authentication, Denial, DenialCause, MemoryStore, Outcome, RestrictionKind, UserId,
    moderation::{self, Refusal},
    store::{Answer, StoreError},
    without,
};

const DECISIONS: &str = "account_status_decisions_total";
const MODERATION: &str = "account_status_moderation_total";
const LOOKUP_TIME: &str = "account_status_lookup_seconds";

/// The observer of the `AccountStatusLayer`: one counter of all decisions, and how long the store took
/// if it was awaited.
///
/// A sync that is ended counts twice: it had `passed` before it was `ended`.
fn record(outcome: &Outcome<'_>) {
    let denial = outcome.denial();
    counter!(
        DECISIONS,
        "decision" => outcome.decision().as_str(),
        "cause" => denial.map_or("none", |denial| cause(denial.cause())),
        "action" => denial.and_then(Denial::action).map_or("none", Action::as_str),
        "method" => outcome.method().map_or("none", method),
        "endpoint" => outcome.endpoint(),
    )
    .increment(1);
    if let Some(time) = outcome.lookup_time() {
        let answered = match outcome.store_error() {
            None => "yes",
            Some(_) => "no",
        };
        histogram!(LOOKUP_TIME, "answered" => answered).record(time);
    }
}

/// The observer of the `AccountModerationLayer`. It only counts. Who changed what belongs in a log.
///
/// A method that a client has invented is `refused` with the cause `method_not_allowed`.
fn record_moderation(outcome: &moderation::Outcome<'_>) {
    let wanted = match outcome.wanted() {
        Some(true) => "set",
        Some(false) => "lift",
        None => "none",
    };
    counter!(
        MODERATION,
        "decision" => outcome.decision().as_str(),
        "cause" => outcome.refusal().map_or("none", Refusal::as_str),
        "wanted" => wanted,
        "endpoint" => outcome.endpoint(),
    )
    .increment(1);
}

fn cause(cause: DenialCause) -> &'static str {
    match cause {
        DenialCause::Restricted(RestrictionKind::Locked) => "locked",
        DenialCause::Restricted(RestrictionKind::Suspended) => "suspended",
        DenialCause::Restricted(RestrictionKind::Deactivated) => "deactivated",
        DenialCause::StoreFailed | DenialCause::LayerGone => "store_failed",
        _ => "bad_request",
    }
}

fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Knows four tokens; the database of the last one's owner is down.
#[derive(Debug)]
struct Store;

impl AccountStateStore for Store {
    async fn access_token(&self, token: &str) -> Answer {
        // A database takes its time.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let is_known = ["alice", "locked", "suspended", "down"].contains(&token);
        Ok(is_known.then(|| UserId::local(token, "localhost")))
    }

    without! { application_service, login_name, third_party, login_token, refresh_token, event_sender, changes }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        Ok(match user {
            "@locked:localhost" => RestrictionKind::Locked.into(),
            "@suspended:localhost" => RestrictionKind::Suspended.into(),
            "@down:localhost" => Err(io::Error::other("the database is down"))?,
            _ => AccountState::ACTIVE,
        })
    }
}

/// Knows that Alice is the administrator.
#[derive(Debug)]
struct Directory;

impl AccountDirectory for Directory {
    type Error = Infallible;

    async fn authenticate(&self, token: &str) -> Result<Authentication, Infallible> {
        let is_known = ["alice", "bob"].contains(&token);
        let user = is_known.then(|| UserId::local(token, "localhost"));
        Ok(user.into())
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, Infallible> {
        Ok(user == "@alice:localhost")
    }

    fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == Some("localhost")
    }

    async fn exists(&self, _: &UserId) -> Result<bool, Infallible> {
        Ok(true)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let metrics = PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.005, 0.025, 0.1, 0.5, 2.5])?
        .install_recorder()?;
    describe_counter!(DECISIONS, "What the layer did with a request");
    describe_counter!(MODERATION, "Outcomes of moderators' requests");
    describe_histogram!(LOOKUP_TIME, "How long the account state store took");

    let router = Router::new().fallback(any(|| async { "{}" }));
    let moderation =
        AccountModerationLayer::new(Directory, MemoryStore::new()).with_observer(record_moderation);
    let app = AccountStatusLayer::new(Store)
        .with_observer(record)
        .layer(moderation.layer(router));

    let send = "/_matrix/client/v3/rooms/!room:localhost/send/m.room.message/1";
    for (method, path, token) in [
        (Method::GET, "/_matrix/client/versions", None),
        (Method::GET, "/_matrix/client/v3/sync", Some("alice")),
        (Method::PUT, send, Some("alice")),
        (Method::GET, "/_matrix/client/v3/sync", Some("locked")),
        (Method::PUT, send, Some("locked")),
        (Method::POST, "/_matrix/client/v3/logout", Some("locked")),
        (Method::GET, "/_matrix/client/v3/sync", Some("suspended")),
        (Method::PUT, send, Some("suspended")),
        (Method::GET, "/_matrix/client/v3/sync", Some("down")),
    ] {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        app.clone().oneshot(request.body(Body::empty())?).await?;
    }
    let lock = "/_matrix/client/v1/admin/lock/@carol:localhost";
    for (method, token, body) in [
        (Method::PUT, "alice", r#"{"locked":true}"#),
        (Method::PUT, "alice", r#"{"locked":true}"#),
        (Method::GET, "alice", ""),
        (Method::PUT, "bob", r#"{"locked":false}"#),
        (Method::from_bytes(b"INVENTED")?, "bob", ""),
    ] {
        let request = Request::builder().method(method).uri(lock);
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        app.clone().oneshot(request.body(Body::from(body))?).await?;
    }
    print!("{}", metrics.render());
    Ok(())
}
