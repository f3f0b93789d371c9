//! The checks in their order, and the change.

use std::{future::Future, time::SystemTime};

use http::request::Parts;

use super::{
    Decision, Refusal,
    answer::Wish,
    directory::{AccountDirectory, Authentication},
    endpoint::Target,
    findings::{Findings, Stop},
    shared::Shared,
};
use crate::{
    account::{Restriction, RestrictionKind, UserId},
    check::within_limits,
    request::head::HeadCredentials,
    store::{ChangeRecord, Channel, RestrictionRecord, RestrictionStore, StoreError},
};

/// A failure is the outer `Err`, a refusal the inner one.
type Answer<T> = Result<Result<T, Refusal>, StoreError>;

/// A request that passed all checks.
pub(super) struct Authorised {
    requester: UserId,
    user: UserId,
    /// Whether the restriction that the endpoint is about is in force.
    pub(super) stands: bool,
}

impl<D: AccountDirectory, R: RestrictionStore> Shared<D, R> {
    /// The checks in the order of the specification. Nothing is looked up about the target before the requester
    /// is known to be an administrator.
    pub(super) async fn authorise(
        &self,
        wish: Wish,
        parts: &Parts,
        target: &Target,
        findings: &mut Findings,
    ) -> Result<Authorised, Stop> {
        self.within_limits(self.check(wish, parts, target, findings))
            .await
    }

    async fn check(
        &self,
        wish: Wish,
        parts: &Parts,
        target: &Target,
        findings: &mut Findings,
    ) -> Answer<Authorised> {
        let requester = match self.requester(parts).await? {
            Ok(requester) => requester,
            Err(refusal) => return Ok(Err(refusal)),
        };
        findings.requester = Some(requester.clone());
        if !self.is_administrator(&requester).await? {
            return Ok(Err(Refusal::NotAdministrator));
        }
        findings.is_administrator = true;
        let Some(user) = target.user.clone() else {
            return Ok(Err(Refusal::NotLocal));
        };
        let is_own = user == requester;
        if is_own && wish == Wish::Change {
            return Ok(Err(Refusal::OwnAccount));
        }
        if !is_own && self.is_administrator(&user).await? {
            return Ok(Err(Refusal::AnotherAdministrator));
        }
        if !self.directory.is_local(&user) {
            return Ok(Err(Refusal::NotLocal));
        }
        if !self.directory.exists(&user).await.map_err(Into::into)? {
            return Ok(Err(Refusal::NotFound));
        }
        let state = self
            .restrictions
            .state_of(&user)
            .await
            .map_err(Into::into)?;
        let now = self.now()?;
        let stands = |kind| {
            state
                .restriction(kind)
                .is_some_and(|restriction: &Restriction| restriction.is_in_force(now))
        };
        if stands(RestrictionKind::Deactivated) {
            return Ok(Err(Refusal::NotFound));
        }
        Ok(Ok(Authorised {
            stands: stands(target.kind.restriction()),
            requester,
            user,
        }))
    }

    /// The requester. If there are several tokens, all that have an owner must have the same one, because the
    /// server's own handlers may use any of them.
    async fn requester(&self, parts: &Parts) -> Answer<UserId> {
        let Ok(credentials) = HeadCredentials::read(&parts.headers, &parts.uri) else {
            return Ok(Err(Refusal::AmbiguousToken));
        };
        let mut requester = Err(Refusal::MissingToken);
        for access in credentials.iter().collect::<Vec<_>>() {
            // No server has issued a token that is not text.
            let authentication = match access.token().expose_str() {
                Some(token) => {
                    let answer = self.directory.authenticate(token).await;
                    answer.map_err(Into::into)?
                }
                None => Authentication::Unknown,
            };
            match (authentication, &requester) {
                (Authentication::User(user), Ok(other)) if user != *other => {
                    return Ok(Err(Refusal::AmbiguousToken));
                }
                (Authentication::User(user), _) => requester = Ok(user),
                (Authentication::Expired, Err(_)) => requester = Err(Refusal::ExpiredToken),
                (Authentication::Unknown, Err(Refusal::MissingToken)) => {
                    requester = Err(Refusal::UnknownToken);
                }
                (Authentication::Expired | Authentication::Unknown, _) => {}
            }
        }
        Ok(requester)
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, StoreError> {
        let answer = self.directory.is_administrator(user).await;
        answer.map_err(Into::into)
    }

    /// Sets or lifts the restriction.
    pub(super) async fn change(
        &self,
        authorised: &Authorised,
        kind: RestrictionKind,
        wanted: bool,
        findings: &mut Findings,
    ) -> Result<(), Stop> {
        let Authorised {
            requester, user, ..
        } = authorised;
        self.within_limits(async {
            let is_changed = match wanted {
                true => self.restrict(requester, user, kind, findings).await?,
                false => {
                    let change = self.change_by(requester)?;
                    let lifted = self
                        .restrictions
                        .lift_restriction(user, kind, &change)
                        .await;
                    lifted.map_err(Into::into)?
                }
            };
            findings.decision = match is_changed {
                true => Decision::Changed,
                false => Decision::Unchanged,
            };
            Ok(Ok(()))
        })
        .await
    }

    /// An existing restriction keeps its reason and its end, because the endpoint has no field for them. The
    /// record names the last requester (MSC4323). Returns whether something was written.
    async fn restrict(
        &self,
        requester: &UserId,
        user: &UserId,
        kind: RestrictionKind,
        findings: &mut Findings,
    ) -> Result<bool, StoreError> {
        let now = self.now()?;
        let record = self.restrictions.record(user, kind).await;
        let standing = record
            .map_err(Into::into)?
            .filter(|record| record.restriction().is_in_force(now));
        let restriction = match standing {
            Some(record) if record.set_by() == Some(requester) => return Ok(false),
            Some(record) => record.restriction().clone(),
            None => kind.into(),
        };
        findings.restriction = Some(restriction.clone());
        let record = RestrictionRecord::new(restriction).with_change(self.change_by(requester)?);
        let restricted = self.restrictions.set_restriction(user, record).await;
        restricted.map_err(Into::into)?;
        Ok(true)
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        let now = self.settings.now();
        now.map_err(|_| StoreError::msg("the clock panicked"))
    }

    /// The change record of these endpoints, with the requester. They take no note.
    fn change_by(&self, requester: &UserId) -> Result<ChangeRecord, StoreError> {
        Ok(ChangeRecord::through(Channel::ADMIN_ENDPOINT)
            .with_actor(requester.clone())
            .with_time(self.now()?))
    }

    async fn within_limits<T>(&self, answer: impl Future<Output = Answer<T>>) -> Result<T, Stop> {
        match within_limits(self.settings.store_timeout, answer).await {
            Ok(answer) => answer.map_err(Stop::Refused),
            Err(failure) => Err(Stop::Failed(failure)),
        }
    }
}
