//! The keys of JSON objects.

/// Whether the key of these letters is `name` to some parser. Several compare without regard to
/// case: Go's then folds the long s and the Kelvin sign, too, and Java's the i without a dot and
/// the I with one. `name` is in lower case.
#[inline]
pub(crate) fn is(key: impl Iterator<Item = char>, name: &str) -> bool {
    let folded = key.map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        '\u{130}' | '\u{131}' => 'i',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(name.chars())
}

#[cfg(test)]
mod tests {
    use super::is;

    #[test]
    fn rule_10_a_key_counts_in_any_case() {
        for key in ["user", "User", "USER", "u\u{17f}er"] {
            assert!(is(key.chars(), "user"), "{key}");
        }
        assert!(is("refresh_to\u{212a}en".chars(), "refresh_token"));
        for key in ["\u{131}dent\u{130}fier", "IDENTIFIER"] {
            assert!(is(key.chars(), "identifier"), "{key}");
        }
        for key in ["", "use", "users", "\u{fc}ser"] {
            assert!(!is(key.chars(), "user"), "{key}");
        }
    }
}
