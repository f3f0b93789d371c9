//! Why a server refused a connection, without the names of the connection string.

use std::{error::Error, fmt};

use tokio_postgres::{
    Config,
    error::{DbError, SqlState},
};

/// What a server, or a pooler, said. It repeats the user and the database, in whose place a mistyped string
/// may have a password.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: SqlState,
    text: String,
}

impl Refusal {
    pub(super) fn new(error: &DbError, config: &Config) -> Self {
        let mut text = error.to_string();
        let options = config.get_options().unwrap_or_default();
        let options = options.split(|c: char| c.is_whitespace() || c == '=');
        let names = [config.get_user(), config.get_dbname()];
        let mut names: Vec<&str> = names.into_iter().flatten().chain(options).collect();
        // A name may be a part of another.
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            text = without(&text, name);
            text = without(&text, as_cut_off(name));
        }
        Self {
            code: error.code().clone(),
            text,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Refusal {}

/// PostgreSQL cuts longer names off.
const MAX_NAME: usize = 63;

/// A server knows as much of a name.
fn as_cut_off(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// The text with `…` instead of the name, wherever that is no part of a word.
fn without(text: &str, name: &str) -> String {
    if name.is_empty() {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, behind) = (&rest[..at], &rest[at + name.len()..]);
        let continues = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_part = continues(before.chars().next_back().or(kept.chars().next_back()))
            || continues(behind.chars().next());
        kept.push_str(before);
        kept.push_str(if is_part { name } else { "…" });
        rest = behind;
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::{as_cut_off, without};

    #[test]
    fn rule_15_a_name_is_left_out_and_words_are_kept() {
        for (text, name, expected) in [
            ("role \"a\" has a name", "a", "role \"…\" has … name"),
            ("no such user: me", "me", "no such user: …"),
            ("meme memes me", "me", "meme memes …"),
            ("database \"a\"b\" is not", "a\"b", "database \"…\" is not"),
            ("me", "", "me"),
        ] {
            assert_eq!(without(text, name), expected);
        }
        let long = format!("{}é", "x".repeat(62));
        assert_eq!(as_cut_off(&long), "x".repeat(62));
    }
}
