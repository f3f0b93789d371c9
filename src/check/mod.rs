//! Who asks, and may they? The way of a request from its head to the verdict.
//!
//! - [`fast_path`]: the path of nearly every request: no credential, or one that the store knows to
//!   be an unrestricted account's. Nothing is allocated, and nothing else looked at.
//! - [`at_once`]: whatever else can be decided without waiting.
//! - [`awaited`]: the store has to be asked, or a body read.
//! - [`watch`]: a long poll passes, and its account is restricted while it waits.
//! - [`ask`]: the questions to the store, each in one place.
//! - [`report`]: what became of it is told.

mod ask;
mod at_once;
mod awaited;
mod body;
mod fast_path;
mod limits;
mod report;
mod watch;

pub(crate) use at_once::AtOnce;
pub(crate) use awaited::inquire;
pub(crate) use limits::Failure;
use limits::deadline;
#[cfg(feature = "moderation")]
pub(crate) use limits::within_limits;
pub(crate) use report::Passage;
pub(crate) use watch::Watch;

use std::{borrow::Cow, time::SystemTime};

use http::{HeaderMap, Method, Uri, request::Parts};

use crate::{
    account::{Account, Restriction, RestrictionKind},
    action::Action,
    denial::{AnswerForm, Denial, DenialCause},
    judge::{Verdict, verdict},
    request::{
        credentials::HeadCredentials,
        endpoint::{self, Naming},
        few::TooMany,
    },
    settings::{NamedAccountCheck, Settings},
};

/// The head of a request, with the path that the rules are about.
pub(crate) struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    path: Cow<'a, str>,
}

impl<'a> Head<'a> {
    pub(crate) fn of<B>(request: &'a http::Request<B>, settings: &Settings) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            path: settings.path(request.uri(), request.extensions()),
        }
    }

    fn of_parts(parts: &'a Parts, settings: &Settings) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            path: settings.path(&parts.uri, &parts.extensions),
        }
    }

    pub(crate) fn answer_form(&self) -> AnswerForm {
        AnswerForm::of(self.method, &self.path)
    }

    fn credentials(&self) -> Result<HeadCredentials<'a>, TooMany> {
        HeadCredentials::read(self.headers, self.uri)
    }

    /// Whether its one access token is such that every server goes by it.
    fn has_unmistakable_token(&self) -> bool {
        self.credentials()
            .is_ok_and(|credentials| credentials.is_unmistakable())
    }

    fn ignores_access_token(&self) -> bool {
        endpoint::ignores_access_token(self.method, &self.path)
    }
}

/// What a restriction, or the lack of one, means for a request.
enum Judged<'p> {
    Clear,
    /// It passes, and the handler has to look closer, with the guard's help.
    LeaveToHandler,
    Denied(Refusal),
    /// It depends on the body, or on whose event it is.
    Depends(Verdict<'p>),
}

/// Why an account is refused. The denial is made of the account itself, which then need not be
/// copied.
#[derive(Clone, Copy)]
struct Refusal {
    kind: RestrictionKind,
    action: Option<Action>,
    now: SystemTime,
}

impl Settings {
    /// What the account's state means for this request now.
    #[inline]
    fn judge<'p>(&self, account: &Account, head: &'p Head<'_>) -> Judged<'p> {
        match account.state.is_active() {
            true => Judged::Clear,
            false => self.judge_restricted(account, head),
        }
    }

    fn judge_restricted<'p>(&self, account: &Account, head: &'p Head<'_>) -> Judged<'p> {
        let now = self.now_for(&account.state);
        let Some(kind) = account.state.in_force(now).map(Restriction::kind) else {
            return Judged::Clear;
        };
        let (policy, user) = (&self.suspension, &account.user);
        match verdict(kind, policy, head.method, &head.path, user) {
            Verdict::Pass => Judged::Clear,
            Verdict::LeaveToHandler => Judged::LeaveToHandler,
            Verdict::Deny(action) => Judged::Denied(Refusal { kind, action, now }),
            depends => Judged::Depends(depends),
        }
    }

    /// Whether the accounts that the body names are to be asked for before the handler runs. Where
    /// the handler is to check them, it is handed the guard.
    #[inline]
    fn asks_for_named(&self, naming: Naming, head: &Head<'_>, passage: &mut Passage) -> bool {
        let is_owned = !passage.accounts.is_empty() && head.has_unmistakable_token();
        match self.check_of(naming.endpoint) {
            NamedAccountCheck::BeforeHandler => return naming.goes_by_body(is_owned),
            NamedAccountCheck::ByHandler => passage.hands_on_guard = true,
            NamedAccountCheck::Off => {}
        }
        false
    }

    fn refuse(&self, account: Account, refusal: Refusal) -> Denial {
        let Refusal { kind, action, now } = refusal;
        Denial::restricted(account.user, account.state, kind, now)
            .with_action(action)
            .with_cors(self.cors_headers)
    }

    pub(crate) fn denial(&self, cause: DenialCause) -> Denial {
        Denial::from_cause(cause).with_cors(self.cors_headers)
    }
}
