//! A server's own answer to "whose is this?" and a ready-made store's to "in which state?", made
//! into one [`AccountStateStore`].

use std::{error::Error, fmt, future::Future, sync::Arc};

use super::{AccountStateStore, Peek, RestrictionStore};
use crate::{
    account::{Account, AccountState, UserId},
    changes::Changes,
    credential::{Credential, Secret},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// Says whose a credential is: the half of [`AccountStateStore`] that only the server can answer.
///
/// For [`Combined`], which has constructors for closures too. What the documentation of
/// [`AccountStateStore`] says of its first question holds here: a look-up consumes nothing, and a
/// token that has expired but is still known belongs to its account.
pub trait CredentialOwner: Send + Sync + 'static {
    /// Why the question could not be answered. It must not hold a credential.
    type Error: Into<BoxError> + Send;

    /// Whose `credential` is: `None` if it is nobody's.
    fn owner(
        &self,
        credential: Credential<'_>,
    ) -> impl Future<Output = Result<Option<UserId>, Self::Error>> + Send;

    /// The same, answered at once or not at all. It must not block. The default always says
    /// [`PeekOwner::Ask`].
    fn peek_owner(&self, credential: Credential<'_>) -> PeekOwner {
        let _ = credential;
        PeekOwner::Ask
    }

    /// As [`AccountStateStore::event_sender`].
    fn event_sender(
        &self,
        room: &str,
        event: &str,
    ) -> impl Future<Output = Result<Option<UserId>, Self::Error>> + Send {
        let _ = (room, event);
        async { Ok(None) }
    }

    /// As [`AccountStateStore::is_application_service`].
    fn is_application_service(&self, token: Secret<'_>) -> bool {
        let _ = token;
        false
    }
}

/// What a [`CredentialOwner`] can say at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeekOwner {
    /// Nothing: it has to be asked, and awaited.
    Ask,
    /// The credential is nobody's.
    Nobody,
    /// The credential is this user's.
    User(UserId),
}

/// An [`AccountStateStore`] of two halves: `O` says whose a credential is, and `R` in which state
/// the account is.
///
/// Three ways to say whose, from the shortest to the fullest:
///
/// ```
/// use tower_account_status::{Combined, Credential, CredentialOwner, MemoryStore, UserId};
/// # use std::{collections::HashMap, convert::Infallible, sync::{Arc, Mutex}};
/// # #[derive(Clone)] struct Database;
/// # impl Database {
/// #     async fn owner_of(&self, _: &str) -> Result<Option<String>, Infallible> { Ok(None) }
/// #     async fn owner_of_refresh_token(&self, _: &str) -> Result<Option<String>, Infallible> { Ok(None) }
/// # }
/// # let (database, restrictions) = (Database, Arc::new(MemoryStore::new()));
/// # let sessions = Mutex::new(HashMap::<Vec<u8>, UserId>::new());
/// // An async look-up of access tokens, in one line:
/// let store = Combined::by_token(move |token| {
///     let database = database.clone();
///     async move { database.owner_of(&token).await }
/// }, Arc::clone(&restrictions));
///
/// // A look-up in memory, which is answered at once:
/// let store = Combined::at_once(move |credential| match credential {
///     Credential::AccessToken(access) => {
///         sessions.lock().unwrap().get(access.token().expose()).cloned()
///     }
///     _ => None,
/// }, Arc::clone(&restrictions));
///
/// // Every kind of credential, borrowed:
/// impl CredentialOwner for Database {
///     type Error = Infallible; // your database's error
///
///     async fn owner(&self, credential: Credential<'_>) -> Result<Option<UserId>, Infallible> {
///         let owner = match credential {
///             Credential::AccessToken(access) => match access.token().expose_str() {
///                 Some(token) => self.owner_of(token).await?,
///                 None => None,
///             },
///             Credential::RefreshToken(token) => match token.expose_str() {
///                 Some(token) => self.owner_of_refresh_token(token).await?,
///                 None => None,
///             },
///             _ => None,
///         };
///         Ok(owner.map(UserId::from))
///     }
/// }
/// let store = Combined::new(Database, restrictions);
/// ```
///
/// Where both halves answer at once, so does the whole. Keep a pointer to the restrictions, as
/// above, to change them.
#[derive(Clone)]
pub struct Combined<O, R> {
    owner: O,
    restrictions: R,
}

impl<O: CredentialOwner, R: RestrictionStore> Combined<O, R> {
    /// Puts the two halves together.
    #[must_use]
    pub fn new(owner: O, restrictions: R) -> Self {
        Self {
            owner,
            restrictions,
        }
    }
}

impl<F, R> Combined<ByToken<F>, R> {
    /// Takes an async look-up from an access token to its user.
    ///
    /// Every other kind of credential is nobody's, so that logins and refreshes are not checked
    /// before their handler runs, and an application service's `user_id` parameter counts for
    /// nothing; implement [`CredentialOwner`] for those. The closure gets the token as its own, so
    /// that what it returns need not borrow; a token that is not text is nobody's.
    #[must_use]
    pub fn by_token<Fut, U, E>(look_up: F, restrictions: R) -> Self
    where
        F: Fn(Arc<str>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<U>, E>> + Send,
        U: Into<UserId>,
        E: Into<BoxError> + Send,
        R: RestrictionStore,
    {
        Self {
            owner: ByToken(look_up),
            restrictions,
        }
    }
}

impl<F, R> Combined<AtOnce<F>, R> {
    /// Takes a look-up that answers at once, from memory, and so cannot fail. It gets every kind
    /// of credential.
    #[must_use]
    pub fn at_once(look_up: F, restrictions: R) -> Self
    where
        F: Fn(Credential<'_>) -> Option<UserId> + Send + Sync + 'static,
        R: RestrictionStore,
    {
        Self {
            owner: AtOnce(look_up),
            restrictions,
        }
    }
}

impl<O, R> Combined<O, R> {
    /// The half that says in which state an account is.
    pub fn restrictions(&self) -> &R {
        &self.restrictions
    }
}

impl<O: CredentialOwner, R: RestrictionStore> AccountStateStore for Combined<O, R> {
    type Error = BoxError;

    async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, BoxError> {
        self.owner.owner(credential).await.map_err(Into::into)
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, BoxError> {
        match self.restrictions.peek_state(user) {
            Some(state) => Ok(state),
            None => self.restrictions.state(user).await.map_err(Into::into),
        }
    }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        match self.owner.peek_owner(credential) {
            PeekOwner::Ask => Peek::Ask,
            PeekOwner::Nobody => Peek::Nobody,
            PeekOwner::User(user) => match self.restrictions.peek_state(&user) {
                Some(state) => Peek::Account(Account::new(user, state)),
                None => Peek::Ask,
            },
        }
    }

    fn peek_state(&self, user: &UserId) -> Option<AccountState> {
        self.restrictions.peek_state(user)
    }

    async fn event_sender(&self, room: &str, event: &str) -> Result<Option<UserId>, BoxError> {
        let sender = self.owner.event_sender(room, event).await;
        sender.map_err(Into::into)
    }

    fn is_application_service(&self, token: Secret<'_>) -> bool {
        self.owner.is_application_service(token)
    }

    fn changes(&self) -> Option<Changes> {
        self.restrictions.changes()
    }
}

impl<O, R> fmt::Debug for Combined<O, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combined").finish_non_exhaustive()
    }
}

/// An async look-up from an access token to its user; made by [`Combined::by_token`].
#[derive(Clone)]
pub struct ByToken<F>(F);

impl<F, Fut, U, E> CredentialOwner for ByToken<F>
where
    F: Fn(Arc<str>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<U>, E>> + Send,
    U: Into<UserId>,
    E: Into<BoxError> + Send,
{
    type Error = E;

    async fn owner(&self, credential: Credential<'_>) -> Result<Option<UserId>, E> {
        match access_token(credential) {
            Some(token) => Ok((self.0)(token.into()).await?.map(Into::into)),
            None => Ok(None),
        }
    }

    fn peek_owner(&self, credential: Credential<'_>) -> PeekOwner {
        match access_token(credential) {
            Some(_) => PeekOwner::Ask,
            None => PeekOwner::Nobody,
        }
    }
}

fn access_token(credential: Credential<'_>) -> Option<&str> {
    match credential {
        Credential::AccessToken(access) => access.token().expose_str(),
        _ => None,
    }
}

impl<F> fmt::Debug for ByToken<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByToken").finish_non_exhaustive()
    }
}

/// A look-up that answers at once; made by [`Combined::at_once`].
#[derive(Clone)]
pub struct AtOnce<F>(F);

impl<F> CredentialOwner for AtOnce<F>
where
    F: Fn(Credential<'_>) -> Option<UserId> + Send + Sync + 'static,
{
    type Error = std::convert::Infallible;

    async fn owner(&self, credential: Credential<'_>) -> Result<Option<UserId>, Self::Error> {
        Ok((self.0)(credential))
    }

    fn peek_owner(&self, credential: Credential<'_>) -> PeekOwner {
        (self.0)(credential).map_or(PeekOwner::Nobody, PeekOwner::User)
    }
}

impl<F> fmt::Debug for AtOnce<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtOnce").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use super::Combined;
    use crate::{
        account::{AccountState, RestrictionKind::Locked, UserId},
        credential::{AccessToken, Credential},
        store::{AccountStateStore as _, MemoryStore, Peek},
    };

    fn refresh() -> Credential<'static> {
        Credential::RefreshToken("alice".into())
    }

    fn access(token: &str) -> Credential<'_> {
        Credential::AccessToken(AccessToken::new(token))
    }

    #[tokio::test]
    async fn by_token_asks_for_access_tokens_only() {
        let restrictions = Arc::new(MemoryStore::new());
        let store = Combined::by_token(
            |token| async move { Ok::<_, Infallible>((&*token == "alice").then_some("@alice:x")) },
            Arc::clone(&restrictions),
        );
        restrictions.restrict("@alice:x", Locked);
        assert_eq!(store.peek(access("alice")), Peek::Ask);
        let account = store.account_and_state(access("alice")).await.unwrap();
        let account = account.expect("the token is Alice's");
        assert_eq!(account.user, "@alice:x");
        assert_eq!(account.state, AccountState::from(Locked));
        assert_eq!(store.account(access("bob")).await.unwrap(), None);
        assert_eq!(store.peek(refresh()), Peek::Nobody);
        assert_eq!(store.account(refresh()).await.unwrap(), None);
        let odd = Credential::AccessToken(AccessToken::new(&b"\xff"[..]));
        assert_eq!(store.account(odd).await.unwrap(), None);
    }

    #[tokio::test]
    async fn two_halves_that_answer_at_once_make_a_whole_that_does() {
        let restrictions = Arc::new(MemoryStore::new());
        let store = Combined::at_once(
            |credential| (credential == refresh()).then(|| UserId::from("@alice:x")),
            Arc::clone(&restrictions),
        );
        restrictions.restrict("@alice:x", Locked);
        let Peek::Account(account) = store.peek(refresh()) else {
            panic!("not answered at once")
        };
        assert_eq!(account.state, AccountState::from(Locked));
        assert_eq!(store.peek(access("alice")), Peek::Nobody);
        restrictions.lift("@alice:x", Locked);
        assert!(store.is_active(refresh()));
        assert!(store.changes().is_some());
    }
}
