//! The body of a `PUT`.

use std::{fmt, str};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Refusal;

/// The boolean under `key`.
///
/// Other keys are somebody's extensions. A key that comes twice has to say the same both times,
/// for JSON parsers differ in which of them they take.
pub(super) fn read(data: &[u8], key: &'static str) -> Result<bool, Refusal> {
    let text = str::from_utf8(data).map_err(|_| Refusal::BodyNotJson)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| Refusal::BodyNotJson)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = ValuesOf(key).deserialize(&mut json);
    let values = read.map_err(|_| Refusal::BodyBadJson)?;
    let Some(first) = values.first() else {
        return Err(Refusal::MissingParameter);
    };
    match first {
        Value::Bool(value) if values.iter().all(|other| other == first) => Ok(*value),
        _ => Err(Refusal::BodyBadJson),
    }
}

/// Every value that an object has under one key.
struct ValuesOf(&'static str);

impl<'de> DeserializeSeed<'de> for ValuesOf {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<Value>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ValuesOf {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        let mut values = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                values.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, read};

    #[test]
    fn msc4323_a_boolean_beside_whatever_extensions() {
        for (body, value) in [
            (r#"{"locked":true}"#, true),
            (" {\"locked\" : false}\r\n", false),
            (r#"{"org.example.reason":{"a":[1]},"locked":true}"#, true),
            (r#"{"locked":true,"\u006cocked":true}"#, true),
            (r#"{"locked":false,"suspended":7}"#, false),
        ] {
            assert_eq!(read(body.as_bytes(), "locked"), Ok(value), "{body}");
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
            ("{}", Refusal::MissingParameter),
            (r#"{"Locked":true}"#, Refusal::MissingParameter),
            (r#"{"suspended":true}"#, Refusal::MissingParameter),
        ] {
            assert_eq!(read(body.as_bytes(), "locked"), Err(refusal), "{body}");
        }
        let not_text = b"{\"locked\":true,\"x\":\"\xff\"}";
        assert_eq!(read(not_text, "locked"), Err(Refusal::BodyNotJson));
    }
}
