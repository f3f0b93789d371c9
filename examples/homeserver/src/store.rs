//! Whose a credential is and in which state that account is, from the server's own tables.
//!
//! This is all that a server writes for the layer.

use tower_account_status::{
    Account, AccountState, AccountStateStore, Changes, Credential, ThirdParty, UserId,
    store::{Answer, StoreError},
    without,
};

use crate::{
    database::{
        accounts::{self, Named},
        events, tokens,
    },
    homeserver::Homeserver,
    secret::hash_token,
};

impl AccountStateStore for Homeserver {
    async fn access_token(&self, token: &str) -> Answer {
        let account = self.access_token_and_state(token).await?;
        Ok(account.map(|account| account.into_parts().0))
    }

    async fn refresh_token(&self, token: &str) -> Answer {
        let hash = hash_token(token.as_bytes());
        let account = self
            .database
            .read(move |connection| tokens::account_of_refresh_token(connection, &hash))
            .await?;
        Ok(account.map(|account| account.into_parts().0))
    }

    async fn login_name(&self, name: &str) -> Answer {
        self.named(Credential::LoginName(name)).await
    }

    async fn third_party(&self, id: ThirdParty<'_>) -> Answer {
        self.named(Credential::ThirdParty(id)).await
    }

    // This server gives out no login tokens, and knows no application services.
    without! { application_service, login_token }

    async fn state(&self, user: &str) -> Result<AccountState, StoreError> {
        let user = UserId::from(user);
        let account = self
            .database
            .read(move |connection| accounts::by_id(connection, &user))
            .await?;
        Ok(account.map_or(AccountState::ACTIVE, |account| account.into_parts().1))
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.changes.clone())
    }

    /// Tokens and states are in one database here, so one query answers both questions.
    async fn access_token_and_state(&self, token: &str) -> Result<Option<Account>, StoreError> {
        let hash = hash_token(token.as_bytes());
        let account = self
            .database
            .read(move |connection| tokens::account_of_access_token(connection, &hash))
            .await?;
        Ok(account)
    }

    /// A suspended account may redact its own events. If the room does not have the event, the
    /// handler answers.
    async fn event_sender(&self, room: &str, event: &str) -> Answer {
        let (room, event) = (room.to_owned(), event.to_owned());
        let sender = self
            .database
            .read(move |connection| events::sender(connection, &room, &event))
            .await?;
        Ok(sender.map(UserId::from))
    }
}

impl Homeserver {
    async fn named(&self, credential: Credential<'_>) -> Answer {
        let Some(named) = Named::new(self.server_name, credential) else {
            return Ok(None);
        };
        let account = self
            .database
            .read(move |connection| accounts::by_name(connection, &named))
            .await?;
        Ok(account.map(|account| account.into_parts().0))
    }
}
