use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use crate::account::UserId;

/// Who changes a restriction, when, why, and through what. Each change, a lift too, hands it to a
/// [`RestrictionStore`](super::RestrictionStore).
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

    /// Names the user who makes the change. Moderators see the name; the account's owner never does.
    pub fn with_actor(mut self, user: impl Into<UserId>) -> Self {
        self.actor = Some(user.into());
        self
    }

    /// Adds a note for moderators that says why. The account's owner reads
    /// [the restriction's reason](crate::Restriction::with_reason) instead. An empty or blank note
    /// counts as none.
    pub fn with_note(mut self, note: impl Into<Arc<str>>) -> Self {
        let note = note.into();
        self.note = (!note.trim().is_empty()).then_some(note);
        self
    }

    /// Sets when the change was made. The default is the time of [`through`](Self::through).
    pub fn with_time(mut self, at: SystemTime) -> Self {
        self.at = at;
        self
    }

    /// The user who makes the change, if named.
    #[must_use]
    pub fn actor(&self) -> Option<&UserId> {
        self.actor.as_ref()
    }

    /// The moderators' note that says why.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The channel through which the change is made.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// When the change is made.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }
}

/// A change that is made now through this channel, by nobody in particular.
impl From<Channel> for ChangeRecord {
    fn from(channel: Channel) -> Self {
        Self::through(channel)
    }
}

/// The channel through which a restriction was changed, as a short name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel(Cow<'static, str>);

impl Channel {
    /// The endpoints of `AccountModerationLayer`.
    pub const ADMIN_ENDPOINT: Self = Self(Cow::Borrowed("admin-endpoint"));
    /// The server's own code.
    pub const SERVER: Self = Self(Cow::Borrowed("server"));
    /// A command line.
    pub const COMMAND_LINE: Self = Self(Cow::Borrowed("command-line"));
    /// An SQL statement by hand, or of a program that does not name its channel.
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
