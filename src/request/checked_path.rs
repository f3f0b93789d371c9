//! Paths that a setting names.

use http::uri::PathAndQuery;

/// Whether some request may have this path. Braces are none of it: clients encode them, and whoever
/// writes them in a setting means a parameter.
pub(crate) fn may_be_path(path: &str) -> bool {
    let parsed = || path.parse::<PathAndQuery>().ok();
    path.starts_with('/')
        && !path.contains(['{', '}'])
        && parsed().is_some_and(|parsed| parsed.query().is_none() && parsed.path() == path)
}

/// Panics unless some request may have `path`, which is `what`.
#[track_caller]
pub(crate) fn assert_path(what: &str, path: &str) {
    assert!(
        may_be_path(path),
        "expected {what} that begins with a slash, has no query and no braces, and is otherwise as it is in a URI, got {path:?}"
    );
}

/// The same of a path before others, which does not end with a slash.
#[track_caller]
pub(crate) fn assert_prefix(what: &str, prefix: &str) {
    assert_path(what, prefix);
    assert!(
        !prefix.ends_with('/'),
        "expected {what} that does not end with a slash, got {prefix:?}"
    );
}
