//! Logouts and changes of passwords on their way through. The gateway forgets the tokens that end with them.
//!
//! The homeserver refuses such tokens itself. If the account is locked later, a request with such a token still gets
//! the homeserver's answer, and not the lock.

use std::sync::Arc;

use hyper::{Method, StatusCode, header, http::request::Parts};
use percent_encoding::percent_decode_str;
use tower_account_status::{AccessToken, Credential, UserId, store::account_of};

use crate::{app::Store, tokens::Tokens};

pub(crate) struct Logouts {
    pub(crate) store: Arc<Store>,
    pub(crate) tokens: Arc<Tokens>,
}

/// The sessions that end if the homeserver answers with success.
pub(crate) struct Ending {
    tokens: Vec<Vec<u8>>,
    users: Vec<UserId>,
}

#[derive(Clone, Copy, PartialEq)]
enum Reach {
    ThisToken,
    AllOfTheUser,
}

impl Logouts {
    /// Looks at a request before it is forwarded, because afterwards its token is unknown.
    pub(crate) async fn begins(&self, head: &Parts) -> Option<Ending> {
        let reach = reach(&head.method, head.uri.path())?;
        let mut ending = Ending {
            tokens: tokens(head),
            users: Vec::new(),
        };
        if reach == Reach::AllOfTheUser {
            for token in &ending.tokens {
                let access = AccessToken::new(&**token);
                if let Ok(Some(account)) = account_of(&*self.store, access).await {
                    ending.users.push(account.into_parts().0);
                }
            }
        }
        Some(ending)
    }

    pub(crate) fn ends(&self, ending: &Ending, status: StatusCode) {
        if !status.is_success() {
            return;
        }
        let forget = |token: &[u8]| {
            let token = Credential::AccessToken(token.into());
            self.store.invalidate_credential(token);
        };
        ending.tokens.iter().for_each(|token| forget(token));
        for user in &ending.users {
            self.tokens
                .take(user)
                .iter()
                .for_each(|token| forget(token));
        }
    }
}

fn reach(method: &Method, path: &str) -> Option<Reach> {
    let (_version, endpoint) = path.strip_prefix("/_matrix/client/")?.split_once('/')?;
    let is_post = method == Method::POST;
    match endpoint {
        "logout" if is_post => Some(Reach::ThisToken),
        "logout/all" | "account/password" | "account/deactivate" | "delete_devices" if is_post => {
            Some(Reach::AllOfTheUser)
        }
        _ if method == Method::DELETE && endpoint.starts_with("devices/") => {
            Some(Reach::AllOfTheUser)
        }
        _ => None,
    }
}

/// The tokens of the head, as clients write them.
fn tokens(head: &Parts) -> Vec<Vec<u8>> {
    let in_headers = head
        .headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(b"bearer ".len())?;
            scheme
                .eq_ignore_ascii_case(b"bearer ")
                .then(|| token.trim_ascii().to_vec())
        });
    let in_query = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.strip_prefix("access_token="))
        .map(|token| percent_decode_str(token).collect());
    in_headers.chain(in_query).take(4).collect()
}
