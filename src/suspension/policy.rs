use std::{fmt, sync::Arc};

use http::Method;

use super::path::{self, Fit, Part};
use crate::action::{Action, ActionSet};

/// What suspended accounts may do.
///
/// The default follows the specification's two lists of
/// [account suspension](https://spec.matrix.org/latest/client-server-api/#account-suspension).
/// What neither names is decided by one principle: what only reads, or concerns only the person's
/// own security and exit, is permitted; what reaches other people or speaks in public is refused.
/// Purpose and not method decides what a read is: searching and the directory of rooms are `POST`s
/// that read, and there are `GET`s that act.
///
/// One act has one verdict, whichever endpoint it goes by: a release and the proposal that came
/// before it, an endpoint of one server and that of another. To take back, to leave or to end
/// something of one's own is an act of its own, and permitted by default where the specification
/// does not say otherwise.
///
/// ```
/// use tower_account_status::{Action, SuspensionPolicy};
///
/// let policy = SuspensionPolicy::new()
///     .permit(Action::SetPresence)
///     .refuse(Action::SearchUsers)
///     .with_appeal_room("!appeals:example.org");
/// assert!(policy.permits(Action::SetPresence));
/// assert!(!policy.permits(Action::SearchUsers));
/// ```
///
/// # What depends on more than the endpoint
///
/// - **State events** of type `m.room.member` are what their `membership` makes them: `leave` with
///   one's own state key is [`LeaveRoom`](Action::LeaveRoom), with another's a
///   [`Kick`](Action::Kick) or [`Unban`](Action::Unban), and so on. A body that names several
///   memberships is all of them; one that names none is a [`SendState`](Action::SendState). The
///   state of one's own part in a call (MSC3401, MSC4143) with empty content is
///   [`LeaveCall`](Action::LeaveCall).
/// - **Redactions** are one's own or somebody else's. Where it cannot be learned whose the event is,
///   [a setting](Self::with_unattributed_redactions) decides. Both ways are covered: `/redact`, and
///   `/send/m.room.redaction` with the event in `redacts`.
/// - **Messages** of all other types are one action, since encrypted ones all look alike. In a
///   [room for appeals](Self::with_appeal_room) they are permitted.
/// - **New rooms** are a [`CreateRoom`](Action::CreateRoom), and an [`Invite`](Action::Invite),
///   [`SetRoomAlias`](Action::SetRoomAlias) or [`PublishRoom`](Action::PublishRoom) as well if the
///   body says so.
/// - **Delayed events** (MSC4140) are, when they are scheduled, what they would be if they were sent
///   at once. To send one that is scheduled, or to restart it, may be any event, because the request
///   does not say which: it passes where all events do. To cancel one is
///   [`CancelDelayedEvent`](Action::CancelDelayedEvent). A suspension cancels nothing by itself: a
///   server that sends delayed events asks the guard when they fall due.
/// - **Account data** of the types `m.tag`, `m.push_rules` and `m.fully_read` is what the endpoints
///   for tags, push rules and read markers set.
/// - **A server's administration** is one action for reads and one for all else, whatever its path:
///   `/_synapse/admin/`, `/_dendrite/admin/` and `/_matrix/media/{version}/admin/`.
///
/// A permitted request's side effects are not judged separately: `?set_presence=` of a sync, for
/// example, is part of the sync.
///
/// # Paths that can be read in two ways
///
/// Routers differ in what they decode before they compare. What is permitted is permitted under
/// every reading: its fixed segments are in the path byte by byte, and the path with its
/// encoded slashes taken for slashes is not a refused endpoint. A path that is no endpoint by that
/// rule, one of a server's own API for example, is
/// an [`UnknownRead`](Action::UnknownRead) or, if its method may change something,
/// [`Unknown`](Action::Unknown); that includes the path that a layer inside a nested router sees,
/// from which the router has taken the prefix: tell the layer where the whole path is. With a dot
/// segment or a backslash in it, encoded or not, a path could be any endpoint: it is `Unknown`,
/// whatever the policy says of that, unless its method is `GET` and none of the reads that are
/// refused has its words in the path.
///
/// # Endpoint by endpoint
///
/// The paths follow `/_matrix/client/{version}/`, unless they begin with a slash. A version is
/// `r0`, `v1`, `v2` and so on, `unstable`, `unstable/{feature}`, `api/v1` or `v2_alpha`. `HEAD`
/// counts as `GET`. In the table is what the specification, Synapse and ruma know, stable or not,
/// and what other servers and clients were seen to use; `tests/data/known-endpoints.tsv` in the
/// repository says who knows what, and why a few are left to the principle.
///
#[doc = include_str!("table.md")]
#[derive(Clone, Debug)]
pub struct SuspensionPolicy {
    permitted: ActionSet,
    endpoints: Vec<(Method, Arc<str>)>,
    appeal_rooms: Vec<Arc<str>>,
    unattributed: UnattributedRedactions,
}

/// What becomes of a redaction when it is not known whether the event is the suspended person's
/// own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnattributedRedactions {
    /// It passes, and the handler is left to decide: it has the event at hand, and learns from the
    /// guard that the sender is suspended.
    #[default]
    Permit,
    /// It is refused, and with it the redaction of one's own events.
    Refuse,
}

impl SuspensionPolicy {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self {
            permitted: ActionSet::DEFAULT,
            endpoints: Vec::new(),
            appeal_rooms: Vec::new(),
            unattributed: UnattributedRedactions::default(),
        }
    }

    /// Permits an action.
    #[must_use]
    pub fn permit(mut self, action: Action) -> Self {
        self.permitted = self.permitted.with(action);
        self
    }

    /// Refuses an action.
    #[must_use]
    pub fn refuse(mut self, action: Action) -> Self {
        self.permitted = self.permitted.without(action);
        self
    }

    /// Permits an endpoint, whatever action it is: one of your server's own, for example.
    ///
    /// `path` is the whole path without a query, compared byte by byte. A segment in braces matches
    /// any segment but an empty one; a request whose path has an encoded slash, a dot segment
    /// or a backslash in it, or an empty segment, is not taken for this endpoint.
    ///
    /// ```
    /// # use tower_account_status::SuspensionPolicy;
    /// use http::Method;
    ///
    /// let policy = SuspensionPolicy::new()
    ///     .permit_endpoint(Method::POST, "/_matrix/client/v1/org.example.appeals/{case}");
    /// ```
    #[must_use]
    pub fn permit_endpoint(mut self, method: Method, path: impl Into<Arc<str>>) -> Self {
        self.endpoints.push((method, path.into()));
        self
    }

    /// Lets suspended persons speak in a room, so that they can appeal to its moderators.
    ///
    /// There they may join, send message events of any type and show that they are typing; state
    /// events stay refused. The room is given by its id, not by an alias, and only requests that name
    /// it by that are let through: an alias can be moved to another room.
    #[must_use]
    pub fn with_appeal_room(mut self, room_id: impl Into<Arc<str>>) -> Self {
        self.appeal_rooms.push(room_id.into());
        self
    }

    /// What becomes of a redaction when it is not known whether the event is one's own.
    #[must_use]
    pub fn with_unattributed_redactions(mut self, unattributed: UnattributedRedactions) -> Self {
        self.unattributed = unattributed;
        self
    }

    /// Whether an action is permitted, rooms for appeals and single endpoints apart.
    #[must_use]
    pub fn permits(&self, action: Action) -> bool {
        self.permitted.contains(action)
    }

    pub(super) fn unattributed(&self) -> UnattributedRedactions {
        self.unattributed
    }

    /// Whether the room is one for appeals.
    pub(super) fn is_appeal_room<'p>(&self, room: impl Fn() -> Part<'p>) -> bool {
        self.appeal_rooms.iter().any(|appeal| room().is(appeal))
    }

    /// Whether it is one of the single endpoints, of a path that cannot be read in another way.
    pub(super) fn permits_endpoint(&self, method: &Method, sent: &[&str]) -> bool {
        self.endpoints.iter().any(|(of, template)| {
            let template = template.strip_prefix('/').unwrap_or(template);
            of == method && path::fit(template.split('/'), sent) == Some(Fit::Exact)
        })
    }
}

impl Default for SuspensionPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for UnattributedRedactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permit => "permit",
            Self::Refuse => "refuse",
        })
    }
}
