//! The entries of a body that is an object.
//!
//! JSON may repeat a key, and parsers differ in which occurrence they keep, so every one is handed on.

use crate::request::json::{Json, JsonError, Text, Value};

/// Hands each entry of the object `body` to `entry`.
pub(super) fn each_entry<'b>(
    body: &'b [u8],
    mut entry: impl FnMut(Text<'b>, Value<'b>),
) -> Result<(), JsonError> {
    each_key(body, |key, json| {
        let value = json.value()?;
        entry(key, value);
        json.skip(value)
    })
}

/// Reads the object `body`. `entry` reads the value of each key.
pub(super) fn each_key<'b>(
    body: &'b [u8],
    mut entry: impl FnMut(Text<'b>, &mut Json<'b>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut json = Json::new(body)?;
    if json.value()? != Value::Object {
        return Err(JsonError::Refused);
    }
    while let Some(key) = json.key()? {
        entry(key, &mut json)?;
    }
    json.end()
}
