//! The feature `axum`: a denial is a response, and a handler that extracts what no layer has
//! handed on answers 500.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use std::sync::{Arc, Mutex};

use axum::{
    Extension, Router,
    body::Body,
    response::IntoResponse,
    routing::{get, post},
};
use http::{Method, Request};
use support::{
    ALICE, Answer, HANDLED, LOGIN, LOGOUT, SYNC, alices, anonymous, call, layer, locked, passed,
    store, store_with, verdict,
};
use tower_account_status::{
    Account, AccountGuard, AccountStatusLayer, CheckedAccounts, Denial, MemoryStore,
    NamedAccountCheck, NamedIn, Restriction, RestrictionKind, UserId, axum::MissingLayer,
};
use tracing::{Event, Level, Metadata, Subscriber, field, span};

/// A login handler of a server that checks for itself.
async fn log_in(guard: AccountGuard, body: String) -> Result<&'static str, Denial> {
    assert!(body.contains("alice"), "{body}");
    guard.check(&UserId::from(ALICE)).await?;
    Ok(HANDLED)
}

async fn whose(accounts: CheckedAccounts) -> String {
    let users: Vec<_> = accounts.iter().map(Account::user).collect();
    assert_eq!(accounts.first().map(Account::user), users.first().copied());
    assert_eq!(accounts.is_empty(), users.is_empty());
    serde_json::json!({ "users": format!("{users:?}") }).to_string()
}

fn routes() -> Router {
    let routes = Router::new()
        .route(LOGIN, post(log_in))
        .route(SYNC, get(whose));
    routes.route(LOGOUT, post(whose))
}

fn by_handler(store: &Arc<MemoryStore>) -> AccountStatusLayer<Arc<MemoryStore>> {
    layer(store).with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler)
}

fn login() -> Request<Body> {
    anonymous(Method::POST, LOGIN, r#"{"user":"alice"}"#).map(Body::new)
}

fn sync() -> Request<Body> {
    alices(Method::GET, SYNC).map(Body::new)
}

#[tokio::test]
async fn rule_10_a_handler_extracts_the_guard_and_its_denial_is_the_layers_answer() {
    let lock = Restriction::new(RestrictionKind::Locked).with_reason("Write to us");
    let store = store_with(lock);
    let app = routes().layer(by_handler(&store));
    let refused = call(app.clone(), login()).await;
    let by_layer = call(app.clone(), sync()).await;
    assert_eq!(refused.verdict(), locked());
    assert_eq!(refused.json()["error"], "Write to us");
    assert_eq!(refused.headers(), by_layer.headers());
    assert_eq!(refused.body, by_layer.body);
    assert!(
        refused.denial.is_some(),
        "for logs and for the server's own answer"
    );
    store.lift(ALICE, RestrictionKind::Locked);
    assert_eq!(call(app, login()).await.verdict(), passed());
}

#[tokio::test]
async fn a_guard_that_the_server_adds_is_extracted_on_every_route() {
    let store = store_with(RestrictionKind::Locked);
    let (layer, routes) = (layer(&store), routes());
    let layer = layer.with_named_account_check(NamedIn::Login, NamedAccountCheck::Off);
    let app = routes.layer(Extension(layer.guard())).layer(layer);
    // As a server keeps it: a guard works as long as its layer, or a service of it, lives.
    assert_eq!(call(app.clone(), login()).await.verdict(), locked());
}

#[tokio::test]
async fn the_checked_accounts_are_there_and_empty_where_none_was_checked() {
    let store = store();
    let app = routes().layer(layer(&store).with_checked_accounts());
    let unknown = || {
        let mut request = anonymous(Method::GET, SYNC, "").map(Body::new);
        support::bear(&mut request, "unknown");
        request
    };
    let anonymous = || anonymous(Method::GET, SYNC, "").map(Body::new);
    for (request, users) in [
        (sync(), format!("[{:?}]", UserId::from(ALICE))),
        (unknown(), "[]".to_owned()),
        (anonymous(), "[]".to_owned()),
    ] {
        let answer = call(app.clone(), request).await;
        assert_eq!(answer.json()["users"], *users, "{answer:?}");
    }
}

#[tokio::test]
async fn rule_12_a_request_that_passes_unchecked_has_the_empty_list() {
    let app = routes().layer(layer(&store_with(RestrictionKind::Locked)).with_checked_accounts());
    let logout = alices(Method::POST, LOGOUT).map(Body::new);
    let answer = call(app, logout).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Keeps the texts of events that are errors.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl field::Visit for Errors {
    fn record_debug(&mut self, field: &field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "error" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What is missing, by the text that the answer and the log have.
async fn assert_misses(app: Router, request: Request<Body>, what: &str) {
    let errors = Errors::default();
    // With a single subscriber in the process, tracing asks the first thread that reaches an event,
    // perhaps that of another test, and remembers that it has none.
    let _second = tracing::Dispatch::new(Errors::default());
    let _heard = tracing::subscriber::set_default(errors.clone());
    let answer = call(app, request).await;
    assert_eq!(answer.verdict(), verdict(500, "M_UNKNOWN"), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let text = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(text.contains(what), "{text}");
    assert_eq!(*errors.0.lock().unwrap(), [text]);
}

#[tokio::test]
async fn a_handler_whose_layer_was_forgotten_answers_500_and_it_is_logged() {
    let guard = "with_named_account_check";
    let accounts = "with_checked_accounts()";
    assert_misses(routes(), login(), guard).await;
    assert_misses(routes(), sync(), accounts).await;
    // The layer is there, and the setting is not.
    let store = store();
    assert_misses(routes().layer(layer(&store)), login(), guard).await;
    assert_misses(routes().layer(layer(&store)), sync(), accounts).await;
    // A route that was added above the layer.
    let above = Router::new().layer(by_handler(&store)).merge(routes());
    assert_misses(above, login(), guard).await;
}

#[tokio::test]
async fn a_rejection_travels_as_an_error() {
    async fn own(guard: Result<AccountGuard, MissingLayer>) -> Result<(), Denial> {
        let error: Box<dyn std::error::Error> = Box::new(guard.unwrap_err());
        assert!(
            error
                .to_string()
                .starts_with("the handler extracts an AccountGuard")
        );
        Ok(())
    }
    let app = Router::new().route(SYNC, get(own));
    assert_eq!(call(app, sync()).await.status, 200);
}

#[tokio::test]
async fn a_denial_is_a_response_of_its_own_too() {
    let layer = layer(&store_with(RestrictionKind::Suspended));
    let guard = layer.guard();
    let action = tower_account_status::Action::SendMessage;
    let denial = guard.check_action(&ALICE.into(), action).await.unwrap_err();
    let response = IntoResponse::into_response(denial);
    let answer = Answer::read(response).await;
    assert_eq!(answer.verdict(), verdict(403, "M_USER_SUSPENDED"));
}
