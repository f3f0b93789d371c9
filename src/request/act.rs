//! What somebody wants to do.

use http::Method;

use crate::action::Action;

/// What an account is judged for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act<'a> {
    /// A request, by its method and the path that the rules go by.
    Request { method: &'a Method, path: &'a str },
    /// An action that the server's own code names.
    Action(Action),
}
