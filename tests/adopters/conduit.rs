//! A store of Conduit's shape: sessions in a key-value database, application services in memory,
//! logins by password or JSON Web Token, no refresh tokens, no restrictions but a deactivation
//! that its database knows only as a missing password.

use tower_account_status::{AccountStateStore, UserId, store::Answer, without};

use crate::servers::conduit::{Services, jwt};

// The store begins here.
impl AccountStateStore for Services {
    async fn access_token(&self, token: &str) -> Answer {
        let session = self.users.find_from_token(token)?;
        Ok(session.map(|(user, _device)| user.into()))
    }

    async fn application_service(&self, token: &str) -> Answer {
        let service = self.appservice.find_from_token(token).await;
        Ok(service.map(|it| UserId::local(&it.sender_localpart, &self.server_name)))
    }

    async fn login_name(&self, name: &str) -> Answer {
        Ok(Some(UserId::local(&name.to_lowercase(), &self.server_name)))
    }

    async fn login_token(&self, token: &str, _type: Option<&str>) -> Answer {
        // The handler refuses a wrong signature.
        let claims = jwt::decode(token, &self.jwt_secret);
        Ok(claims.map(|claims| UserId::local(&claims.sub.to_lowercase(), &self.server_name)))
    }

    // Deactivations are written into the ready-made store, too: accounts of application services
    // have no password either.
    without! { third_party, refresh_token, event_sender, state, changes }
}
// The store ends here.
