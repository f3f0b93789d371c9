//! The macros for implementers of [`AccountStateStore`](crate::AccountStateStore).

/// Inside an `impl AccountStateStore`: "this server has none".
///
/// It takes any of `application_service`, `login_name`, `third_party`, `login_token`, `refresh_token`,
/// `event_sender`, `state` and `changes`. A credential of such a kind is unknown. Without `event_sender`
/// [a setting](crate::SuspensionPolicy::with_unattributed_redactions) decides on a suspended account's
/// redactions, and its default lets them pass. Without `state` the store knows no
/// restriction, as the half of [`Combined`](crate::Combined) that leaves them to the other half. Without
/// `changes` the server announces to the layer.
///
/// It is a claim about the server, and nothing can check it. If it is false, restricted accounts pass.
///
/// ```
/// use tower_account_status::{AccountStateStore, UserId, store::Answer, without};
///
/// struct Tokens;
///
/// impl AccountStateStore for Tokens {
///     async fn access_token(&self, token: &str) -> Answer {
///         Ok((token == "alice").then(|| UserId::from("@alice:example.org")))
///     }
///
///     async fn login_name(&self, name: &str) -> Answer {
///         Ok(Some(UserId::local(name, "example.org")))
///     }
///
///     without! { application_service, third_party, login_token, refresh_token, event_sender, state, changes }
/// }
/// ```
///
/// With braces, because rustfmt leaves those as they are.
#[macro_export]
macro_rules! without {
    () => {};
    (application_service $(, $($rest:ident),* $(,)?)?) => {
        async fn application_service(&self, _: &str) -> $crate::store::Answer {
            ::core::result::Result::Ok(::core::option::Option::None)
        }
        $($crate::without! { $($rest),* })?
    };
    (login_name $(, $($rest:ident),* $(,)?)?) => {
        async fn login_name(&self, _: &str) -> $crate::store::Answer {
            ::core::result::Result::Ok(::core::option::Option::None)
        }
        $($crate::without! { $($rest),* })?
    };
    (third_party $(, $($rest:ident),* $(,)?)?) => {
        async fn third_party(&self, _: $crate::ThirdParty<'_>) -> $crate::store::Answer {
            ::core::result::Result::Ok(::core::option::Option::None)
        }
        $($crate::without! { $($rest),* })?
    };
    (login_token $(, $($rest:ident),* $(,)?)?) => {
        async fn login_token(
            &self,
            _: &str,
            _: ::core::option::Option<&str>,
        ) -> $crate::store::Answer {
            ::core::result::Result::Ok(::core::option::Option::None)
        }
        $($crate::without! { $($rest),* })?
    };
    (refresh_token $(, $($rest:ident),* $(,)?)?) => {
        async fn refresh_token(&self, _: &str) -> $crate::store::Answer {
            ::core::result::Result::Ok(::core::option::Option::None)
        }
        $($crate::without! { $($rest),* })?
    };
    (event_sender $(, $($rest:ident),* $(,)?)?) => {
        async fn event_sender(&self, _: &str, _: &str) -> $crate::store::Answer {
            ::core::result::Result::Ok(::core::option::Option::None)
        }
        $($crate::without! { $($rest),* })?
    };
    (state $(, $($rest:ident),* $(,)?)?) => {
        async fn state(
            &self,
            _: &str,
        ) -> ::core::result::Result<$crate::AccountState, $crate::store::StoreError> {
            ::core::result::Result::Ok($crate::AccountState::ACTIVE)
        }
        $($crate::without! { $($rest),* })?
    };
    (changes $(, $($rest:ident),* $(,)?)?) => {
        fn changes(&self) -> ::core::option::Option<$crate::Changes> {
            ::core::option::Option::None
        }
        $($crate::without! { $($rest),* })?
    };
    ($other:ident $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "`",
            ::core::stringify!($other),
            "` is not among what a server may be without: application_service, login_name, \
             third_party, login_token, refresh_token, event_sender, state, changes",
        ));
    };
}

/// Inside the `impl AccountStateStore` of a store that wraps another: passes questions on to the
/// field that holds it, all but those that the wrapper answers itself. What is not named is forwarded, so
/// that a wrapper forgets neither announcements nor [logouts](crate::AccountStateStore::logged_out).
///
/// ```
/// use tower_account_status::{
///     AccountState, AccountStateStore, MemoryStore, RestrictionKind, forward, store::StoreError,
/// };
///
/// /// Everybody is suspended while the server is under maintenance.
/// struct Maintenance { inner: MemoryStore }
///
/// impl AccountStateStore for Maintenance {
///     forward! { inner => all except state }
///
///     async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
///         let state = AccountStateStore::state(&self.inner, user).await?;
///         Ok(state.with(RestrictionKind::Suspended))
///     }
/// }
/// ```
///
/// `credentials` means the six methods from `access_token` to `refresh_token`. A wrapper that changes no
/// answer forwards everything with `forward! { inner => all }`.
///
/// Beside an exception, the methods that answer at once or jointly (`peek`, `glance`, `peek_state`,
/// `access_token_and_state`, `states`) are not forwarded, because they would bypass a method of the
/// wrapper's own. Their defaults ask the other methods, and the wrapper can have its own. Whoever writes an
/// own `access_token` still forwards `logged_out`, unless that is an exception as well.
#[macro_export]
macro_rules! forward {
    ($field:tt => all) => {
        $crate::forward! { @but [] $field }

        fn access_token_and_state(
            &self,
            token: &str,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<
                ::core::option::Option<$crate::Account>,
                $crate::store::StoreError,
            >,
        > + ::core::marker::Send {
            $crate::AccountStateStore::access_token_and_state(&self.$field, token)
        }

        fn states(
            &self,
            users: &[$crate::UserId],
        ) -> impl ::core::future::Future<
            Output = ::std::vec::Vec<
                ::core::result::Result<$crate::AccountState, $crate::store::StoreError>,
            >,
        > + ::core::marker::Send {
            $crate::AccountStateStore::states(&self.$field, users)
        }

        #[inline]
        fn peek(&self, credential: $crate::Credential<'_>) -> $crate::Peek {
            $crate::AccountStateStore::peek(&self.$field, credential)
        }

        #[inline]
        fn peek_state(&self, user: &str) -> ::core::option::Option<$crate::AccountState> {
            $crate::AccountStateStore::peek_state(&self.$field, user)
        }

        #[inline]
        fn glance(
            &self,
            credential: $crate::Credential<'_>,
        ) -> ::core::option::Option<$crate::Peek> {
            $crate::AccountStateStore::glance(&self.$field, credential)
        }
    };
    ($field:tt => all except $($own:ident),+ $(,)?) => {
        $($crate::forward! { @known $own })+
        $crate::forward! { @but [$($own)+] $field }
    };
    ($field:tt => $($other:tt)*) => {
        ::core::compile_error!(
            "`forward!` takes `all`, or `all except` and what the wrapper answers itself: \
             `inner => all except state`",
        );
    };
    (@but $own:tt $field:tt) => {
        $crate::forward! { @unless access_token $own $field }
        $crate::forward! { @unless application_service $own $field }
        $crate::forward! { @unless login_name $own $field }
        $crate::forward! { @unless third_party $own $field }
        $crate::forward! { @unless login_token $own $field }
        $crate::forward! { @unless refresh_token $own $field }
        $crate::forward! { @unless event_sender $own $field }
        $crate::forward! { @unless state $own $field }
        $crate::forward! { @unless changes $own $field }
        $crate::forward! { @unless logged_out $own $field }
    };
    (@unless access_token [access_token $($own:ident)*] $field:tt) => {};
    (@unless application_service [application_service $($own:ident)*] $field:tt) => {};
    (@unless login_name [login_name $($own:ident)*] $field:tt) => {};
    (@unless third_party [third_party $($own:ident)*] $field:tt) => {};
    (@unless login_token [login_token $($own:ident)*] $field:tt) => {};
    (@unless refresh_token [refresh_token $($own:ident)*] $field:tt) => {};
    (@unless event_sender [event_sender $($own:ident)*] $field:tt) => {};
    (@unless state [state $($own:ident)*] $field:tt) => {};
    (@unless changes [changes $($own:ident)*] $field:tt) => {};
    (@unless logged_out [logged_out $($own:ident)*] $field:tt) => {};
    (@unless access_token [credentials $($own:ident)*] $field:tt) => {};
    (@unless application_service [credentials $($own:ident)*] $field:tt) => {};
    (@unless login_name [credentials $($own:ident)*] $field:tt) => {};
    (@unless third_party [credentials $($own:ident)*] $field:tt) => {};
    (@unless login_token [credentials $($own:ident)*] $field:tt) => {};
    (@unless refresh_token [credentials $($own:ident)*] $field:tt) => {};
    (@unless $name:ident [$other:ident $($own:ident)*] $field:tt) => {
        $crate::forward! { @unless $name [$($own)*] $field }
    };
    (@unless $name:ident [] $field:tt) => { $crate::forward! { @one $field $name } };
    (@known credentials) => {};
    (@known access_token) => {};
    (@known application_service) => {};
    (@known login_name) => {};
    (@known third_party) => {};
    (@known login_token) => {};
    (@known refresh_token) => {};
    (@known event_sender) => {};
    (@known state) => {};
    (@known changes) => {};
    (@known logged_out) => {};
    (@known peek) => {};
    (@known glance) => {};
    (@known peek_state) => {};
    (@known access_token_and_state) => {};
    (@known states) => {};
    (@known $other:ident) => {
        ::core::compile_error!(::core::concat!(
            "`",
            ::core::stringify!($other),
            "` is not among what a store answers: access_token, application_service, login_name, \
             third_party, login_token, refresh_token (all six: credentials), event_sender, state, \
             changes, logged_out, and at once or jointly peek, glance, peek_state, \
             access_token_and_state, states",
        ));
    };
    (@one $field:tt access_token) => { $crate::forward! { @token $field access_token } };
    (@one $field:tt application_service) => {
        $crate::forward! { @token $field application_service }
    };
    (@one $field:tt login_name) => { $crate::forward! { @token $field login_name } };
    (@one $field:tt refresh_token) => { $crate::forward! { @token $field refresh_token } };
    (@one $field:tt logged_out) => {
        fn logged_out(&self, token: &str, logout: $crate::Logout) {
            $crate::AccountStateStore::logged_out(&self.$field, token, logout);
        }
    };
    (@token $field:tt $name:ident) => {
        fn $name(
            &self,
            text: &str,
        ) -> impl ::core::future::Future<Output = $crate::store::Answer> + ::core::marker::Send {
            $crate::AccountStateStore::$name(&self.$field, text)
        }
    };
    (@one $field:tt third_party) => {
        fn third_party(
            &self,
            id: $crate::ThirdParty<'_>,
        ) -> impl ::core::future::Future<Output = $crate::store::Answer> + ::core::marker::Send {
            $crate::AccountStateStore::third_party(&self.$field, id)
        }
    };
    (@one $field:tt login_token) => {
        fn login_token(
            &self,
            token: &str,
            login_type: ::core::option::Option<&str>,
        ) -> impl ::core::future::Future<Output = $crate::store::Answer> + ::core::marker::Send {
            $crate::AccountStateStore::login_token(&self.$field, token, login_type)
        }
    };
    (@one $field:tt event_sender) => {
        fn event_sender(
            &self,
            room: &str,
            event: &str,
        ) -> impl ::core::future::Future<Output = $crate::store::Answer> + ::core::marker::Send {
            $crate::AccountStateStore::event_sender(&self.$field, room, event)
        }
    };
    (@one $field:tt state) => {
        fn state(
            &self,
            user: &str,
        ) -> impl ::core::future::Future<
            Output = ::core::result::Result<$crate::AccountState, $crate::store::StoreError>,
        > + ::core::marker::Send {
            $crate::AccountStateStore::state(&self.$field, user)
        }
    };
    (@one $field:tt changes) => {
        fn changes(&self) -> ::core::option::Option<$crate::Changes> {
            $crate::AccountStateStore::changes(&self.$field)
        }
    };
}

/// Inside an `impl AccountStateStore`: one function of the type answers for every kind of credential. A server
/// that already has such a function uses it.
///
/// ```
/// use tower_account_status::{
///     AccountStateStore, Credential, UserId, by_credential, store::Answer, without,
/// };
///
/// struct Sessions;
///
/// impl Sessions {
///     async fn owner(&self, credential: Credential<'_>) -> Answer {
///         Ok(match credential {
///             Credential::AccessToken(token) => {
///                 (token.expose() == b"alice").then(|| UserId::from("@alice:example.org"))
///             }
///             Credential::LoginName(name) => Some(UserId::local(name, "example.org")),
///             Credential::ApplicationService(_) | Credential::ThirdParty(_) => None,
///             Credential::LoginToken(_) | Credential::RefreshToken(_) => None,
///         })
///     }
/// }
///
/// impl AccountStateStore for Sessions {
///     by_credential! { owner }
///     without! { event_sender, state, changes }
/// }
/// ```
///
/// Match every variant without a `_`, so that the compiler finds a forgotten one. The token of an
/// [access token](crate::Credential::AccessToken) must not be found as an
/// [application service's](crate::Credential::ApplicationService), or its owner could assert anyone.
#[macro_export]
macro_rules! by_credential {
    ($owner:ident) => {
        async fn access_token(&self, token: &str) -> $crate::store::Answer {
            self.$owner($crate::Credential::AccessToken(token.into()))
                .await
        }

        async fn application_service(&self, token: &str) -> $crate::store::Answer {
            self.$owner($crate::Credential::ApplicationService(token.into()))
                .await
        }

        async fn login_name(&self, name: &str) -> $crate::store::Answer {
            self.$owner($crate::Credential::LoginName(name)).await
        }

        async fn third_party(&self, id: $crate::ThirdParty<'_>) -> $crate::store::Answer {
            self.$owner($crate::Credential::ThirdParty(id)).await
        }

        async fn login_token(
            &self,
            token: &str,
            login_type: ::core::option::Option<&str>,
        ) -> $crate::store::Answer {
            let login = $crate::LoginToken::new(token, login_type);
            self.$owner($crate::Credential::LoginToken(login)).await
        }

        async fn refresh_token(&self, token: &str) -> $crate::store::Answer {
            self.$owner($crate::Credential::RefreshToken(token.into()))
                .await
        }
    };
}
