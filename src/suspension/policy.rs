use std::{fmt, sync::Arc};

use http::Method;

use super::{
    path::{self, Fit, Part},
    reading::Readings,
};
use crate::{
    action::{Action, ActionSet},
    request::checked_path::may_be_path,
};

/// The actions that suspended accounts may do.
///
/// The default follows the specification's two lists of
/// [account suspension](https://spec.matrix.org/latest/client-server-api/#account-suspension).
/// One principle decides on every other action. An action that only reads, or that concerns only the
/// person's own security and exit, is permitted. An action that reaches other people or speaks in public is
/// refused. The purpose decides what a read is, not the method: searching and the directory of rooms are
/// `POST`s that read, and some `GET`s act.
///
/// One act has one verdict, whichever endpoint leads to it: a released one or the proposal before it, one of
/// this server or of another. Withdrawing, leaving or ending something of one's own is an act of its own. It
/// is permitted by default, unless the specification says otherwise.
///
/// ```
/// use tower_account_status::{Action, SuspensionPolicy};
///
/// let policy = SuspensionPolicy::new()
///     .permit(Action::SetPresence)
///     .refuse(Action::SearchUsers)
///     .add_appeal_room("!appeals:example.org");
/// assert!(policy.permits(Action::SetPresence));
/// assert!(!policy.permits(Action::SearchUsers));
/// ```
///
/// # What depends on more than the endpoint
///
/// - **State events** of type `m.room.member` are judged by their `membership`: `leave` with one's own state
///   key is [`LeaveRoom`](Action::LeaveRoom), with another's a
///   [`Kick`](Action::Kick) or [`Unban`](Action::Unban), and so on. A body that names several
///   memberships is all of these actions. One that names none is a [`SendState`](Action::SendState). The
///   state of one's own part in a call (MSC3401, MSC4143) with empty content is
///   [`LeaveCall`](Action::LeaveCall).
/// - **Redactions** are of one's own event or of somebody else's. If the sender of the event is not known,
///   [a setting](Self::with_unattributed_redactions) decides. Both ways are covered: `/redact`, and
///   `/send/m.room.redaction` with the event in `redacts`.
/// - **Messages** of all other types are one action, because all encrypted ones look alike. In a
///   [room for appeals](Self::add_appeal_room) they are permitted.
/// - **New rooms** are a [`CreateRoom`](Action::CreateRoom), and an [`Invite`](Action::Invite),
///   [`SetRoomAlias`](Action::SetRoomAlias) or [`PublishRoom`](Action::PublishRoom) as well if the
///   body says so.
/// - **Delayed events** (MSC4140) are judged when they are scheduled, as if they were sent at once. A request
///   that sends or restarts a scheduled event does not say which event that is, so it passes only if all
///   events pass. Cancelling one is [`CancelDelayedEvent`](Action::CancelDelayedEvent). A suspension cancels
///   no event by itself. A server that sends delayed events has to ask the guard when they fall due.
/// - **Account data** of the types `m.tag`, `m.push_rules` and `m.fully_read` is judged as the endpoints of
///   tags, push rules and read markers.
/// - **A server's administration** is one action for reads and one for all else, whatever its path:
///   `/_synapse/admin/`, `/_dendrite/admin/` and `/_matrix/media/{version}/admin/`.
///
/// A body that decides is refused if it has an `auth` other than `null`: a server that keeps the first body of
/// a session of user-interactive authentication would add to it what is not seen here.
///
/// A permitted request's side effects are not judged separately: `?set_presence=` of a sync, for
/// example, is part of the sync.
///
/// # Paths that can be read in two ways
///
/// Routers differ in what they decode before they compare. A path is permitted only if every reading is: the
/// fixed segments are in the path byte by byte, and the path is not a refused endpoint if its encoded
/// slashes are taken for slashes. A path that is no endpoint by that rule, such as one of a server's own API,
/// is an [`UnknownRead`](Action::UnknownRead) or, if its method may change something,
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
/// counts as `GET`. The table has every endpoint that the specification, Synapse and ruma know, stable or
/// not, and those that other servers and clients were seen to use. `tests/data/known-endpoints.tsv` in the
/// repository says who knows which, and why a few are left to the principle.
///
#[doc = include_str!("table.md")]
#[derive(Clone, Debug)]
pub struct SuspensionPolicy {
    permitted: ActionSet,
    endpoints: Vec<(Method, Arc<str>)>,
    appeal_rooms: Vec<Arc<str>>,
    unattributed: UnattributedRedactions,
}

/// The verdict on a redaction if it is not known whether the suspended person sent the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnattributedRedactions {
    /// It passes, and the handler decides. The handler has the event, and learns from the guard that the account
    /// is suspended. If the handler does not look, a suspended moderator can redact other people's events.
    ///
    /// The default, because MSC3823 wants one's own events to be redactable (it lists that among what should be
    /// permitted), and only recommends that redactions of others' are refused.
    #[default]
    Permit,
    /// It is refused, and so are redactions of one's own events.
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

    /// Permits an endpoint, whatever its action: one of your server's own, for example.
    ///
    /// `path` is the whole path without a query, compared byte by byte. A segment in braces matches
    /// any segment but an empty one; a request whose path has an encoded slash, a dot segment
    /// or a backslash in it, or an empty segment, is not taken for this endpoint.
    ///
    /// # Panics
    ///
    /// If no request could match: `path` does not begin with a slash, has a query, an empty segment, a dot
    /// segment, an encoded slash, dot or backslash, or braces around anything but a whole segment, or could
    /// not be in a URI; or
    /// `method` is `CONNECT`, which is judged as `GET`.
    ///
    /// ```
    /// # use tower_account_status::SuspensionPolicy;
    /// use http::Method;
    ///
    /// let policy = SuspensionPolicy::new()
    ///     .permit_endpoint(Method::POST, "/_matrix/client/v1/org.example.appeals/{case}");
    /// ```
    #[track_caller]
    #[must_use]
    pub fn permit_endpoint(mut self, method: Method, path: impl Into<Arc<str>>) -> Self {
        let path = path.into();
        assert_endpoint(&method, &path);
        self.endpoints.push((method, path));
        self
    }

    /// Lets suspended persons speak in a room, so that they can appeal to its moderators.
    ///
    /// There they may join, send message events of any type and show that they are typing. State events stay
    /// refused. Give the room by its id. Only requests that name it by its id pass, because an alias can be
    /// moved to another room.
    ///
    /// # Panics
    ///
    /// If `room_id` is no room's: it does not begin with `!`, or nothing follows.
    #[track_caller]
    #[must_use]
    pub fn add_appeal_room(mut self, room_id: impl Into<Arc<str>>) -> Self {
        let room_id = room_id.into();
        assert!(
            room_id.len() > 1 && room_id.starts_with('!'),
            "expected the id of a room, as in `!appeals:example.org`, got {room_id:?}"
        );
        self.appeal_rooms.push(room_id);
        self
    }

    /// Sets the verdict on a redaction if it is not known whether the event is one's own.
    #[must_use]
    pub fn with_unattributed_redactions(mut self, unattributed: UnattributedRedactions) -> Self {
        self.unattributed = unattributed;
        self
    }

    /// Whether an action is permitted. Rooms for appeals and single endpoints do not count.
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
            let parts = template.split('/').skip(1);
            of == method && path::fit(parts, sent) == Some(Fit::Exact)
        })
    }
}

/// Panics unless a request may be at an endpoint with this method and template.
#[track_caller]
fn assert_endpoint(method: &Method, template: &str) {
    assert!(
        *method != Method::CONNECT,
        "expected `GET` for {template:?}, because a `CONNECT` is judged as that"
    );
    let parameter = |part: &str| {
        let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        name.is_some_and(|name| !name.is_empty() && !name.contains(['{', '}']))
    };
    let parts = template.split('/').map(|part| match parameter(part) {
        true => "x",
        false => part,
    });
    let example = parts.collect::<Vec<_>>().join("/");
    let mut readings = Readings::new();
    assert!(
        may_be_path(&example)
            && readings.read(&example).is_some()
            && readings.others().next().is_none(),
        "expected the path of an endpoint that begins with a slash, has no query, has braces only around whole segments, \
         and can be read in one way only, got {template:?}"
    );
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
