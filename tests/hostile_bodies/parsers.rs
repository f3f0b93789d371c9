//! Values as made by parsers that have private keys, or know more than the body.

use serde_json::{Map, Value};

fn parsed(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}

/// Applies `change` to every value, the innermost first.
fn everywhere(value: Value, change: fn(Value) -> Value) -> Value {
    let value = match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (key, everywhere(value, change)))
            .collect(),
        Value::Array(values) => values
            .into_iter()
            .map(|value| everywhere(value, change))
            .collect(),
        other => other,
    };
    change(value)
}

/// The value of an object's only key.
fn behind<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(key).filter(|_| object.len() == 1)
}

/// `serde_json` with `raw_value` and `arbitrary_precision`.
pub(crate) fn with_private_keys(body: &[u8]) -> Option<Value> {
    let unwrapped = |value: Value| {
        let text = ["RawValue", "Number"].iter().find_map(|name| {
            let key = format!("$serde_json::private::{name}");
            behind(&value, &key)?.as_str()
        });
        let inner = text.and_then(|text| serde_json::from_str(text).ok());
        inner.unwrap_or(value)
    };
    Some(everywhere(parsed(body)?, unwrapped))
}

/// The JSON of programs that use `bson`.
pub(crate) fn with_extended_values(body: &[u8]) -> Option<Value> {
    let unwrapped = |value: Value| {
        let inner = ["$symbol", "$oid", "$code"]
            .iter()
            .find_map(|key| behind(&value, key).filter(|inner| inner.is_string()));
        inner.cloned().unwrap_or(value)
    };
    Some(everywhere(parsed(body)?, unwrapped))
}

/// .NET's parsers, which keep references to what was before.
pub(crate) fn with_references(body: &[u8]) -> Option<Value> {
    fn collect(value: &Value, known: &mut Map<String, Value>) {
        if let Some(id) = value.get("$id").and_then(Value::as_str) {
            known.insert(id.to_owned(), value.clone());
        }
        match value {
            Value::Object(entries) => entries.values().for_each(|value| collect(value, known)),
            Value::Array(values) => values.iter().for_each(|value| collect(value, known)),
            _ => {}
        }
    }
    fn resolve(value: Value, known: &Map<String, Value>) -> Value {
        let target = value.get("$ref").and_then(Value::as_str);
        if let Some(target) = target.and_then(|id| known.get(id)) {
            return target.clone();
        }
        match value {
            Value::Object(entries) => entries
                .into_iter()
                .map(|(key, value)| (key, resolve(value, known)))
                .collect(),
            other => other,
        }
    }
    let value = parsed(body)?;
    let mut known = Map::new();
    collect(&value, &mut known);
    Some(resolve(value, &known))
}

/// JavaScript, where an object was copied: `__proto__` lends its entries.
pub(crate) fn with_prototypes(body: &[u8]) -> Option<Value> {
    let lent = |value: Value| match value {
        Value::Object(mut entries) => {
            if let Some(Value::Object(lent)) = entries.remove("__proto__") {
                for (key, value) in lent {
                    entries.entry(key).or_insert(value);
                }
            }
            Value::Object(entries)
        }
        other => other,
    };
    Some(everywhere(parsed(body)?, lent))
}

/// C, where a text ends at a NUL.
pub(crate) fn with_texts_of_c(body: &[u8]) -> Option<Value> {
    fn cut(text: &str) -> String {
        text.split('\0').next().unwrap_or_default().to_owned()
    }
    let shortened = |value: Value| match value {
        Value::String(text) => Value::String(cut(&text)),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| (cut(&key), value))
            .collect(),
        other => other,
    };
    Some(everywhere(parsed(body)?, shortened))
}

/// The first body of a server's session.
const FIRST_BODY: &str = r#"{"type":"m.login.password","identifier":{"type":"m.id.user","user":"of the session"},"token":"of the session","refresh_token":"of the session"}"#;

/// A server that adds the fields of a session's first body to a later one.
pub(crate) fn merged_over_a_session(body: &[u8]) -> Option<Value> {
    merged(body, false)
}

/// The same, and the first body outranks the later one.
pub(crate) fn merged_under_a_session(body: &[u8]) -> Option<Value> {
    merged(body, true)
}

fn merged(body: &[u8], first_outranks: bool) -> Option<Value> {
    let mut value = parsed(body)?;
    let continues = match value.get("auth")? {
        Value::Object(auth) => auth.contains_key("session"),
        _ => false,
    };
    if continues {
        let first: Map<String, Value> = serde_json::from_str(FIRST_BODY).ok()?;
        let entries = value.as_object_mut()?;
        for (key, value) in first {
            if first_outranks || !entries.contains_key(&key) {
                entries.insert(key, value);
            }
        }
    }
    Some(value)
}
