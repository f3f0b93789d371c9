//! The keys of JSON objects.

/// A key as parsers compare it that have no regard to case.
pub(crate) enum Key<'b> {
    /// Nothing in it is escaped or beyond ASCII.
    Plain(&'b str),
    Folded(Folded),
}

/// Go's parser folds the long s and the Kelvin sign, too, and Java's the i without a dot and the I
/// with one.
pub(crate) struct Folded {
    letters: [u8; Self::LONGEST],
    /// 0 if it is none of the names that are looked for.
    len: usize,
}

impl Key<'_> {
    /// Whether some parser takes it for `name`, which is in lower case.
    #[inline]
    pub(crate) fn is(&self, name: &str) -> bool {
        debug_assert!(!name.is_empty() && name.len() <= Folded::LONGEST, "{name}");
        match self {
            Self::Plain(key) => key.eq_ignore_ascii_case(name),
            Self::Folded(key) => key.letters[..key.len] == *name.as_bytes(),
        }
    }
}

impl Folded {
    /// No name that is looked for is longer.
    const LONGEST: usize = 18;

    #[inline(never)]
    pub(crate) fn of(key: impl Iterator<Item = char>) -> Self {
        let mut letters = [0; Self::LONGEST];
        let none = Self { letters, len: 0 };
        let mut len = 0;
        for letter in key {
            let folded = match letter {
                '\u{17f}' => 's',
                '\u{212a}' => 'k',
                '\u{130}' | '\u{131}' => 'i',
                other => other.to_ascii_lowercase(),
            };
            let (Some(place), Ok(folded)) = (letters.get_mut(len), u8::try_from(folded)) else {
                return none;
            };
            *place = folded;
            len += 1;
        }
        Self { letters, len }
    }
}

#[cfg(test)]
mod tests {
    use super::{Folded, Key};

    #[test]
    fn rule_10_a_key_counts_in_any_case() {
        let is = |key: &str, name| {
            let is = Key::Folded(Folded::of(key.chars())).is(name);
            assert!(!key.is_ascii() || Key::Plain(key).is(name) == is, "{key}");
            is
        };
        for key in ["user", "User", "USER", "u\u{17f}er"] {
            assert!(is(key, "user"), "{key}");
        }
        assert!(is("refresh_to\u{212a}en", "refresh_token"));
        assert!(is("Guest_Access_Token", "guest_access_token"));
        for key in ["\u{131}dent\u{130}fier", "IDENTIFIER"] {
            assert!(is(key, "identifier"), "{key}");
        }
        for key in [
            "",
            "use",
            "users",
            "\u{fc}ser",
            "guest_access_tokens",
            "guest_access_token\u{fc}",
        ] {
            assert!(!is(key, "user"), "{key}");
            assert!(!is(key, "guest_access_token"), "{key}");
        }
    }
}
