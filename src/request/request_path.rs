//! Where the path is that the client asked for.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{Extensions, Uri};

use super::checked_path::assert_prefix;
use crate::panics::unless_it_panics;

type OriginalUri = Arc<dyn for<'a> Fn(&'a Extensions) -> Option<&'a Uri> + Send + Sync>;

/// Where a layer finds the path that the client asked for. Every rule uses that path.
///
/// The default, [`as_sent`](Self::as_sent), is right for a layer around a whole router. A layer
/// inside a nested router, which strips its prefix, and a server below a prefix need this setting.
/// Without it the layer refuses logout too.
///
/// ```
/// use axum::extract::OriginalUri;
/// use tower_account_status::{AccountStatusLayer, MemoryStore, RequestPath};
///
/// let nested = AccountStatusLayer::new(MemoryStore::new()).with_request_path(
///     RequestPath::original_uri(|extensions| extensions.get::<OriginalUri>().map(|uri| &uri.0)),
/// );
/// let nested = AccountStatusLayer::new(MemoryStore::new())
///     .with_request_path(RequestPath::nested_at("/_matrix/client/v3"));
/// ```
#[derive(Clone, Default)]
pub struct RequestPath(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    AsSent,
    OriginalUri(OriginalUri),
    NestedAt(Box<str>),
    Below(Box<str>),
}

impl RequestPath {
    /// The path of the request's own URI. The default.
    #[must_use]
    pub fn as_sent() -> Self {
        Self::default()
    }

    /// The path of a URI in the request's extensions, such as axum's `OriginalUri`. Where
    /// `find` returns nothing, the request's own URI counts.
    ///
    /// If `find` panics, the account's state counts as unavailable
    /// ([`StoreFailure`](crate::StoreFailure)); what passes whatever the state still passes, by
    /// the request's own URI.
    #[must_use]
    pub fn original_uri<F>(find: F) -> Self
    where
        F: for<'a> Fn(&'a Extensions) -> Option<&'a Uri> + Send + Sync + 'static,
    {
        Self(Source::OriginalUri(Arc::new(find)))
    }

    /// The path behind `mount`, such as `/_matrix/client/v3`, which a router around the layer has
    /// stripped. A request that is at `/` there is at `mount` itself.
    ///
    /// If the mount has a parameter, as in `/_matrix/client/{version}`, use
    /// [`original_uri`](Self::original_uri).
    ///
    /// # Panics
    ///
    /// If `mount` does not begin with a slash, ends with one, has a query or braces, or could not be
    /// in a URI: no request has such a path.
    #[track_caller]
    #[must_use]
    pub fn nested_at(mount: impl Into<Box<str>>) -> Self {
        let mount = mount.into();
        assert_prefix("a mount", &mount);
        Self(Source::NestedAt(mount))
    }

    /// The path without `prefix`, below which the server lives, such as `/homeserver` in
    /// `/homeserver/_matrix/client/v3/logout`, and which nobody has stripped. A path that does
    /// not begin with it counts as it is.
    ///
    /// # Panics
    ///
    /// If `prefix` does not begin with a slash, ends with one, has a query or braces, or could not be
    /// in a URI: no request has such a path.
    #[track_caller]
    #[must_use]
    pub fn below(prefix: impl Into<Box<str>>) -> Self {
        let prefix = prefix.into();
        assert_prefix("a prefix", &prefix);
        Self(Source::Below(prefix))
    }

    /// The path of a request with this URI and these extensions.
    pub(crate) fn of<'a>(&self, uri: &'a Uri, extensions: &'a Extensions) -> FoundPath<'a> {
        let sent = uri.path();
        let path = match &self.0 {
            Source::AsSent => Cow::Borrowed(sent),
            Source::OriginalUri(find) => match unless_it_panics(|| find(extensions)) {
                Ok(original) => Cow::Borrowed(original.unwrap_or(uri).path()),
                Err(_) => {
                    // Without a log the panic hook has told it.
                    #[cfg(feature = "tracing")]
                    tracing::error!("the function that finds the original URI panicked");
                    return FoundPath {
                        path: Cow::Borrowed(sent),
                        is_known: false,
                    };
                }
            },
            // Routers hand on a slash where they have stripped all.
            Source::NestedAt(mount) if sent == "/" => Cow::Owned(mount.to_string()),
            // What has no path, as `OPTIONS *`, was not routed by it.
            Source::NestedAt(mount) if sent.starts_with('/') => {
                Cow::Owned(format!("{mount}{sent}"))
            }
            Source::NestedAt(_) => Cow::Borrowed(sent),
            Source::Below(prefix) => {
                let rest = sent.strip_prefix(&**prefix);
                let rest = rest.filter(|rest| rest.starts_with('/'));
                Cow::Borrowed(rest.unwrap_or(sent))
            }
        };
        FoundPath {
            path,
            is_known: true,
        }
    }

    /// Whether that may end otherwise than the path of the URI.
    pub(crate) fn may_end_otherwise(&self) -> bool {
        matches!(self.0, Source::OriginalUri(_))
    }

    /// Whether that is anything but the path of the URI.
    pub(crate) fn is_another(&self) -> bool {
        !matches!(self.0, Source::AsSent)
    }
}

/// The path that the rules use.
pub(crate) struct FoundPath<'a> {
    pub(crate) path: Cow<'a, str>,
    /// Whether the user's function said so. It may have panicked, and then this is the path of
    /// the request's own URI.
    pub(crate) is_known: bool,
}

/// A path that has been found, kept while its request moves: it is not found a second time.
pub(crate) enum KeptPath {
    /// The end of the path of the request's own URI, from this byte on.
    EndOfSent(usize),
    Another(String),
}

impl KeptPath {
    pub(crate) fn new(found: Cow<'_, str>, uri: &Uri) -> Self {
        let sent = uri.path();
        if std::ptr::eq(&*found, sent) {
            return Self::EndOfSent(0);
        }
        match sent.len().checked_sub(found.len()) {
            Some(start) if sent.as_bytes()[start..] == *found.as_bytes() => Self::EndOfSent(start),
            _ => Self::Another(found.into_owned()),
        }
    }

    pub(crate) fn of<'a>(&'a self, uri: &'a Uri) -> &'a str {
        match self {
            Self::EndOfSent(start) => uri.path().get(*start..).unwrap_or_default(),
            Self::Another(path) => path,
        }
    }
}

impl fmt::Debug for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::AsSent => f.write_str("AsSent"),
            Source::OriginalUri(_) => f.write_str("OriginalUri"),
            Source::NestedAt(mount) => f.debug_tuple("NestedAt").field(mount).finish(),
            Source::Below(prefix) => f.debug_tuple("Below").field(prefix).finish(),
        }
    }
}
