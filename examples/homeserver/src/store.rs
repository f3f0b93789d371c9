//! Whose a credential is and in which state that account is, from the server's own tables.
//!
//! This is all that a server writes for the layer.

use tower_account_status::{Account, AccountState, AccountStateStore, Changes, Credential, UserId};

use crate::{
    database::{
        self,
        accounts::{self, Named},
        events, tokens,
    },
    homeserver::Homeserver,
    secret::hash_token,
};

impl AccountStateStore for Homeserver {
    type Error = database::Error;

    async fn account(&self, credential: Credential<'_>) -> Result<Option<UserId>, Self::Error> {
        let account = self.account_and_state(credential).await?;
        Ok(account.map(|account| account.user))
    }

    async fn state(&self, user: &UserId) -> Result<AccountState, Self::Error> {
        let user = user.clone();
        let account = self
            .database
            .read(move |connection| accounts::by_id(connection, &user))
            .await?;
        Ok(account.map_or(AccountState::ACTIVE, |account| account.state))
    }

    /// Tokens and states stand in one database here, so one query answers both questions.
    async fn account_and_state(
        &self,
        credential: Credential<'_>,
    ) -> Result<Option<Account>, Self::Error> {
        match credential {
            Credential::AccessToken(access) => {
                let hash = hash_token(access.token().expose());
                self.database
                    .read(move |connection| tokens::account_of_access_token(connection, &hash))
                    .await
            }
            Credential::RefreshToken(refresh) => {
                let hash = hash_token(refresh.expose());
                self.database
                    .read(move |connection| tokens::account_of_refresh_token(connection, &hash))
                    .await
            }
            Credential::LoginIdentifier(identifier) => {
                let Some(named) = Named::new(self.server_name, identifier) else {
                    return Ok(None);
                };
                self.database
                    .read(move |connection| accounts::by_name(connection, &named))
                    .await
            }
            // This server gives out no login tokens.
            _ => Ok(None),
        }
    }

    /// A suspended account may redact its own events. Those that the room does not have are left to
    /// the handler, which answers that there is none.
    async fn event_sender(&self, room: &str, event: &str) -> Result<Option<UserId>, Self::Error> {
        let (room, event) = (room.to_owned(), event.to_owned());
        let sender = self
            .database
            .read(move |connection| events::sender(connection, &room, &event))
            .await?;
        Ok(sender.map(UserId::from))
    }

    fn changes(&self) -> Option<Changes> {
        Some(self.changes.clone())
    }
}
