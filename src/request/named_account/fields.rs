//! Where in a body accounts are named, and whom the texts there can mean together.

use super::{BodyError, NamedAccount};
use crate::request::{
    few::{Few, TooMany},
    json_key,
};

/// The objects in which an account may be named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Login,
    Identifier,
    Refresh,
    Reauthentication,
    /// The body of one of the three, nobody knows which.
    Any,
    Auth,
}

/// A field that names an account, or part of one.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Text(Text),
    Nested(Object),
}

#[derive(Clone, Copy)]
pub(super) enum Text {
    Type,
    User,
    Medium,
    Address,
    Country,
    Phone,
    Token,
    RefreshToken,
}

impl Object {
    /// What stands under `key`; `None` if nobody is named there.
    pub(super) fn field(self, key: &str) -> Option<Field> {
        let is_any = |objects: &[Self]| self == Self::Any || objects.contains(&self);
        let names = |name| json_key::is(key, name);
        let logs_in = is_any(&[Self::Login, Self::Auth]);
        let names_user = logs_in || self == Self::Identifier;
        let text = if names("auth") && is_any(&[Self::Reauthentication]) {
            return Some(Field::Nested(Self::Auth));
        } else if names("identifier") && logs_in {
            return Some(Field::Nested(Self::Identifier));
        } else if names("refresh_token") && is_any(&[Self::Refresh]) {
            Text::RefreshToken
        } else if names("type") && logs_in {
            Text::Type
        } else if names("token") && logs_in {
            Text::Token
        } else if names("user") && names_user {
            Text::User
        } else if names("medium") && names_user {
            Text::Medium
        } else if names("address") && names_user {
            Text::Address
        } else if names("country") && self == Self::Identifier {
            Text::Country
        } else if (names("phone") || names("number")) && self == Self::Identifier {
            // `number` is what the specification had before it became `phone`.
            Text::Phone
        } else {
            return None;
        };
        Some(Field::Text(text))
    }
}

pub(super) struct Found {
    pub(super) accounts: Few<NamedAccount>,
    pub(super) problem: Option<BodyError>,
}

impl Found {
    pub(super) fn bad(&mut self) {
        self.problem.get_or_insert(BodyError::BadJson);
    }

    pub(super) fn too_many(&mut self, _: TooMany) {
        self.problem.get_or_insert(BodyError::TooMany);
    }

    fn push(&mut self, account: NamedAccount) {
        self.accounts
            .push(account)
            .unwrap_or_else(|too_many| self.too_many(too_many));
    }
}

/// The texts of one object, each with every value that its key was given.
pub(super) struct Texts {
    types: Few<String>,
    users: Few<String>,
    mediums: Few<String>,
    addresses: Few<String>,
    countries: Few<String>,
    phones: Few<String>,
    tokens: Few<String>,
    refresh_tokens: Few<String>,
}

impl Texts {
    pub(super) fn new() -> Self {
        Self {
            types: Few::new(),
            users: Few::new(),
            mediums: Few::new(),
            addresses: Few::new(),
            countries: Few::new(),
            phones: Few::new(),
            tokens: Few::new(),
            refresh_tokens: Few::new(),
        }
    }

    pub(super) fn of(&mut self, text: Text) -> &mut Few<String> {
        match text {
            Text::Type => &mut self.types,
            Text::User => &mut self.users,
            Text::Medium => &mut self.mediums,
            Text::Address => &mut self.addresses,
            Text::Country => &mut self.countries,
            Text::Phone => &mut self.phones,
            Text::Token => &mut self.tokens,
            Text::RefreshToken => &mut self.refresh_tokens,
        }
    }

    /// Everyone whom these texts can name in any combination.
    pub(super) fn name_accounts(self, found: &mut Found) {
        for user in self.users {
            found.push(NamedAccount::User(user));
        }
        for (medium, address) in pairs(&self.mediums, &self.addresses) {
            found.push(NamedAccount::ThirdParty { medium, address });
        }
        for (country, phone) in pairs(&self.countries, &self.phones) {
            found.push(NamedAccount::Phone { country, phone });
        }
        for token in self.tokens {
            for login_type in self.types.iter() {
                found.push(NamedAccount::LoginToken {
                    token: token.clone(),
                    login_type: Some(login_type.clone()),
                });
            }
            if self.types.is_empty() {
                found.push(NamedAccount::LoginToken {
                    token,
                    login_type: None,
                });
            }
        }
        for token in self.refresh_tokens {
            found.push(NamedAccount::RefreshToken(token));
        }
    }
}

/// Every value with every kind; with an empty kind where none is given.
fn pairs(kinds: &Few<String>, values: &Few<String>) -> Vec<(String, String)> {
    let kinds: Vec<&str> = match kinds.is_empty() {
        true => vec![""],
        false => kinds.iter().map(String::as_str).collect(),
    };
    values
        .iter()
        .flat_map(|value| kinds.iter().map(|&kind| (kind.to_owned(), value.clone())))
        .collect()
}
