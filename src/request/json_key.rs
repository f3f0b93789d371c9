//! The keys of JSON objects.

/// Whether `key` is `name` to some parser: several compare without regard to case, and Go's folds
/// the long s and the Kelvin sign, too. `name` is in lower case.
#[inline]
pub(crate) fn is(key: &str, name: &str) -> bool {
    if key.len() <= name.len() {
        // A letter that is folded takes more bytes than what it becomes.
        return key.eq_ignore_ascii_case(name);
    }
    let folded = key.chars().map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    !key.is_ascii() && folded.eq(name.chars())
}

#[cfg(test)]
mod tests {
    use super::is;

    #[test]
    fn rule_10_a_key_counts_in_any_case() {
        for key in ["user", "User", "USER", "u\u{17f}er"] {
            assert!(is(key, "user"), "{key}");
        }
        assert!(is("refresh_to\u{212a}en", "refresh_token"));
        for key in ["", "use", "users", "\u{fc}ser"] {
            assert!(!is(key, "user"), "{key}");
        }
    }
}
