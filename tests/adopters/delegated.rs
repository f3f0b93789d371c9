//! The store of the page on servers that delegate their accounts.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use tower_account_status::{AccountStateStore, UserId, store::Answer, without};

/// What the service says of a token.
pub(crate) struct Introspection {
    active: bool,
    username: Option<String>,
}

/// The authentication service: names by token, and which of them are locked there.
#[derive(Default)]
pub(crate) struct Service {
    pub(crate) tokens: HashMap<&'static str, &'static str>,
    pub(crate) inactive: Mutex<Vec<&'static str>>,
    pub(crate) is_away: Mutex<bool>,
    pub(crate) remembered: Mutex<HashMap<String, String>>,
}

impl Service {
    async fn introspect(&self, token: &str) -> io::Result<Introspection> {
        if *self.is_away.lock().unwrap() {
            return Err(io::Error::other("the authentication service is away"));
        }
        let name = self.tokens.get(token).copied();
        let is_inactive = |name: &&str| self.inactive.lock().unwrap().contains(name);
        let username = name.filter(|name| !is_inactive(name));
        Ok(Introspection {
            active: username.is_some(),
            username: username.map(str::to_owned),
        })
    }

    async fn remembered(&self, token: &str) -> io::Result<Option<String>> {
        Ok(self.remembered.lock().unwrap().get(token).cloned())
    }

    async fn remember(&self, token: &str, name: &str) -> io::Result<()> {
        let mut remembered = self.remembered.lock().unwrap();
        remembered.insert(token.to_owned(), name.to_owned());
        Ok(())
    }

    fn registration(&self, token: &str) -> Option<String> {
        (token == "bridge-token").then(|| "bridge".to_owned())
    }
}

pub(crate) struct Homeserver {
    pub(crate) delegation: Arc<Service>,
}

impl AccountStateStore for Homeserver {
    async fn access_token(&self, token: &str) -> Answer {
        let found = self.delegation.introspect(token).await?;
        let name = match found.username {
            Some(name) if found.active => {
                self.delegation.remember(token, &name).await?;
                Some(name)
            }
            _ => self.delegation.remembered(token).await?,
        };
        Ok(name.map(|name| UserId::local(&name, "example.org")))
    }

    async fn application_service(&self, token: &str) -> Answer {
        let sender = self.delegation.registration(token);
        Ok(sender.map(|localpart| UserId::local(&localpart, "example.org")))
    }

    without! { login_name, third_party, login_token, refresh_token, event_sender, state, changes }
}
