//! Paths that a setting names.

use http::uri::PathAndQuery;

use super::path::is_plain;

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

/// What is wrong with a prefix that is to be excluded, if anything is. The gateway's command line asks, too.
#[doc(hidden)]
pub fn check_excluded_prefix(prefix: &str) -> Result<(), String> {
    let segments = prefix.strip_prefix('/').unwrap_or_default();
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    // Below `/x/..` there is everything.
    match may_be_path(prefix) && !segments.is_empty() && is_plain(segments) {
        true => Ok(()),
        false => Err(format!(
            "expected an excluded prefix that begins with a slash and is more than that, has no query, no braces, \
             and no dot segment or empty segment, and is otherwise as it is in a URI, got {prefix:?}"
        )),
    }
}
