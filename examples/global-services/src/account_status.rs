//! What the server tells `tower-account-status`: whose a credential is, and who is deactivated.

use std::sync::LazyLock;

use tower_account_status::{
    AccountDirectory, AccountStateStore, Authentication, RestrictionKind, UserId as Account,
    store::{Answer, SqliteStore},
    without,
};

use crate::{
    error::{Error, Result},
    jwt::{self, Claims},
    services::{Services, services},
};

/// Opened when the server starts, which then fails if the file cannot be used.
pub(crate) static RESTRICTIONS: LazyLock<SqliteStore> = LazyLock::new(|| {
    let file = services().globals.folder.join("restrictions.db");
    SqliteStore::blocking_open(file).expect("restrictions cannot be opened")
});

impl AccountStateStore for Services {
    async fn access_token(&self, token: &str) -> Answer {
        Ok(self.users.find_from_token(token)?.map(|(id, _)| id.into()))
    }

    async fn application_service(&self, token: &str) -> Answer {
        let service = self.appservice.find_from_token(token);
        Ok(service.map(|it| local(&it.sender_localpart)))
    }

    async fn login_name(&self, name: &str) -> Answer {
        Ok(Some(local(&name.to_lowercase())))
    }

    async fn login_token(&self, token: &str, _: Option<&str>) -> Answer {
        let jwt: Option<Claims> = jwt::decode(token, &self.globals.jwt_secret);
        Ok(jwt.map(|it| local(&it.sub.to_lowercase())))
    }

    without! { third_party, refresh_token, event_sender, state, changes }
}

fn local(name: &str) -> Account {
    Account::local(name, &services().globals.server_name)
}

/// Records that an account is deactivated, or has a password again, and announces it.
pub(crate) fn set_deactivated(user: &str, deactivated: bool) -> Result<()> {
    let set = RESTRICTIONS.blocking_set(user, RestrictionKind::Deactivated, deactivated);
    set.map_err(|_| Error::BadDatabase("restrictions cannot be written"))
}

impl AccountDirectory for Services {
    type Error = Error;

    async fn authenticate(&self, token: &str) -> Result<Authentication> {
        let found = self.users.find_from_token(token)?;
        Ok(found.map(|(id, _)| id.into()).into())
    }

    async fn is_administrator(&self, user: &Account) -> Result<bool> {
        Ok(self.is_admin(user))
    }

    fn is_local(&self, user: &Account) -> bool {
        user.server_name() == Some(&*self.globals.server_name)
    }

    async fn exists(&self, user: &Account) -> Result<bool> {
        self.users.exists(user)
    }
}
