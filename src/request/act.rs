//! What somebody wants to do.

use http::Method;

use crate::action::Action;

/// What an account is judged for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act<'a> {
    /// A request, by its method and the path that the rules use.
    Request { method: &'a Method, path: &'a str },
    /// An action that the server's own code names.
    Action(Action),
    /// An event that the server's own code sends in someone's name.
    Event(Event<'a>),
}

/// An event that is to be sent in someone's name, without a request to judge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'a> {
    pub(crate) room_id: &'a str,
    pub(crate) event_type: &'a str,
    /// `None` for a message event.
    pub(crate) state_key: Option<&'a str>,
    /// A JSON object. That of a redaction has the event's id in `redacts`.
    pub(crate) content: &'a [u8],
}
