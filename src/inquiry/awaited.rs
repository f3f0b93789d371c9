//! The store has to be asked, or a body read.

use std::sync::Arc;

use http::{Request, request::Parts};
use http_body::Body;

use super::{Failure, Head, Passage, within_limits};
use crate::{
    Account, AccountStateStore, Credential, Denial, DenialCause, NamedAccountCheck, Peek,
    StoreFailure,
    body::{Collected, ReadError, RequestBodies, collect},
    request::{
        endpoint::{Naming, NamingEndpoint},
        few::Few,
        named_account::{self, BodyError, NamedAccount},
    },
    shared::Shared,
};

/// Finds out whether the request passes, and gives it back if it does.
pub(crate) async fn inquire<S, B, M>(
    shared: Arc<Shared<S>>,
    parts: Parts,
    body: B,
) -> Result<(Request<M::Body>, Passage), Denial>
where
    S: AccountStateStore,
    B: Body,
    M: RequestBodies<B>,
{
    let mut passage = Passage::free();
    let naming = {
        let head = Head::of_parts(&parts, &shared.settings);
        shared.ask_head(&head, &mut passage).await?;
        match head.naming(&shared.settings) {
            Some((naming, NamedAccountCheck::BeforeHandler)) => naming
                .goes_by_body(!passage.accounts.is_empty())
                .then_some(naming),
            Some((_, NamedAccountCheck::ByHandler)) => {
                passage.hands_on_guard = true;
                None
            }
            Some((_, NamedAccountCheck::Off)) | None => None,
        }
    };
    let Some(naming) = naming else {
        return Ok((Request::from_parts(parts, M::keep(body)), passage));
    };
    let Collected { data, trailers } = shared.read_body(body).await?;
    let named = shared.read_names(naming, &parts, &data)?;
    if !named.is_empty() {
        let head = Head::of_parts(&parts, &shared.settings);
        shared.ask_named(&head, naming, &named).await?;
    }
    let request = Request::from_parts(parts, M::replay(data, trailers));
    Ok((request, passage))
}

impl<S: AccountStateStore> Shared<S> {
    /// Asks for every account that the head has a credential of.
    async fn ask_head(&self, head: &Head<'_>, passage: &mut Passage) -> Result<(), Denial> {
        if head.ignores_access_token() {
            return Ok(());
        }
        let Ok(credentials) = head.credentials() else {
            return Err(self.settings.denial(DenialCause::TooManyCredentials));
        };
        match self.ask_all(credentials.iter().collect()).await {
            Ok(accounts) => {
                for account in accounts.iter() {
                    if let Some(denial) = self.settings.judge(account, head) {
                        return Err(denial);
                    }
                }
                passage.accounts = accounts;
                Ok(())
            }
            Err(failure) => self.failed(&failure, None),
        }
    }

    /// The accounts of all the credentials that are somebody's, within the time limit.
    async fn ask_all(&self, credentials: Few<Credential<'_>>) -> Result<Few<Account>, Failure> {
        within_limits(self.settings.store_timeout, async {
            let mut accounts = Few::new();
            for credential in credentials {
                let account = match self.store.peek(credential) {
                    Peek::Account(account) => Some(account),
                    Peek::Nobody => None,
                    Peek::Ask => self.store.account_and_state(credential).await?,
                };
                if let Some(account) = account {
                    // There are no more accounts than credentials.
                    accounts.push(account).unwrap_or_default();
                }
            }
            Ok::<_, S::Error>(accounts)
        })
        .await
    }

    /// Asks for every account that the body names. What is refused here is refused to somebody
    /// who has not proved to be the owner.
    async fn ask_named(
        &self,
        head: &Head<'_>,
        naming: Naming,
        named: &Few<NamedAccount>,
    ) -> Result<(), Denial> {
        let credentials = named.iter().map(NamedAccount::credential).collect();
        match self.ask_all(credentials).await {
            Ok(accounts) => {
                for account in accounts.iter() {
                    if let Some(denial) = self.settings.judge(account, head) {
                        return Err(denial.without_details());
                    }
                }
                Ok(())
            }
            Err(failure) => self.failed(&failure, Some(naming.endpoint)),
        }
    }

    fn failed(&self, _failure: &Failure, endpoint: Option<NamingEndpoint>) -> Result<(), Denial> {
        // Clients sign out when a refresh fails; the new token is checked when it is used.
        if endpoint == Some(NamingEndpoint::Refresh)
            || self.settings.store_failure == StoreFailure::LetEveryoneThrough
        {
            return Ok(());
        }
        Err(self.settings.denial(DenialCause::StoreFailed))
    }

    async fn read_body<B: Body>(&self, body: B) -> Result<Collected, Denial> {
        let read = collect(body, self.settings.body_limit);
        let cause = match tokio::time::timeout(self.settings.body_timeout, read).await {
            Ok(Ok(collected)) => return Ok(collected),
            Ok(Err(ReadError::TooLarge)) => DenialCause::BodyTooLarge,
            Ok(Err(ReadError::Failed)) => DenialCause::BodyFailed,
            Err(_) => DenialCause::BodyTimedOut,
        };
        Err(self.settings.denial(cause))
    }

    fn read_names(
        &self,
        naming: Naming,
        parts: &Parts,
        data: &[u8],
    ) -> Result<Few<NamedAccount>, Denial> {
        let cause = match named_account::read(naming.endpoint, data) {
            Ok(named) => return Ok(named),
            // Another application's form below the same layer, which is none of ours.
            Err(BodyError::NotJson) if !naming.is_matrix && is_form(parts, data) => {
                return Ok(Few::new());
            }
            Err(BodyError::NotJson) => DenialCause::BodyNotJson,
            Err(BodyError::BadJson) => DenialCause::BodyBadJson,
            Err(BodyError::TooMany) => DenialCause::TooManyCredentials,
        };
        Err(self.settings.denial(cause))
    }
}

/// Whether the body says that it is a form, and cannot be JSON to anyone.
fn is_form(parts: &Parts, data: &[u8]) -> bool {
    let says_so = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let value = value.trim_start().to_ascii_lowercase();
            value.starts_with("application/x-www-form-urlencoded")
                || value.starts_with("multipart/form-data")
        });
    says_so && !data.iter().any(|byte| matches!(byte, b'{' | b'[' | 0))
}
