//! The body of a `PUT`.

use super::Refusal;
use crate::request::json::{Json, JsonError, Value};

/// The boolean under `key`.
///
/// Other keys may be extensions. Those that are a reason or an end are refused, because nobody would notice
/// that they count for nothing. A repeated key must have the same value each time, because JSON parsers
/// differ in which one they take.
pub(super) fn wanted(data: &[u8], key: &str) -> Result<bool, Refusal> {
    let mut json = Json::new(data)?;
    let mut found = Found::Nothing;
    let mut has_reason_or_end = false;
    match json.value()? {
        Value::Object => {
            while let Some(name) = json.key()? {
                let value = json.value()?;
                if name.says(key) {
                    found = found.and(value);
                } else if value != Value::Null {
                    has_reason_or_end |= name.unescaped().is_some_and(|key| is_reason_or_end(&key));
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
        Found::Bool(_) if has_reason_or_end => Err(Refusal::ReasonOrEnd),
        Found::Bool(value) => Ok(value),
        Found::Other => Err(Refusal::BodyBadJson),
    }
}

/// Whether a key is meant as a reason or an end of the restriction. Its words are parted by whatever is no
/// letter, or by capitals, as in `org.example.until_ts` and `expiresAt`.
fn is_reason_or_end(key: &str) -> bool {
    const WORDS: [&str; 9] = [
        "reason", "reasons", "note", "comment", "until", "end", "ends", "ttl", "for",
    ];
    const PARTS: [&str; 4] = ["expir", "duration", "lifetime", "deadline"];
    let mut words = String::with_capacity(key.len());
    let mut was_lower = false;
    for letter in key.chars() {
        if was_lower && letter.is_uppercase() {
            words.push(' ');
        }
        was_lower = letter.is_lowercase();
        match letter.is_alphabetic() {
            true => words.extend(letter.to_lowercase()),
            false => words.push(' '),
        }
    }
    words.split(' ').any(|word| WORDS.contains(&word))
        || PARTS.iter().any(|part| words.contains(part))
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
            (r#"{"org.example.case":{"a":[1]},"locked":true}"#, true),
            (r#"{"reason":null,"locked":true,"until":null}"#, true),
            (
                r#"{"locked":true,"treason":1,"friend":2,"footnotes":3,"forward":4}"#,
                true,
            ),
            (r#"{"locked":true,"\u006cocked":true}"#, true),
            (r#"{"locked":false,"suspended":7}"#, false),
        ] {
            assert_eq!(wanted(body.as_bytes(), "locked"), Ok(value), "{body}");
        }
    }

    #[test]
    fn a_reason_or_an_end_is_not_dropped_in_silence() {
        for key in [
            "reason",
            "Reason",
            "org.example.reason",
            "org.example.until_ts",
            "until",
            "locked_until",
            "lockedUntil",
            "UNTIL_TS",
            "until2",
            "expires",
            "expires_at",
            "expiresAt",
            "expiry",
            "m.expiration_ms",
            "end",
            "end_ts",
            "endsAt",
            "ttl",
            "duration_ms",
            "for",
            "note",
            r"un\u0074il",
        ] {
            for value in ["1", "\"\"", "false", "{}", "[]"] {
                for body in [
                    format!(r#"{{"locked":true,"{key}":{value}}}"#),
                    format!(r#"{{"{key}":{value},"locked":false}}"#),
                ] {
                    let wanted = wanted(body.as_bytes(), "locked");
                    assert_eq!(wanted, Err(Refusal::ReasonOrEnd), "{body}");
                }
            }
        }
        // What else is wrong with a body is said first.
        assert_eq!(
            wanted(br#"{"until":1}"#, "locked"),
            Err(Refusal::MissingParameter)
        );
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
