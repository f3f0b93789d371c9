//! The order in which a store is asked, and the meaning of an application service's assertion. The
//! layer, the caches and the conformance kit ask through here, so that there is one order and one
//! meaning.

use super::{AccountStateStore, Peek, StoreError, account_state::owner};
use crate::{
    account::{Account, AccountState, UserId},
    credential::{AccessToken, Claim, Credential},
};

/// The answer about a claim that is known without waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Account(Account),
    Unknown,
    /// The store must be awaited. What it has answered is not asked again.
    Await(Rest),
}

/// The questions that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    All,
    /// The first of the places does not know the credential.
    SecondPlace,
    /// The token is an application service's, and its assertion counts.
    AssertedUser,
}

/// The owner of a claim with the account's state, without waiting. `glanced` is the store's answer about
/// the first place.
pub(crate) fn at_once<S: AccountStateStore>(
    store: &S,
    claim: Claim<'_>,
    glanced: Option<Peek>,
) -> Known {
    let (first, second) = claim.places();
    let peek = glanced.unwrap_or_else(|| store.peek(first));
    match known(store, claim, first, peek) {
        Known::Unknown => {}
        other => return other,
    }
    let Some(second) = second else {
        return Known::Unknown;
    };
    match known(store, claim, second, store.peek(second)) {
        Known::Await(Rest::All) => Known::Await(Rest::SecondPlace),
        other => other,
    }
}

fn known<S: AccountStateStore>(
    store: &S,
    claim: Claim<'_>,
    place: Credential<'_>,
    peek: Peek,
) -> Known {
    match (peek, asserted(claim, place)) {
        (Peek::Ask, _) => Known::Await(Rest::All),
        (Peek::Unknown, _) => Known::Unknown,
        (Peek::Account(account), None) => Known::Account(account),
        (Peek::Account(_), Some(user)) => match store.peek_state(user) {
            Some(state) => Known::Account(Account::new(user.into(), state)),
            None => Known::Await(Rest::AssertedUser),
        },
    }
}

/// The user whose state counts instead of the owner's, if `place` knows the credential.
fn asserted<'a>(claim: Claim<'a>, place: Credential<'_>) -> Option<&'a str> {
    match place {
        Credential::ApplicationService(_) => claim.asserted_user(),
        _ => None,
    }
}

/// The account whose state counts for a request with this access token, with its state, as the layer asks
/// for it. For an application service's token that is the asserted user, if there is one. For any other
/// token it is the owner.
///
/// A server uses it in code that reads tokens which the layer does not see, such as those in a
/// WebSocket's first message. It proves no authentication.
///
/// # Errors
///
/// If the store fails. There is no time limit here.
pub async fn account_of<S: AccountStateStore>(
    store: &S,
    access: AccessToken<'_>,
) -> Result<Option<Account>, StoreError> {
    let claim = Claim::from(access);
    match at_once(store, claim, None) {
        Known::Account(account) => Ok(Some(account)),
        Known::Unknown => Ok(None),
        // Boxed, so that the caller's future does not grow with the store's.
        Known::Await(rest) => Box::pin(ask(store, &claim, rest)).await,
    }
}

/// Asks what [`at_once`] left open.
///
/// One flat function: each layer of futures between a request and a database costs the compiler
/// of the server some of its recursion limit. The claim is lent, because the future would hold it
/// twice.
pub(crate) async fn ask<S: AccountStateStore>(
    store: &S,
    claim: &Claim<'_>,
    rest: Rest,
) -> Result<Option<Account>, StoreError> {
    let mut user = None;
    if rest == Rest::AssertedUser {
        user = claim.asserted_user().map(UserId::from);
    }
    // By index, because an iterator over the places would be part of a future that waits.
    for turn in 0..2_u8 {
        let (first, second) = claim.places();
        let Some(place) = (if turn == 0 { Some(first) } else { second }) else {
            break;
        };
        if user.is_some() || (rest == Rest::SecondPlace && turn == 0) {
            continue;
        }
        if rest == Rest::All && turn != 0 {
            // It has not been asked yet.
            match known(store, *claim, place, store.peek(place)) {
                Known::Account(account) => return Ok(Some(account)),
                Known::Unknown => continue,
                Known::Await(Rest::AssertedUser) => {
                    user = claim.asserted_user().map(UserId::from);
                    continue;
                }
                Known::Await(_) => {}
            }
        }
        if let Credential::AccessToken(token) = place {
            let Some(token) = token.expose_str() else {
                continue;
            };
            let account = store.access_token_and_state(token).await?;
            if account.is_some() {
                return Ok(account);
            }
            continue;
        }
        let asserted = asserted(*claim, place);
        let owner = owner(store, place).await?;
        user = owner.map(|owner| asserted.map_or(owner, UserId::from));
    }
    let Some(user) = user else { return Ok(None) };
    let state = match store.peek_state(&user) {
        Some(state) => state,
        None => {
            let state = store.state(&user).await;
            state.map_err(|error| error.with_account(&user))?
        }
    };
    Ok(Some(Account { user, state }))
}

/// The state of `user`, at once if the store can. A failure names the account.
pub(crate) async fn state<S: AccountStateStore + ?Sized>(
    store: &S,
    user: &str,
) -> Result<AccountState, StoreError> {
    match store.peek_state(user) {
        Some(state) => Ok(state),
        None => {
            let state = store.state(user).await;
            state.map_err(|error| error.with_account(user))
        }
    }
}
