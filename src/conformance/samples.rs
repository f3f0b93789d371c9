//! Names and reasons that have broken stores.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, SystemTime},
};

use crate::account::UserId;

/// Makes names that no earlier run used.
pub(super) struct Names(String);

impl Names {
    pub(super) fn new() -> Self {
        let random = RandomState::new().hash_one(SystemTime::now());
        Self(format!("conformance-{random:016x}"))
    }

    /// A user of this run.
    pub(super) fn user(&self, what: &str) -> UserId {
        format!("@{}-{what}:example.org", self.0).into()
    }

    /// A token of this run.
    pub(super) fn token(&self, what: &str) -> String {
        format!("{}-token-{what}", self.0)
    }

    /// Users that a careless store confuses with one another, or cannot store.
    pub(super) fn hard_users(&self) -> Vec<UserId> {
        let name = &self.0;
        let upper = name.to_uppercase();
        let long = format!("@{name}-{}", "l".repeat(255));
        let mut users: Vec<UserId> = [
            format!("@{name}:example.org"),
            format!("@{upper}:example.org"),
            format!("@{name}:EXAMPLE.org"),
            format!("@{name}:example.org:8448"),
            format!("@{name}:[2001:db8::1]"),
            format!("@{name}/x:example.org"),
            format!("@{name}%2Fx:example.org"),
            format!("@{name}%2fx:example.org"),
            format!("@{name}_:example.org"),
            format!("@{name}%:example.org"),
            format!("@{name}*:example.org"),
            format!("@{name}+ :example.org"),
            format!("@{name}:example.org "),
            format!(" @{name}:example.org"),
            format!("@{name}\t:example.org"),
            format!("@{name}\u{e9}:example.org"),
            format!("@{name}e\u{301}:example.org"),
            format!("@{name}\u{df}:example.org"),
            format!("@{name}ss:example.org"),
            format!("@{name}\u{2028}:example.org"),
            format!("@{name}\u{200b}:example.org"),
            format!("@{name}\u{1f512}:example.org"),
            format!("@{name}\u{10ffff}:example.org"),
            format!("@{name}'; DROP TABLE restrictions; --:example.org"),
            format!("@{name}\"\\`$1?:example.org"),
            format!("@:{name}"),
            name.clone(),
        ]
        .into_iter()
        .map(UserId::from)
        .collect();
        // The longest user ids have 255 bytes. These two differ in the last byte.
        users.extend(["a", "b"].map(|last| UserId::from(format!("{}{last}", &long[..254]))));
        users
    }
}

pub(super) const REASONS: [&str; 9] = [
    "Spam",
    "She said \"no\", it's a 'quote', a \\backslash and a /slash",
    "two\nlines\r\nand a\ttab",
    "a line\u{2028}and a paragraph\u{2029}separator",
    "\u{1f512} locked \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}, \u{1f1e9}\u{1f1ea}",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{202e}right to left",
    " spaces around ",
    "$1 %s {} ?1 :name NULL '); DELETE FROM restrictions; --",
    "\u{1}\u{1f}\u{7f}\u{ffff}",
];

/// An end `seconds` from now, on a whole millisecond.
pub(super) fn end_in(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    let end = match seconds {
        0.. => now + distance,
        _ => now - distance,
    };
    to_millis(end)
}

/// The time, rounded down to the millisecond.
pub(super) fn to_millis(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    SystemTime::UNIX_EPOCH
        + Duration::from_secs(since.as_secs())
        + Duration::from_millis(since.subsec_millis().into())
}
