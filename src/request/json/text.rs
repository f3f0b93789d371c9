//! A string in a JSON body.

use std::cmp::Ordering;

use crate::request::json_key::{Folded, Key};

/// A string, as it is in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'b> {
    raw: &'b str,
    escapes: Escapes,
}

/// What is known of a string's escapes once it has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Escapes {
    is_escaped: bool,
    /// Whether it has half of a surrogate pair, so that it is no text.
    is_cut: bool,
    has_nul: bool,
}

impl Escapes {
    /// Reads the escape with which `text` begins, and says how long it is.
    pub(super) fn read(&mut self, text: &[u8]) -> Option<usize> {
        let (len, letter) = unescape(text)?;
        self.is_escaped = true;
        self.is_cut |= letter.is_none();
        self.has_nul |= letter == Some('\0');
        Some(len)
    }
}

impl<'b> Text<'b> {
    pub(super) fn new(raw: &'b str, escapes: Escapes) -> Self {
        Self { raw, escapes }
    }

    /// What it says, where nothing in it is escaped.
    pub(crate) fn plain(self) -> Option<&'b str> {
        (!self.escapes.is_escaped).then_some(self.raw)
    }

    pub(super) fn is_cut(self) -> bool {
        self.escapes.is_cut
    }

    /// What it says, or `None` if it is no text.
    pub(crate) fn unescaped(self) -> Option<String> {
        if self.is_cut() {
            return None;
        }
        let mut text = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while !rest.is_empty() {
            let plain = rest.find('\\').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            rest = &rest[plain..];
            while rest.starts_with('\\') {
                let (len, letter) = unescape(rest.as_bytes())?;
                text.push(letter?);
                rest = &rest[len..];
            }
        }
        Some(text)
    }

    /// Whether it says `text`.
    #[inline]
    pub(crate) fn says(self, text: &str) -> bool {
        match self.plain() {
            Some(plain) => plain == text,
            None => !self.is_cut() && self.chars().eq(text.chars()),
        }
    }

    /// Whether it says the same as another.
    pub(crate) fn says_what(self, other: Self) -> bool {
        !self.is_cut() && !other.is_cut() && self.chars().eq(other.chars())
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
        let may_be_odd = self.escapes.is_escaped || !self.raw.is_ascii();
        may_be_odd && Key::Folded(Folded::of(self.chars())).is(name)
    }

    /// As a key that is compared with several names.
    #[inline]
    pub(crate) fn key(self) -> Key<'b> {
        match self.plain() {
            Some(plain) if plain.is_ascii() => Key::Plain(plain),
            _ => Key::Folded(Folded::of(self.chars())),
        }
    }

    /// Whether it holds a NUL, at which some parsers end a text.
    pub(crate) fn has_nul(self) -> bool {
        self.escapes.has_nul
    }

    /// Whether this key has a meaning of its own to some parser.
    ///
    /// A dollar sign begins the keys by which parsers mark a value that stands for another:
    /// the private ones of `serde_json` and `sonic-rs`, and those of `bson` and .NET. A key
    /// `__proto__` lends its value's entries to the object in which it stands, once a JavaScript
    /// program copies that. And a key with a NUL in it ends there in a program that is written
    /// in C. Nothing in a body that is read here has a key like these.
    pub(super) fn changes_meaning(self) -> bool {
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

/// How many bytes come before a quotation mark, a backslash or a control character, which end the
/// plain part of a string.
pub(super) fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = 0x80 * ONES;
    let mut rest = text;
    // Eight bytes at a time. In the sum of the three the highest bit of a byte is set where it is
    // one of them; above the first such byte the bits say nothing.
    while let Some((word, after)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let is_control = word.wrapping_sub(0x20 * ONES) & !word;
        let is_mark = |mark: u8| is_zero(word ^ (u64::from(mark) * ONES));
        let found = (is_control | is_mark(b'"') | is_mark(b'\\')) & HIGHEST;
        if found != 0 {
            return text.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    let is_special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let end = rest.iter().position(is_special).unwrap_or(rest.len());
    text.len() - rest.len() + end
}

/// How long the escape is with which `text` begins, and what it stands for: `None` if that is half
/// of a surrogate pair alone.
#[inline]
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
        b'u' => return unescape_unit(text),
        _ => return None,
    };
    Some((2, Some(letter)))
}

fn unescape_unit(text: &[u8]) -> Option<(usize, Option<char>)> {
    let first = code_unit(text)?;
    if let 0xd800..=0xdbff = first {
        if let Some(second @ 0xdc00..=0xdfff) = text.get(6..).and_then(code_unit) {
            let letter = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Some((12, char::from_u32(letter)));
        }
    }
    Some((6, char::from_u32(first)))
}

/// The four digits of an escape like `\u0041` with which `text` begins.
#[inline]
fn code_unit(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text.first_chunk::<6>()? else {
        return None;
    };
    let digits = digits.map(|digit| u32::from(DIGITS[usize::from(digit)]));
    let unit = digits[0] << 12 | digits[1] << 8 | digits[2] << 4 | digits[3];
    // Whatever is none has bits that no digit has.
    let is_none = digits.iter().fold(0, |all, digit| all | digit) > 0xf;
    (!is_none).then_some(unit)
}

/// The value of each hexadecimal digit; `0xff` for what is none.
static DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        digits[digit as usize] = value;
        digits[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::plain_len;

    #[test]
    fn the_plain_part_of_a_string_ends_at_the_first_byte_that_is_not() {
        for len in 0..40 {
            for end in [b'"', b'\\', 0, 0x1f] {
                for plain in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff] {
                    let mut text = vec![plain; len];
                    assert_eq!(plain_len(&text), len, "{plain} {len}");
                    for at in 0..len {
                        text[at] = end;
                        assert_eq!(plain_len(&text), at, "{plain} {end} {at} {len}");
                        text[len - 1] = end;
                        assert_eq!(plain_len(&text), at, "{plain} {end} {at} {len}");
                        (text[len - 1], text[at]) = (plain, plain);
                    }
                }
            }
        }
    }
}
