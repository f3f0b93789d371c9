//! Walks through a body without building it, so that every repeated key is seen.

use super::{
    fields::{Field, Found, Object, Texts},
    name::Name,
    named::BodyError,
};
use crate::request::json::{Json, Value};

/// Reads `value`, which is expected to be an object, and notes whom it names.
pub(super) fn read<'b>(
    json: &mut Json<'b>,
    value: Value<'b>,
    object: Object,
    found: &mut Found<'b>,
) -> Result<(), BodyError> {
    match value {
        Value::Object => {}
        // `null` for a nested object is the same as leaving it out; as the whole body it is not.
        Value::Null if matches!(object, Object::Identifier | Object::Auth) => return Ok(()),
        other => {
            found.problem(match object {
                Object::Identifier | Object::Auth => BodyError::BadJson,
                _ => BodyError::NotObject,
            });
            return Ok(json.skip(other)?);
        }
    }
    let mut texts = Texts::new();
    while let Some(key) = json.key()? {
        let value = json.value()?;
        let field = object.field(key);
        if field.is_some() {
            found.field()?;
        }
        match field {
            None => json.skip(value)?,
            Some(Field::Nested(nested)) => read(json, value, nested, found)?,
            Some(Field::Null) => {
                if value != Value::Null {
                    found.problem(BodyError::Unclear);
                }
                json.skip(value)?;
            }
            Some(Field::Text(field)) => match value {
                Value::Null => {}
                Value::Text(text) => match Name::read(text) {
                    // Some parsers end a text at a NUL, which no name has.
                    Some(_) if text.has_nul() => found.problem(BodyError::Unclear),
                    Some(name) => texts.push(field, name, found),
                    None => return Err(BodyError::NotJson),
                },
                // Some server might still turn it into a name.
                other => {
                    found.problem(BodyError::BadJson);
                    json.skip(other)?;
                }
            },
        }
    }
    texts.name_accounts(found);
    Ok(())
}
