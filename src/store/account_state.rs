//! What the layer asks of a server, as a trait.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::{Answer, Peek, StoreError};
use crate::{
    account::{Account, AccountState, UserId},
    changes::Changes,
    credential::{Credential, Logout, ThirdParty},
};

/// Answers the two questions of the [layer](crate::AccountStatusLayer): whose is this credential,
/// and in which state is this account?
///
/// Each kind of credential has a method of its own, and none of them has a default. What your
/// server does not have is declared in your own code: [`without!`](crate::without) says "this server
/// has none" in one line. In an `impl` all of them are plain `async fn`s.
///
/// ```
/// use tower_account_status::{
///     AccountState, AccountStateStore, Changes, Flags, ThirdParty, without,
///     store::{Answer, StoreError},
/// };
/// # use std::io::Error as DatabaseError;
/// # struct Database; struct Login { user: String } struct Row { deactivated: bool, locked: bool }
/// # impl Database {
/// #     async fn access_token(&self, _: &str) -> Result<Option<Login>, DatabaseError> { Ok(None) }
/// #     async fn refresh_token(&self, _: &str) -> Result<Option<Login>, DatabaseError> { Ok(None) }
/// #     async fn account(&self, _: &str) -> Result<Option<Row>, DatabaseError> { Ok(None) }
/// #     fn registration(&self, _: &str) -> Option<String> { None }
/// # }
/// struct Homeserver { database: Database, changes: Changes }
///
/// impl AccountStateStore for Homeserver {
///     async fn access_token(&self, token: &str) -> Answer {
///         // With an expired one, too: `WHERE token = $1`, and nothing about its age.
///         Ok(self.database.access_token(token).await?.map(|login| login.user.into()))
///     }
///
///     async fn application_service(&self, token: &str) -> Answer {
///         Ok(self.database.registration(token).map(|localpart| format!("@{localpart}:example.org").into()))
///     }
///
///     async fn login_name(&self, name: &str) -> Answer {
///         // Lower-case, because this server's login handler does that.
///         Ok(Some(tower_account_status::UserId::local(&name.to_lowercase(), "example.org")))
///     }
///
///     async fn refresh_token(&self, token: &str) -> Answer {
///         Ok(self.database.refresh_token(token).await?.map(|login| login.user.into()))
///     }
///
///     without! { third_party, login_token, event_sender }
///
///     async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
///         let Some(row) = self.database.account(user).await? else { return Ok(AccountState::ACTIVE) };
///         Ok(Flags { deactivated: row.deactivated, locked: row.locked, suspended: false }.into())
///     }
///
///     fn changes(&self) -> Option<Changes> {
///         Some(self.changes.clone()) // the server calls `announce` after it locks somebody
///     }
/// }
/// ```
///
/// # What each method is asked about
///
/// | method | asked about | a wrong `None` means |
/// |---|---|---|
/// | [`access_token`](Self::access_token) | every request with a token | a locked account goes on |
/// | [`application_service`](Self::application_service) | a token that is no user's, and any token beside `?user_id=` | a locked bridge goes on, and so does every locked user as whom it acts |
/// | [`login_name`](Self::login_name) | `POST /login`, and the `auth` of `/account/password` and `/account/deactivate` | a locked account gets a new device |
/// | [`third_party`](Self::third_party) | the same, by e-mail address or phone number | the same |
/// | [`login_token`](Self::login_token) | `POST /login` with a `token`, whatever its type | the same |
/// | [`refresh_token`](Self::refresh_token) | `POST /refresh` | the token is rotated, and a session is prolonged |
/// | [`state`](Self::state) | every account that was found | nothing is refused |
/// | [`changes`](Self::changes) | waiting `/sync` requests | they end when they would have ended anyway |
/// | [`event_sender`](Self::event_sender) | a redaction by a suspended account | [a setting](crate::SuspensionPolicy::with_unattributed_redactions) decides |
///
/// # Mistakes that the natural mapping makes
///
/// The compiler finds a missing method, [`event_sender`](Self::event_sender) and [`changes`](Self::changes) of a wrapper among them, and a flag that
/// is missing in [`Flags`](crate::Flags). `conformance::check`, under the feature `conformance`, finds
/// the mistakes marked with *. Only you can see the others.
///
/// 1. **A look-up consumes nothing.*** Do not use up a login token, and do not rotate a refresh token
///    or make its successor. The layer asks *before* the handler, which does that itself.
/// 2. **An access token that has expired but is still known belongs to its account.*** Answer with
///    the owner. A locked account then gets `M_USER_LOCKED`. With `M_UNKNOWN_TOKEN` its client would
///    refresh, and sign out and delete its keys when the refresh is refused. The expired token of
///    an unrestricted account goes on to the inner service, which answers as before.
/// 3. **An error is an `Err`, never `None`.** A look-up that ends in `.ok()`, in
///    `unwrap_or_default()` or in a `let … else { return Ok(None) }` around a broken record says
///    "unknown token". The request then goes on to the server's handler, which finds the same
///    broken record and answers with its own 401 without `soft_logout`: the client deletes its
///    keys. An `Err` is a 503, and the client tries again.
/// 4. **A user's token and an application service's may be kept apart.*** If the services' tokens are
///    in the registrations and not in the table of tokens, `access_token` does not know them, and
///    [`application_service`](Self::application_service) must look there.
/// 5. **A name is folded as the login handler folds it.*** Case, white space, which server name a
///    localpart belongs to, the canonical form of an e-mail address or a phone number: if the
///    look-up folds otherwise than the handler, the check is dodged by spelling.
/// 6. **`login_type` says how to read a login token.*** The same text may be an `m.login.token` of
///    one account and a JSON Web Token of another.
/// 7. **Deactivated comes from a flag of its own**, never from a missing password: the users of
///    application services, and the system's own, have none either. And a user without a row is
///    [active](AccountState::ACTIVE)*, not an error.
/// 8. **Each restriction has its own reason and its own end.*** One `reason` and one `until` column
///    for all kinds is wrong: somebody who is suspended for good, and then locked for an hour, is
///    active after that hour.
/// 9. **A change is announced when every answer shows it, and not before.***
/// 10. **A server that deactivates an account still deletes its tokens.** The layer covers the time
///     in which a token is still known, and `/login`. It does not replace the deletion.
/// 11. **If the server's state is the store, it must not own the [layer](crate::AccountStatusLayer)**
///     or a service of it, which own the store: two `Arc`s that own each other are never freed. Give
///     the layer [`Arc::downgrade`](std::sync::Arc::downgrade) of the state; a `Weak` is a store, too.
///
/// # When the store fails
///
/// An `Err`, a panic, or a future that outlasts the
/// [time limit](crate::AccountStatusLayer::with_store_timeout) is answered with 503, or as
/// [the setting](crate::StoreFailure) says, and never with a 401. The future is dropped when the
/// time limit passes or the client goes away, at any await point; what it has borrowed from a pool
/// must return to the pool then. No method may block its thread.
///
/// # A store that wraps another
///
/// [`forward!`](crate::forward) passes all methods on but those that the wrapper names, announcements of
/// changes and logouts included. To add
/// restrictions of your own to another store's, use [`Combined`](crate::Combined).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whose a credential is and in which state an account is",
    label = "needs an `AccountStateStore`",
    note = "implement `AccountStateStore` for your server's state: an `async fn` for each kind of credential, `state` and `changes`",
    note = "to try the layer out, or in tests, use `MemoryStore`"
)]
pub trait AccountStateStore: Send + Sync + 'static {
    /// The owner of this access token. A token that has expired but is still known belongs to its owner. The layer does not ask about a token that is not text: it is unknown.
    fn access_token(&self, token: &str) -> impl Future<Output = Answer> + Send;

    /// The application service that has this token. The answer is the service's **own** account, the one
    /// of its `sender_localpart`.
    ///
    /// The layer asks it about every token that is no user's, so that an unknown token costs two look-ups.
    /// It asks it first about a token that comes with a `?user_id=`
    /// ([identity assertion](https://spec.matrix.org/latest/application-service-api/#identity-assertion)).
    /// The crate makes the assertion itself: if this method returns an account, the asserted user's
    /// state counts. Beside a token that it does not know nothing can be asserted. Look into the
    /// registrations, which a server has in memory.
    fn application_service(&self, token: &str) -> impl Future<Output = Answer> + Send;

    /// The account that a login means by this name: a full user id, a localpart, or whatever the person
    /// typed into that field.
    ///
    /// Fold it as the login handler folds it. The account need not exist: a name of the right form
    /// may be turned into a user id without a look-up, because a user who is not known is active.
    fn login_name(&self, name: &str) -> impl Future<Output = Answer> + Send;

    /// The owner of this e-mail address or phone number. A server where people log in by one answers it.
    fn third_party(&self, id: ThirdParty<'_>) -> impl Future<Output = Answer> + Send;

    /// The owner of the login token in a `POST /login` with the type `m.login.token`, or with another type
    /// that has a `token`, such as a JSON Web Token. Do not use it up. A token whose
    /// signature or age the handler will not accept may be unknown; the handler refuses it.
    fn login_token(
        &self,
        token: &str,
        login_type: Option<&str>,
    ) -> impl Future<Output = Answer> + Send;

    /// The owner of this refresh token. Do not use it up and do not make its successor.
    fn refresh_token(&self, token: &str) -> impl Future<Output = Answer> + Send;

    /// The sender of an event, by its room and its id. The layer asks when a suspended account redacts,
    /// because it may redact its own events. `None` means that it is not known; then
    /// [a setting](crate::SuspensionPolicy::with_unattributed_redactions) decides, and its default lets the
    /// redaction pass to the handler, which has to look.
    fn event_sender(&self, room: &str, event: &str) -> impl Future<Output = Answer> + Send;

    /// The state of the account of `user`. An unknown user is [active](AccountState::ACTIVE).
    fn state(&self, user: &str) -> impl Future<Output = Result<AccountState, StoreError>> + Send;

    /// The states of several users, one for each in their order. Override it if one query can answer for
    /// many.
    ///
    /// Many waiting requests ask at the same moment when [everything](Changes::announce_all) may
    /// have changed. The layer asks for at most 256 users at a time. The answers must be those of
    /// [`state`](Self::state). The default asks for one user after the other. A failure that concerns one
    /// account must not fail the others.
    fn states(
        &self,
        users: &[UserId],
    ) -> impl Future<Output = Vec<Result<AccountState, StoreError>>> + Send {
        async move {
            let mut states = Vec::with_capacity(users.len());
            for user in users {
                let state = match self.peek_state(user) {
                    Some(state) => Ok(state),
                    None => {
                        let state = self.state(user).await;
                        state.map_err(|error| error.with_account(user))
                    }
                };
                states.push(state);
            }
            states
        }
    }

    /// The hub where this store announces that an account's state has changed, if it does.
    ///
    /// The layer listens there to end long polls, and a cache to forget. Without one the layer
    /// makes a [`Changes`] of its own, to which the server announces (see
    /// [`AccountStatusLayer::changes`]).
    ///
    /// A change may be announced only when every answer that the store gives from then on shows
    /// it: a cache drops its entry first, and then announces.
    ///
    /// [`AccountStatusLayer::changes`]: crate::AccountStatusLayer::changes
    fn changes(&self) -> Option<Changes>;

    /// Whether every future of this store is ready when it is polled for the first time, because
    /// all answers are in memory.
    ///
    /// If so, [`peek`](Self::peek) and [`peek_state`](Self::peek_state) poll it once and answer at
    /// once, which saves an allocation for each request. **Never set it for a store that does I/O**:
    /// what the store began when it was polled is dropped and begun again. Nor for a store that waits
    /// for a lock that is held across an await, or that computes for longer than a few microseconds.
    const RESOLVES_AT_ONCE: bool = false;

    /// The owner of this access token with the account's state. Override it if one query can answer both.
    ///
    /// The answer must be that of the two methods. A store that wraps another and adds to its
    /// [`state`](Self::state) must not forward this one.
    fn access_token_and_state(
        &self,
        token: &str,
    ) -> impl Future<Output = Result<Option<Account>, StoreError>> + Send {
        async move {
            let Some(user) = self.access_token(token).await? else {
                return Ok(None);
            };
            match self.state(&user).await {
                Ok(state) => Ok(Some(Account { user, state })),
                Err(error) => Err(error.with_account(&user)),
            }
        }
    }

    /// The server has answered a logout with success: this access token is unknown from now on, and
    /// after [`Logout::AllSessions`] so is every other token of its owner.
    ///
    /// A store that remembers the owner of the token forgets it. The default does nothing. A wrapper passes
    /// it on, as [`forward!`](crate::forward) does. It must not block.
    ///
    /// The layer calls it when the answer to a logout has the status 2xx, whatever the state of the account.
    /// It does not see how a server ends sessions otherwise (a deleted device, a changed password, an
    /// administrator).
    fn logged_out(&self, token: &str, logout: Logout) {
        let _ = (token, logout);
    }

    /// The owner of the credential with the account's state, if that can be answered at once.
    ///
    /// The layer calls it on every request that has a credential. If it answers, nothing is awaited and
    /// nothing is allocated. It must not block. It has to agree with the methods that are
    /// awaited: a wrapper that changes one of them must not forward this. The default polls those
    /// methods once if the store [resolves at once](Self::RESOLVES_AT_ONCE), and says
    /// [`Peek::Ask`] otherwise.
    fn peek(&self, credential: Credential<'_>) -> Peek {
        match Self::RESOLVES_AT_ONCE {
            true => polled(account(self, credential)).map_or(Peek::Ask, Peek::from),
            false => Peek::Ask,
        }
    }

    /// The state of `user` if it can be answered at once, else `None`. As [`peek`](Self::peek).
    fn peek_state(&self, user: &str) -> Option<AccountState> {
        match Self::RESOLVES_AT_ONCE {
            true => polled(self.state(user)),
            false => None,
        }
    }

    /// The answer of [`peek`](Self::peek), or `None` if that is an account without a restriction.
    ///
    /// Every healthy request asks it. A store can override it to answer without making a
    /// [`UserId`](crate::UserId).
    #[inline]
    fn glance(&self, credential: Credential<'_>) -> Option<Peek> {
        match self.peek(credential) {
            Peek::Account(account) if account.state.is_active() => None,
            other => Some(other),
        }
    }
}

/// The owner of `credential`, awaited. A token that is not text is unknown.
pub(crate) async fn owner<S: AccountStateStore + ?Sized>(
    store: &S,
    credential: Credential<'_>,
) -> Answer {
    match credential {
        Credential::AccessToken(token) => match token.expose_str() {
            Some(token) => store.access_token(token).await,
            None => Ok(None),
        },
        Credential::ApplicationService(token) => match token.expose_str() {
            Some(token) => store.application_service(token).await,
            None => Ok(None),
        },
        Credential::LoginName(name) => store.login_name(name).await,
        Credential::ThirdParty(id) => store.third_party(id).await,
        Credential::LoginToken(login) => match login.token().expose_str() {
            Some(token) => store.login_token(token, login.login_type()).await,
            None => Ok(None),
        },
        Credential::RefreshToken(token) => match token.expose_str() {
            Some(token) => store.refresh_token(token).await,
            None => Ok(None),
        },
    }
}

/// The owner of `credential` with the account's state, by the awaited methods alone.
pub(crate) async fn account<S: AccountStateStore + ?Sized>(
    store: &S,
    credential: Credential<'_>,
) -> Result<Option<Account>, StoreError> {
    if let Credential::AccessToken(token) = credential {
        return match token.expose_str() {
            Some(token) => store.access_token_and_state(token).await,
            None => Ok(None),
        };
    }
    let Some(user) = owner(store, credential).await? else {
        return Ok(None);
    };
    let state = store.state(&user).await?;
    Ok(Some(Account { user, state }))
}

/// The answer of a future that is ready when it is polled for the first time. A failure is no answer,
/// because the request that then awaits the store gets the failure.
fn polled<T>(future: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(Ok(answer)) => Some(answer),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}
