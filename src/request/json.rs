//! A reader of JSON that means the same in every program.
//!
//! `serde_json` is built with the features that anyone in a program asks for, and three of them
//! change what its types make of a body: with `raw_value` and `arbitrary_precision` an object with
//! one private key is another value, and a number is an object. What decides whom a request is
//! about must not depend on that. So bodies are read here, as
//! [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259) has them, without building anything: every
//! occurrence of a repeated key is seen, and the memory that it takes does not grow with the body.

use std::str;

use self::text::Escapes;
pub(crate) use self::text::Text;

mod text;

/// How deep values may be nested: as deep as `serde_json` reads them.
const MAX_DEPTH: u32 = 128;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// It is not JSON in UTF-8.
    NotJson,
    /// It is JSON, but some parser may read it otherwise than it says, or not at all: a
    /// [key](Text::changes_meaning) changes what a value is, or it is nested too deep.
    Refused,
}

/// A value at some place of a body. Of an object or an array only the beginning has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'b> {
    Null,
    Bool(bool),
    Number,
    Text(Text<'b>),
    Array,
    Object,
}

/// A body, and how far it has been read.
#[derive(Debug)]
pub(crate) struct Json<'b> {
    text: &'b str,
    at: usize,
    /// A bit for each array or object that is open, the innermost lowest: 1 for an object.
    open: u128,
    depth: u32,
    /// Whether the innermost has only been opened yet.
    is_fresh: bool,
    has_refused_key: bool,
}

impl<'b> Json<'b> {
    pub(crate) fn new(body: &'b [u8]) -> Result<Self, JsonError> {
        Ok(Self {
            text: str::from_utf8(body).map_err(|_| JsonError::NotJson)?,
            at: 0,
            open: 0,
            depth: 0,
            is_fresh: false,
            has_refused_key: false,
        })
    }

    /// The next value.
    pub(crate) fn value(&mut self) -> Result<Value<'b>, JsonError> {
        match self.next_token() {
            Some(b'"') => Ok(Value::Text(self.text()?)),
            Some(b'{') => self.begin(true).map(|()| Value::Object),
            Some(b'[') => self.begin(false).map(|()| Value::Array),
            Some(b't') => self.literal("true").map(|()| Value::Bool(true)),
            Some(b'f') => self.literal("false").map(|()| Value::Bool(false)),
            Some(b'n') => self.literal("null").map(|()| Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Value::Number),
            _ => Err(JsonError::NotJson),
        }
    }

    /// The next key of the innermost object, whose value is then to be read; `None` at its end.
    pub(crate) fn key(&mut self) -> Result<Option<Text<'b>>, JsonError> {
        if !self.continues(b'}')? {
            return Ok(None);
        }
        if self.next_token() != Some(b'"') {
            return Err(JsonError::NotJson);
        }
        let key = self.text()?;
        if key.is_cut() {
            return Err(JsonError::NotJson);
        }
        self.has_refused_key |= key.changes_meaning();
        match self.next_token() {
            Some(b':') => {
                self.at += 1;
                Ok(Some(key))
            }
            _ => Err(JsonError::NotJson),
        }
    }

    /// Whether the innermost array has another value, which is then to be read.
    pub(crate) fn item(&mut self) -> Result<bool, JsonError> {
        self.continues(b']')
    }

    /// The next value, as it is in the body.
    pub(crate) fn raw(&mut self) -> Result<&'b str, JsonError> {
        self.next_token();
        let start = self.at;
        let value = self.value()?;
        self.skip(value)?;
        Ok(&self.text[start..self.at])
    }

    /// Reads to the end of `value`, which was the last that was read.
    pub(crate) fn skip(&mut self, value: Value<'b>) -> Result<(), JsonError> {
        if !matches!(value, Value::Array | Value::Object) {
            return Ok(());
        }
        let outside = self.depth - 1;
        while self.depth > outside {
            let continues = match self.open & 1 {
                1 => self.key()?.is_some(),
                _ => self.continues(b']')?,
            };
            if continues {
                self.value()?;
            }
        }
        Ok(())
    }

    /// Whether that was all, and none of it to be refused.
    pub(crate) fn end(mut self) -> Result<(), JsonError> {
        match self.next_token() {
            Some(_) => Err(JsonError::NotJson),
            None if self.has_refused_key => Err(JsonError::Refused),
            None => Ok(()),
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn begin(&mut self, is_object: bool) -> Result<(), JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(JsonError::Refused);
        }
        self.at += 1;
        self.open = self.open << 1 | u128::from(is_object);
        self.depth += 1;
        self.is_fresh = true;
        Ok(())
    }

    /// Whether another entry follows in the innermost array or object, which ends with `end`.
    fn continues(&mut self, end: u8) -> Result<bool, JsonError> {
        let is_first = std::mem::take(&mut self.is_fresh);
        match self.next_token() {
            Some(byte) if byte == end => {
                self.at += 1;
                self.open >>= 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !is_first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if is_first => Ok(true),
            _ => Err(JsonError::NotJson),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(literal) {
            return Err(JsonError::NotJson);
        }
        self.at += literal.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(JsonError::NotJson),
        }
    }

    /// A string, from its opening quote.
    fn text(&mut self) -> Result<Text<'b>, JsonError> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escapes = Escapes::default();
        loop {
            self.at += text::plain_len(&bytes[self.at..]);
            match self.byte() {
                Some(b'"') => break,
                // One often follows the other.
                Some(b'\\') => {
                    while self.byte() == Some(b'\\') {
                        let escape = escapes.read(&bytes[self.at..]);
                        self.at += escape.ok_or(JsonError::NotJson)?;
                    }
                }
                _ => return Err(JsonError::NotJson),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(Text::new(raw, escapes))
    }
}

#[cfg(test)]
mod tests;
