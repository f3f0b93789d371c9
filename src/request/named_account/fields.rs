//! Where in a body accounts are named, and whom the texts there can mean together.

use super::{
    name::Name,
    named::{BodyError, NamedAccount},
};
use crate::request::{
    few::{Few, MAX_PER_REQUEST, TooMany},
    json,
};

/// More fields that name an account than any client's body has. All of them may say the same, so
/// the number of distinct accounts does not bound what a body full of them costs.
const MAX_FIELDS: usize = 64;

/// The objects in which an account may be named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Login,
    Identifier,
    Refresh,
    Reauthentication,
    Register,
    /// The body of one of them; the path leaves it open which.
    Any,
    Auth,
}

/// A field that names an account, or part of one.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Text(Text),
    Nested(Object),
    /// It has to be null, or not to be there at all.
    Null,
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
    GuestToken,
}

impl Object {
    /// The value of `key`; `None` if it names nobody.
    pub(super) fn field(self, key: json::Text<'_>) -> Option<Field> {
        let is_any = |objects: &[Self]| self == Self::Any || objects.contains(&self);
        let key = key.key();
        let names = |name| key.is(name);
        let logs_in = is_any(&[Self::Login, Self::Auth]);
        let names_user = logs_in || self == Self::Identifier;
        let text = if names("auth") {
            match self {
                Self::Reauthentication => return Some(Field::Nested(Self::Auth)),
                // A server that fills a body up from its session's first one would find names
                // that are not in this body: see `docs/design.md`.
                Self::Login | Self::Refresh | Self::Any => return Some(Field::Null),
                // There it is regular, and what it names is not there yet.
                Self::Register | Self::Identifier | Self::Auth => return None,
            }
        } else if names("identifier") && logs_in {
            return Some(Field::Nested(Self::Identifier));
        } else if names("refresh_token") && is_any(&[Self::Refresh]) {
            Text::RefreshToken
        } else if names("guest_access_token") && is_any(&[Self::Register]) {
            Text::GuestToken
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

pub(super) struct Found<'b> {
    accounts: Few<NamedAccount<'b>>,
    fields: usize,
    problem: Option<BodyError>,
}

impl<'b> Found<'b> {
    pub(super) fn new() -> Self {
        Self {
            accounts: Few::new(),
            fields: 0,
            problem: None,
        }
    }

    /// Notes why the body is refused; of several reasons the first counts.
    pub(super) fn problem(&mut self, problem: BodyError) {
        self.problem.get_or_insert(problem);
    }

    /// Counts a field that names an account, or part of one.
    pub(super) fn field(&mut self) -> Result<(), BodyError> {
        self.fields += 1;
        match self.fields > MAX_FIELDS {
            true => Err(BodyError::TooMany),
            false => Ok(()),
        }
    }

    pub(super) fn into_accounts(self) -> Result<Few<NamedAccount<'b>>, BodyError> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(self.accounts),
        }
    }

    fn too_many(&mut self, TooMany: TooMany) {
        self.problem(BodyError::TooMany);
    }

    fn push(&mut self, account: NamedAccount<'b>) {
        self.accounts
            .push(account)
            .unwrap_or_else(|too_many| self.too_many(too_many));
    }
}

type FewTexts<'b> = Few<Name<'b>>;

/// The texts of one object, each with every value that its key was given.
pub(super) struct Texts<'b> {
    types: FewTexts<'b>,
    users: FewTexts<'b>,
    mediums: FewTexts<'b>,
    addresses: FewTexts<'b>,
    countries: FewTexts<'b>,
    phones: FewTexts<'b>,
    tokens: FewTexts<'b>,
    refresh_tokens: FewTexts<'b>,
    guest_tokens: FewTexts<'b>,
}

impl<'b> Texts<'b> {
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
            guest_tokens: Few::new(),
        }
    }

    pub(super) fn push(&mut self, field: Text, text: Name<'b>, found: &mut Found<'b>) {
        // What says how to read another text may be empty. Nothing that names an account is.
        let is_kind = matches!(field, Text::Type | Text::Medium | Text::Country);
        if text.as_str().is_empty() && !is_kind {
            return;
        }
        let texts = match field {
            Text::Type => &mut self.types,
            Text::User => &mut self.users,
            Text::Medium => &mut self.mediums,
            Text::Address => &mut self.addresses,
            Text::Country => &mut self.countries,
            Text::Phone => &mut self.phones,
            Text::Token => &mut self.tokens,
            Text::RefreshToken => &mut self.refresh_tokens,
            Text::GuestToken => &mut self.guest_tokens,
        };
        texts
            .push(text)
            .unwrap_or_else(|too_many| found.too_many(too_many));
    }

    /// Everyone whom these texts can name in any combination.
    pub(super) fn name_accounts(self, found: &mut Found<'b>) {
        each(self.users, found, NamedAccount::User);
        combine(&self.mediums, self.addresses, found, |medium, address| {
            let medium = medium.unwrap_or(Name::EMPTY);
            NamedAccount::ThirdParty { medium, address }
        });
        combine(&self.countries, self.phones, found, |country, phone| {
            let country = country.unwrap_or(Name::EMPTY);
            NamedAccount::Phone { country, phone }
        });
        combine(&self.types, self.tokens, found, |login_type, token| {
            NamedAccount::LoginToken { token, login_type }
        });
        each(self.refresh_tokens, found, NamedAccount::RefreshToken);
        each(self.guest_tokens, found, NamedAccount::GuestToken);
    }
}

fn each<'b>(
    values: FewTexts<'b>,
    found: &mut Found<'b>,
    account: impl Fn(Name<'b>) -> NamedAccount<'b>,
) {
    // Most have none, and that is told faster than by going through them.
    if !values.is_empty() {
        values
            .into_iter()
            .for_each(|value| found.push(account(value)));
    }
}

/// Every value with every kind, or with none where none is given. Combinations that are too many
/// are not made.
fn combine<'b>(
    kinds: &FewTexts<'b>,
    values: FewTexts<'b>,
    found: &mut Found<'b>,
    account: impl Fn(Option<Name<'b>>, Name<'b>) -> NamedAccount<'b>,
) {
    if values.is_empty() {
        return;
    }
    if kinds.len() * values.len() > MAX_PER_REQUEST {
        return found.too_many(TooMany);
    }
    for value in values {
        for kind in kinds {
            found.push(account(Some(kind.clone()), value.clone()));
        }
        if kinds.is_empty() {
            found.push(account(None, value));
        }
    }
}
