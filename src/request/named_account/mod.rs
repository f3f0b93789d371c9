//! The accounts that a body names: `POST /login`, `POST /refresh`, the guest's token of
//! `POST /register`, and the `auth` of `POST /account/password` and `POST /account/deactivate`.
//!
//! JSON parsers differ in what they make of a repeated key. So every occurrence counts, and
//! something else in the place of a name is refused, never passed on unseen.

mod fields;
mod name;
mod named;
#[cfg(test)]
mod tests;
mod walk;

use self::fields::{Found, Object};
pub(crate) use self::named::{BodyError, NamedAccount};
use super::{
    few::Few,
    json::{Json, JsonError},
    naming::NamingEndpoint,
};

/// Reads the accounts that the body of `endpoint` names. An empty body names none.
pub(crate) fn read(
    endpoint: NamingEndpoint,
    body: &[u8],
) -> Result<Few<NamedAccount<'_>>, BodyError> {
    if body.is_empty() {
        return Ok(Few::new());
    }
    let object = match endpoint {
        NamingEndpoint::Login => Object::Login,
        NamingEndpoint::Refresh => Object::Refresh,
        NamingEndpoint::Reauthentication => Object::Reauthentication,
        NamingEndpoint::GuestUpgrade => Object::Register,
        NamingEndpoint::Unclear => Object::Any,
    };
    let mut json = Json::new(body)?;
    let mut found = Found::new();
    let value = json.value()?;
    walk::read(&mut json, value, object, &mut found)?;
    json.end()?;
    found.into_accounts()
}

impl From<JsonError> for BodyError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::NotJson => Self::NotJson,
            JsonError::Refused => Self::Unclear,
        }
    }
}
