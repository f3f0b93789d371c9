//! The accounts of the homeserver, and their exact names.

use hyper::StatusCode;
use tower_account_status::UserId;

use crate::{
    asker::Asker,
    upstream::{Upstream, UpstreamError, encode},
    whoami::made_up_user,
};

impl Upstream {
    /// Whether there is an account of exactly that name, as far as the homeserver tells. A lock of a
    /// name that no account has in this spelling restricts nobody.
    ///
    /// # Errors
    ///
    /// If the homeserver does not tell.
    pub(crate) async fn exists(&self, user: &UserId, asker: &Asker) -> Result<bool, UpstreamError> {
        if let Some(exists) = self.exists_to_administration(user, asker).await? {
            return Ok(exists);
        }
        let other_cases = in_other_cases(user);
        match self.has_profile(user, asker).await? {
            Some(true) => {}
            told => return self.exists_without_profile(user, told).await,
        }
        // Some homeservers have a profile for every name.
        let made_up = made_up_user(user.server_name().unwrap_or_default());
        if self.has_profile(&made_up.into(), asker).await? != Some(false) {
            return self.exists_without_profile(user, None).await;
        }
        if is_lower_case(user) {
            return Ok(true);
        }
        // Some homeservers find a profile in any letter case. The account's own name is then another.
        for other in &other_cases {
            if self.has_profile(other, asker).await? == Some(false) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The answer of Synapse's administration API, if the asker is an administrator there too.
    async fn exists_to_administration(
        &self,
        user: &UserId,
        asker: &Asker,
    ) -> Result<Option<bool>, UpstreamError> {
        let path = format!("/_synapse/admin/v2/users/{}", encode(user.as_bytes()));
        let answer = self.get_as(&path, asker).await?;
        let is_it = answer.status == StatusCode::OK && answer.text("name") == Some(user.as_str());
        Ok(is_it.then(|| answer.body["deactivated"] != true))
    }

    /// `None` if the homeserver does not tell.
    async fn has_profile(
        &self,
        user: &UserId,
        asker: &Asker,
    ) -> Result<Option<bool>, UpstreamError> {
        let path = format!("/_matrix/client/v3/profile/{}", encode(user.as_bytes()));
        let answer = self.get_as(&path, asker).await?;
        Ok(match answer.status {
            StatusCode::OK if answer.body.is_object() => Some(true),
            // Not "unrecognized", by which a homeserver without the endpoint answers.
            StatusCode::NOT_FOUND => match answer.text("errcode") {
                None | Some("M_UNRECOGNIZED") => None,
                Some(_) => Some(false),
            },
            StatusCode::BAD_REQUEST => Some(false),
            _ => None,
        })
    }

    /// An account need not have a profile, and `told` says whether it is known to have none.
    async fn exists_without_profile(
        &self,
        user: &UserId,
        told: Option<bool>,
    ) -> Result<bool, UpstreamError> {
        let localpart = user.localpart().unwrap_or_default();
        let query = format!("username={}", encode(localpart.as_bytes()));
        let path = "/_matrix/client/v3/register/available";
        let available = self.get(path, &query, &[]).await?;
        // A name in capitals may be in use as the one in lower case.
        let is_in_use = available.text("errcode") == Some("M_USER_IN_USE") && is_lower_case(user);
        let is_free = available.status == StatusCode::OK && available.body["available"] == true;
        match (is_in_use, is_free, told) {
            (true, ..) => Ok(true),
            (_, true, _) | (_, _, Some(false)) => Ok(false),
            _ => Err(UpstreamError::UnknownAccount),
        }
    }
}

fn is_lower_case(user: &UserId) -> bool {
    user.to_lowercase() == user.as_str()
}

/// The same localpart in lower case, in capitals, and with both exchanged.
fn in_other_cases(user: &UserId) -> Vec<UserId> {
    let (Some(localpart), Some(server_name)) = (user.localpart(), user.server_name()) else {
        return Vec::new();
    };
    let exchanged = localpart
        .chars()
        .flat_map(|letter| match letter.is_uppercase() {
            true => letter.to_lowercase().collect::<Vec<_>>(),
            false => letter.to_uppercase().collect(),
        });
    let others = [
        localpart.to_lowercase(),
        localpart.to_uppercase(),
        exchanged.collect(),
    ];
    others
        .into_iter()
        .filter(|other| other != localpart)
        .map(|other| format!("@{other}:{server_name}").into())
        .collect()
}
