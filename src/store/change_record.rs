use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use crate::account::UserId;

/// Who changes a restriction, when, why, and through what: handed to a
/// [`RestrictionStore`](super::RestrictionStore) with each change, a lift included.
///
/// ```
/// use tower_account_status::store::{ChangeRecord, Channel};
///
/// let change = ChangeRecord::through(Channel::COMMAND_LINE)
///     .with_actor("@moderator:example.org")
///     .with_note("report 4711");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ChangeRecord {
    actor: Option<UserId>,
    note: Option<Arc<str>>,
    channel: Channel,
    at: SystemTime,
}

impl ChangeRecord {
    /// A change that is made now, by nobody in particular.
    pub fn through(channel: Channel) -> Self {
        Self {
            actor: None,
            note: None,
            channel,
            at: SystemTime::now(),
        }
    }

    /// Names who makes it. Moderators see it; the account's owner never does.
    pub fn with_actor(mut self, user: impl Into<UserId>) -> Self {
        self.actor = Some(user.into());
        self
    }

    /// Says why, for moderators. What the account's owner may read is
    /// [the restriction's reason](crate::Restriction::with_reason). An empty or blank one counts as
    /// none.
    pub fn with_note(mut self, note: impl Into<Arc<str>>) -> Self {
        let note = note.into();
        self.note = (!note.trim().is_empty()).then_some(note);
        self
    }

    /// Says when it was made, where that is not now.
    pub fn with_time(mut self, at: SystemTime) -> Self {
        self.at = at;
        self
    }

    /// Who makes it, where that was said.
    #[must_use]
    pub fn actor(&self) -> Option<&UserId> {
        self.actor.as_ref()
    }

    /// Why, for moderators.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Through what.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// When.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }
}

/// Through what a restriction was changed, as a short name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel(Cow<'static, str>);

impl Channel {
    /// The endpoints of `AccountModerationLayer`.
    pub const ADMIN_ENDPOINT: Self = Self(Cow::Borrowed("admin-endpoint"));
    /// The server's own code.
    pub const SERVER: Self = Self(Cow::Borrowed("server"));
    /// A command line.
    pub const COMMAND_LINE: Self = Self(Cow::Borrowed("command-line"));
    /// A statement by hand, or a program that does not say who it is.
    pub const SQL: Self = Self(Cow::Borrowed("sql"));

    /// A channel of your own.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
