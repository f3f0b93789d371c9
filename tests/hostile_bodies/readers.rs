//! Handlers that read whom a body names, in every way that a server might.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::parsers;

/// Whom a body names, written like `user alice` or `login token t`.
pub(crate) type Names = Vec<String>;

/// Each gives `None` where it would refuse the body.
pub(crate) type Reader = fn(&[u8]) -> Option<Names>;

pub(crate) const OF_LOGINS: &[(&str, Reader)] = &[
    ("a JSON value", |body| {
        names_in(&serde_json::from_slice(body).ok()?)
    }),
    ("the first of each key", |body| {
        names_in(&first_of_each_key(body)?)
    }),
    ("keys in any case", |body| {
        names_in(&folded(serde_json::from_slice(body).ok()?))
    }),
    ("a derived struct", |body| {
        let login: Login = serde_json::from_slice(body).ok()?;
        Some(login.names())
    }),
    ("a struct with a tagged enum", |body| {
        let login: TaggedLogin = serde_json::from_slice(body).ok()?;
        Some(login.identifier.names())
    }),
    ("a struct with an untagged enum", |body| {
        let login: UntaggedLogin = serde_json::from_slice(body).ok()?;
        Some(match login {
            UntaggedLogin::New { identifier } => identifier.names(),
            UntaggedLogin::Old { user } => vec![format!("user {user}")],
        })
    }),
    ("a struct with a flattened map", |body| {
        let login: FlattenedLogin = serde_json::from_slice(body).ok()?;
        let rest = Value::Object(login.rest.into_iter().collect());
        names_in(&rest)
    }),
    ("a mark at the beginning is skipped", |body| {
        names_in(&serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf")?).ok()?)
    }),
    ("what is no UTF-8 is replaced", |body| {
        names_in(&serde_json::from_str(&String::from_utf8_lossy(body)).ok()?)
    }),
    ("UTF-16, the small end first", |body| {
        utf_16(body, u16::from_le_bytes)
    }),
    ("UTF-16, the big end first", |body| {
        utf_16(body, u16::from_be_bytes)
    }),
    ("what follows is ignored", |body| {
        let mut values = serde_json::Deserializer::from_slice(body).into_iter();
        names_in(&values.next()?.ok()?)
    }),
    ("the last of several values", |body| {
        let values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
        names_in(&values.map_while(Result::ok).last()?)
    }),
    ("private keys", |body| {
        names_in(&parsers::with_private_keys(body)?)
    }),
    ("extended values", |body| {
        names_in(&parsers::with_extended_values(body)?)
    }),
    ("references", |body| {
        names_in(&parsers::with_references(body)?)
    }),
    ("prototypes", |body| {
        names_in(&parsers::with_prototypes(body)?)
    }),
    ("texts of C", |body| {
        names_in(&parsers::with_texts_of_c(body)?)
    }),
    ("merged over a session's first", |body| {
        names_in(&parsers::merged_over_a_session(body)?)
    }),
    ("merged under a session's first", |body| {
        names_in(&parsers::merged_under_a_session(body)?)
    }),
];

pub(crate) const OF_REFRESHES: &[(&str, Reader)] = &[
    ("a JSON value", |body| {
        let value: Value = serde_json::from_slice(body).ok()?;
        Some(vec![format!(
            "refresh token {}",
            value.get("refresh_token")?.as_str()?
        )])
    }),
    ("the first of each key", |body| {
        let value = first_of_each_key(body)?;
        Some(vec![format!(
            "refresh token {}",
            value.get("refresh_token")?.as_str()?
        )])
    }),
    ("a derived struct", |body| {
        let refresh: Refresh = serde_json::from_slice(body).ok()?;
        Some(vec![format!("refresh token {}", refresh.refresh_token)])
    }),
    ("private keys", |body| {
        refreshed_in(&parsers::with_private_keys(body)?)
    }),
    ("extended values", |body| {
        refreshed_in(&parsers::with_extended_values(body)?)
    }),
    ("prototypes", |body| {
        refreshed_in(&parsers::with_prototypes(body)?)
    }),
    ("texts of C", |body| {
        refreshed_in(&parsers::with_texts_of_c(body)?)
    }),
    ("merged over a session's first", |body| {
        refreshed_in(&parsers::merged_over_a_session(body)?)
    }),
    ("merged under a session's first", |body| {
        refreshed_in(&parsers::merged_under_a_session(body)?)
    }),
];

fn refreshed_in(value: &Value) -> Option<Names> {
    let token = value.get("refresh_token")?.as_str()?;
    Some(vec![format!("refresh token {token}")])
}

pub(crate) const OF_REAUTHENTICATIONS: &[(&str, Reader)] = &[
    ("a JSON value", |body| {
        let value: Value = serde_json::from_slice(body).ok()?;
        names_in(value.get("auth")?)
    }),
    ("the first of each key", |body| {
        names_in(first_of_each_key(body)?.get("auth")?)
    }),
    ("a derived struct", |body| {
        let request: Reauthentication = serde_json::from_slice(body).ok()?;
        Some(request.auth.map(Login::names).unwrap_or_default())
    }),
    ("private keys", |body| {
        names_in(parsers::with_private_keys(body)?.get("auth")?)
    }),
    ("extended values", |body| {
        names_in(parsers::with_extended_values(body)?.get("auth")?)
    }),
    ("references", |body| {
        names_in(parsers::with_references(body)?.get("auth")?)
    }),
    ("prototypes", |body| {
        names_in(parsers::with_prototypes(body)?.get("auth")?)
    }),
    ("texts of C", |body| {
        names_in(parsers::with_texts_of_c(body)?.get("auth")?)
    }),
];

#[derive(Deserialize)]
struct Login {
    #[serde(rename = "type")]
    login_type: Option<String>,
    identifier: Option<Identifier>,
    user: Option<String>,
    medium: Option<String>,
    address: Option<String>,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    user: Option<String>,
    medium: Option<String>,
    address: Option<String>,
    country: Option<String>,
    phone: Option<String>,
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: String,
}

#[derive(Deserialize)]
struct Reauthentication {
    auth: Option<Login>,
}

#[derive(Deserialize)]
struct TaggedLogin {
    identifier: Tagged,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    #[serde(rename = "m.id.user")]
    User { user: String },
    #[serde(rename = "m.id.thirdparty")]
    ThirdParty { medium: String, address: String },
    #[serde(rename = "m.id.phone")]
    Phone {
        country: String,
        #[serde(alias = "number")]
        phone: String,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum UntaggedLogin {
    New { identifier: Tagged },
    Old { user: String },
}

#[derive(Deserialize)]
struct FlattenedLogin {
    #[serde(flatten)]
    rest: HashMap<String, Value>,
}

impl Login {
    fn names(self) -> Names {
        let mut names = self.identifier.map(Identifier::names).unwrap_or_default();
        names.extend(self.user.map(|user| format!("user {user}")));
        if let (Some(medium), Some(address)) = (self.medium, self.address) {
            names.push(format!("third party {medium} {address}"));
        }
        let login_type = self.login_type.unwrap_or_default();
        names.extend(
            self.token
                .map(|token| format!("login token {login_type} {token}")),
        );
        names
    }
}

impl Identifier {
    fn names(self) -> Names {
        let mut names: Names = self
            .user
            .map(|user| format!("user {user}"))
            .into_iter()
            .collect();
        if let (Some(medium), Some(address)) = (self.medium, self.address) {
            names.push(format!("third party {medium} {address}"));
        }
        if let (Some(country), Some(phone)) = (self.country, self.phone) {
            names.push(format!("phone {country} {phone}"));
        }
        names
    }
}

impl Tagged {
    fn names(self) -> Names {
        vec![match self {
            Self::User { user } => format!("user {user}"),
            Self::ThirdParty { medium, address } => format!("third party {medium} {address}"),
            Self::Phone { country, phone } => format!("phone {country} {phone}"),
        }]
    }
}

/// A handler that takes what it needs out of a [`Value`].
fn names_in(login: &Value) -> Option<Names> {
    let login = login.as_object()?;
    let text = |object: &serde_json::Map<String, Value>, key| {
        object.get(key).and_then(Value::as_str).map(str::to_owned)
    };
    let mut names = Names::new();
    for object in [
        Some(login),
        login.get("identifier").and_then(Value::as_object),
    ]
    .into_iter()
    .flatten()
    {
        names.extend(text(object, "user").map(|user| format!("user {user}")));
        if let (Some(medium), Some(address)) = (text(object, "medium"), text(object, "address")) {
            names.push(format!("third party {medium} {address}"));
        }
    }
    if let Some(identifier) = login.get("identifier").and_then(Value::as_object) {
        let phone = text(identifier, "phone").or_else(|| text(identifier, "number"));
        if let (Some(country), Some(phone)) = (text(identifier, "country"), phone) {
            names.push(format!("phone {country} {phone}"));
        }
    }
    if let Some(token) = text(login, "token") {
        names.push(format!(
            "login token {} {token}",
            text(login, "type").unwrap_or_default()
        ));
    }
    Some(names)
}

fn utf_16(body: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Names> {
    let units = body.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    names_in(&serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?)
}

fn folded(value: Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (key.to_ascii_lowercase(), folded(value)))
            .collect(),
        other => other,
    }
}

/// A value in which the first occurrence of a repeated key counts.
fn first_of_each_key(body: &[u8]) -> Option<Value> {
    let First(value) = serde_json::from_slice(body).ok()?;
    Some(value)
}

struct First(Value);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(FirstVisitor).map(Self)
    }
}

struct FirstVisitor;

impl<'de> Visitor<'de> for FirstVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(First(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((key, First(value))) = map.next_entry::<String, First>()? {
            object.entry(key).or_insert(value);
        }
        Ok(Value::Object(object))
    }
}
