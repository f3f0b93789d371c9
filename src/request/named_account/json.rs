//! Walks through a body without building it, so that every repeated key is seen.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::{Field, Found, Object, Texts};

impl Found {
    /// Reads an object, and remembers whom it names.
    pub(super) fn seed(&mut self, object: Object) -> ObjectSeed<'_> {
        ObjectSeed {
            object,
            found: self,
        }
    }
}

pub(super) struct ObjectSeed<'a> {
    object: Object,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut texts = Texts::new();
        while let Some(key) = map.next_key::<String>()? {
            match self.object.field(&key) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(Field::Nested(object)) => map.next_value_seed(self.found.seed(object))?,
                Some(Field::Text(text)) => match map.next_value_seed(TextSeed)? {
                    Value::Absent => {}
                    Value::Other => self.found.bad(),
                    Value::Text(value) => {
                        texts
                            .of(text)
                            .push(value)
                            .unwrap_or_else(|too_many| self.found.too_many(too_many));
                    }
                },
            }
        }
        texts.name_accounts(self.found);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        // `null` for a nested object is the same as leaving it out; as the whole body it is not.
        if matches!(self.object, Object::Identifier | Object::Auth) {
            return Ok(());
        }
        self.found.bad();
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.found.bad();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.found.bad();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.found.bad();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.found.bad();
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.found.bad();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.found.bad();
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// What stands where a text is expected.
enum Value {
    Text(String),
    /// `null`, which is the same as nothing.
    Absent,
    /// Something that some server might still turn into a name.
    Other,
}

struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}
