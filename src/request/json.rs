//! A reader of JSON that means the same in every program.
//!
//! `serde_json` is built with the features that anyone in a program asks for, and three of them
//! change what its types make of a body: with `raw_value` and `arbitrary_precision` an object with
//! one private key is another value, and a number is an object. What decides whom a request is
//! about must not depend on that. So bodies are read here, as
//! [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259) has them, without building anything: every
//! occurrence of a repeated key is seen, and the memory that it takes does not grow with the body.

use std::{cmp::Ordering, str};

use super::{blocks, json_key};

/// How deep values may be nested: as deep as `serde_json` reads them.
const MAX_DEPTH: u32 = 128;

/// What ends the plain part of a string. A table, because each byte of a body comes by.
static SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special
};

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
        if key.is_cut {
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
        let (mut is_escaped, mut is_cut) = (false, false);
        let bytes = self.text.as_bytes();
        loop {
            let mut rest = &bytes[self.at..];
            // Many at a time as long as all of them are plain: a body may be long.
            while let Some(block) = rest.first_chunk::<{ blocks::BLOCK }>() {
                let is_special = |byte| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
                if blocks::any(block, is_special) {
                    break;
                }
                rest = &rest[blocks::BLOCK..];
            }
            let is_special = |byte: &u8| SPECIAL[usize::from(*byte)];
            let end = rest.iter().position(is_special).ok_or(JsonError::NotJson)?;
            self.at = bytes.len() - rest.len() + end;
            match rest[end] {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    is_cut |= self.escape()?;
                }
                _ => return Err(JsonError::NotJson),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(Text {
            raw,
            is_escaped,
            is_cut,
        })
    }

    /// Reads an escape, and says whether it is half of a surrogate pair without the other.
    fn escape(&mut self) -> Result<bool, JsonError> {
        let escape = &self.text.as_bytes()[self.at..];
        let Some((len, unescaped)) = unescape(escape) else {
            return Err(JsonError::NotJson);
        };
        self.at += len;
        Ok(unescaped.is_none())
    }
}

/// A string, as it is in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'b> {
    raw: &'b str,
    is_escaped: bool,
    /// Whether it has half of a surrogate pair, so that it is no text.
    is_cut: bool,
}

impl<'b> Text<'b> {
    /// What it says, where nothing in it is escaped.
    pub(crate) fn plain(self) -> Option<&'b str> {
        (!self.is_escaped).then_some(self.raw)
    }

    /// What it says, or `None` if it is no text.
    pub(crate) fn unescaped(self) -> Option<String> {
        (!self.is_cut).then(|| self.chars().collect())
    }

    /// Whether it says `text`.
    #[inline]
    pub(crate) fn says(self, text: &str) -> bool {
        match self.plain() {
            Some(plain) => plain == text,
            None => !self.is_cut && self.chars().eq(text.chars()),
        }
    }

    /// Whether it says the same as another.
    pub(crate) fn says_what(self, other: Self) -> bool {
        !self.is_cut && !other.is_cut && self.chars().eq(other.chars())
    }

    /// Whether it is this key to some parser. `name` is in lower case.
    #[inline]
    pub(crate) fn is_key(self, name: &str) -> bool {
        // A letter beyond ASCII has more bytes than the one that it is folded to, and an escape
        // more than what it stands for. So only a key that is longer can have either.
        match self.raw.len().cmp(&name.len()) {
            Ordering::Less => false,
            Ordering::Equal => self.raw.eq_ignore_ascii_case(name),
            Ordering::Greater => self.is_odd_key(name),
        }
    }

    #[inline(never)]
    fn is_odd_key(self, name: &str) -> bool {
        let may_be_odd = self.is_escaped || !self.raw.is_ascii();
        may_be_odd && json_key::is(self.chars(), name)
    }

    /// Whether it holds a NUL, at which some parsers end a text.
    pub(crate) fn has_nul(self) -> bool {
        self.is_escaped && self.chars().any(|letter| letter == '\0')
    }

    /// Whether this key has a meaning of its own to some parser.
    ///
    /// A dollar sign begins the keys by which parsers mark a value that stands for another:
    /// the private ones of `serde_json` and `sonic-rs`, and those of `bson` and .NET. A key
    /// `__proto__` lends its value's entries to the object in which it stands, once a JavaScript
    /// program copies that. And a key with a NUL in it ends there in a program that is written
    /// in C. Nothing in a body that is read here has a key like these.
    fn changes_meaning(self) -> bool {
        let begins_with_dollar = match self.plain() {
            Some(plain) => plain.starts_with('$'),
            None => self.chars().next() == Some('$'),
        };
        begins_with_dollar || self.says("__proto__") || self.has_nul()
    }

    fn chars(self) -> impl Iterator<Item = char> + 'b {
        let mut rest = self.raw;
        std::iter::from_fn(move || {
            let letter = rest.chars().next()?;
            let (len, letter) = match letter {
                '\\' => unescape(rest.as_bytes())?,
                _ => (letter.len_utf8(), Some(letter)),
            };
            rest = &rest[len..];
            Some(letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        })
    }
}

/// How long the escape is with which `text` begins, and what it stands for: `None` if that is half
/// of a surrogate pair alone.
fn unescape(text: &[u8]) -> Option<(usize, Option<char>)> {
    let letter = match text.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = code_unit(text)?;
            let pair = text.get(6..).and_then(code_unit);
            return Some(match pair {
                Some(second @ 0xdc00..=0xdfff) if matches!(first, 0xd800..=0xdbff) => {
                    let letter = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    (12, char::from_u32(letter))
                }
                _ => (6, char::from_u32(first)),
            });
        }
        _ => return None,
    };
    Some((2, Some(letter)))
}

/// The four digits of an escape like `\u0041` with which `text` begins.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| {
        Some(unit << 4 | char::from(digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests;
