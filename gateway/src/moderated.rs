//! Writes the changes, refusals and failures of administrators to the log.

use hyper::{Method, Request, header::HeaderName};
use tower_account_status::{
    Restriction, UserId,
    moderation::{Decision, Outcome},
};

use crate::{answer::chain, commands::to_the_second, log};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id that a server in front gave to the request. It is in the request's extensions.
#[derive(Clone)]
struct RequestId(String);

/// Keeps the request's id for the log, if it has one that is short plain text.
pub(crate) fn keep_request_id<B>(request: &mut Request<B>) {
    let id = request.headers().get(&X_REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok());
    let is_fit =
        |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if let Some(id) = id.filter(is_fit).map(str::to_owned) {
        request.extensions_mut().insert(RequestId(id));
    }
}

/// Writes a line for a change, a refusal or a failure. Lines that anybody can cause are written at `debug`
/// unless the operator asks for refusals, or at most once a second.
pub(crate) fn report(outcome: &Outcome<'_>, log_refusals: bool) {
    let by = outcome.requester().map(UserId::as_str);
    let user = outcome.user().map(UserId::as_str);
    let (endpoint, kind) = (outcome.endpoint(), outcome.kind().as_str());
    let request_id = outcome.extensions().get::<RequestId>();
    let request_id = request_id.map(|id| id.0.as_str());
    let is_put = outcome.method() == Method::PUT;
    let is_administrators = is_put && outcome.is_administrator();
    match outcome.decision() {
        Decision::Changed => {
            let reason = outcome.restriction().and_then(Restriction::reason);
            let until = outcome.restriction().and_then(Restriction::until);
            let until = until.map(to_the_second);
            let what = match outcome.wanted() {
                Some(true) => "restricted",
                _ => "restriction lifted",
            };
            tracing::info!(
                by, user, kind, reason, until, endpoint, request_id, "{what}"
            );
        }
        Decision::Failed => {
            let error = outcome.error().map(chain).unwrap_or_default();
            match is_administrators {
                true => {
                    let wanted = outcome.wanted();
                    tracing::warn!(
                        by,
                        user,
                        kind,
                        set = wanted,
                        endpoint,
                        request_id,
                        "it is not known whether a restriction was changed: {error}"
                    );
                }
                false => log::failure(format_args!("a moderator's request failed: {error}")),
            }
        }
        Decision::Refused => {
            let cause = outcome.refusal().map(|refusal| refusal.to_string());
            let what = match is_administrators {
                true => "a change of a restriction was refused",
                false => "a moderator's request was refused",
            };
            match is_administrators || log_refusals {
                true => tracing::info!(by, user, kind, cause, endpoint, request_id, "{what}"),
                false => tracing::debug!(by, user, kind, cause, endpoint, request_id, "{what}"),
            }
        }
        _ => {}
    }
}
