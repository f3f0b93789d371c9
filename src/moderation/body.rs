//! The body of a `PUT`.

use super::Refusal;
use crate::request::json::{Json, JsonError, Value};

/// The boolean under `key`.
///
/// Other keys may be extensions. A repeated key must have the same value each time, because JSON parsers
/// differ in which one they take.
pub(super) fn wanted(data: &[u8], key: &str) -> Result<bool, Refusal> {
    let mut json = Json::new(data)?;
    let mut found = Found::Nothing;
    match json.value()? {
        Value::Object => {
            while let Some(name) = json.key()? {
                let value = json.value()?;
                if name.says(key) {
                    found = found.and(value);
                }
                json.skip(value)?;
            }
        }
        other => {
            json.skip(other)?;
            found = Found::Other;
        }
    }
    json.end()?;
    match found {
        Found::Nothing => Err(Refusal::MissingParameter),
        Found::Bool(value) => Ok(value),
        Found::Other => Err(Refusal::BodyBadJson),
    }
}

/// The value of all occurrences of a key.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    Bool(bool),
    /// A value that is no boolean, or two booleans that differ.
    Other,
}

impl Found {
    fn and(self, value: Value<'_>) -> Self {
        match (self, value) {
            (Self::Nothing, Value::Bool(value)) => Self::Bool(value),
            (Self::Bool(before), Value::Bool(value)) if before == value => self,
            _ => Self::Other,
        }
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::NotJson => Self::BodyNotJson,
            JsonError::Refused => Self::BodyBadJson,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, wanted};

    #[test]
    fn msc4323_a_boolean_beside_whatever_extensions() {
        for (body, value) in [
            (r#"{"locked":true}"#, true),
            (" {\"locked\" : false}\r\n", false),
            (r#"{"org.example.reason":{"a":[1]},"locked":true}"#, true),
            (r#"{"locked":true,"\u006cocked":true}"#, true),
            (r#"{"locked":false,"suspended":7}"#, false),
        ] {
            assert_eq!(wanted(body.as_bytes(), "locked"), Ok(value), "{body}");
        }
    }

    #[test]
    fn spec_standard_error_response_not_json_bad_json_missing_parameter() {
        let deep = format!("{{\"locked\":{}{}}}", "[".repeat(500), "]".repeat(500));
        for (body, refusal) in [
            ("", Refusal::BodyNotJson),
            ("locked=true", Refusal::BodyNotJson),
            (r#"{"locked":true"#, Refusal::BodyNotJson),
            (r#"{"locked":true}}"#, Refusal::BodyNotJson),
            ("[1,", Refusal::BodyNotJson),
            ("null", Refusal::BodyBadJson),
            ("true", Refusal::BodyBadJson),
            ("[true]", Refusal::BodyBadJson),
            (r#"{"locked":"true"}"#, Refusal::BodyBadJson),
            (r#"{"locked":1}"#, Refusal::BodyBadJson),
            (r#"{"locked":null}"#, Refusal::BodyBadJson),
            (r#"{"locked":true,"locked":false}"#, Refusal::BodyBadJson),
            (r#"{"locked":true,"locked":1}"#, Refusal::BodyBadJson),
            (&deep, Refusal::BodyBadJson),
            (
                r#"{"locked":true,"$serde_json::private::RawValue":"{}"}"#,
                Refusal::BodyBadJson,
            ),
            ("{}", Refusal::MissingParameter),
            (r#"{"Locked":true}"#, Refusal::MissingParameter),
            (r#"{"suspended":true}"#, Refusal::MissingParameter),
        ] {
            assert_eq!(wanted(body.as_bytes(), "locked"), Err(refusal), "{body}");
        }
        let not_text = b"{\"locked\":true,\"x\":\"\xff\"}";
        assert_eq!(wanted(not_text, "locked"), Err(Refusal::BodyNotJson));
    }
}
