//! A store of continuwuity's shape: look-ups fail with "not found", login tokens are used up when
//! they are looked up by the handler's function, and the database has all three flags.

use tower_account_status::{
    AccountState, AccountStateStore, Changes, Flags, ThirdParty, UserId,
    store::{Answer, StoreError},
    without,
};

use crate::servers::continuwuity::{Error, Services};

// The store begins here.
/// "Not found" means unknown. Any other error is an error.
fn found<T: Into<UserId>>(answer: Result<T, Error>) -> Answer {
    match answer {
        Ok(user) => Ok(Some(user.into())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error)?,
    }
}

impl AccountStateStore for Services {
    async fn access_token(&self, token: &str) -> Answer {
        found(
            self.users
                .find_from_token(token)
                .await
                .map(|(user, _)| user),
        )
    }

    async fn application_service(&self, token: &str) -> Answer {
        let service = self.appservice.find_from_token(token).await;
        found(service.map(|it| format!("@{}:{}", it.sender_localpart, self.server_name)))
    }

    async fn login_name(&self, name: &str) -> Answer {
        Ok(Some(UserId::local(&name.to_lowercase(), &self.server_name)))
    }

    async fn third_party(&self, id: ThirdParty<'_>) -> Answer {
        match id {
            ThirdParty::Address {
                medium: "email",
                address,
            } => found(self.threepid.owner_of_email(&address.to_lowercase()).await),
            _ => Ok(None), // its login handler knows no others
        }
    }

    async fn login_token(&self, token: &str, _type: Option<&str>) -> Answer {
        // Not `find_from_login_token`, which removes it.
        found(self.users.peek_login_token(token).await)
    }

    without! { refresh_token }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        Ok(AccountState::from(Flags {
            deactivated: self.users.has_flag(user, "deactivated").await?,
            locked: self.users.has_flag(user, "locked").await?,
            suspended: self.users.has_flag(user, "suspended").await?,
        }))
    }

    async fn event_sender(&self, _room: &str, event: &str) -> Answer {
        found(self.timeline.sender_of(event).await)
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.changes.clone())
    }
}
// The store ends here.
