//! Where the path is that the client asked for.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{Extensions, Uri};

type OriginalUri = Arc<dyn for<'a> Fn(&'a Extensions) -> Option<&'a Uri> + Send + Sync>;

/// What a layer has to know to find that path: in front of nested routers, and behind whatever
/// prefix the server lives under.
#[derive(Clone, Default)]
pub(crate) struct PathSource {
    pub(crate) original_uri: Option<OriginalUri>,
    pub(crate) nested_at: Option<Box<str>>,
    pub(crate) prefix: Option<Box<str>>,
}

impl PathSource {
    /// The path of a request with this URI and these extensions.
    pub(crate) fn of<'a>(&self, uri: &'a Uri, extensions: &'a Extensions) -> Cow<'a, str> {
        let original = self.original_uri.as_ref().and_then(|find| find(extensions));
        let mut path = original.unwrap_or(uri).path();
        if let (None, Some(mount)) = (original, &self.nested_at) {
            return Cow::Owned(format!("{mount}{path}"));
        }
        if let Some(prefix) = &self.prefix {
            path = path
                .strip_prefix(&**prefix)
                .filter(|rest| rest.starts_with('/'))
                .unwrap_or(path);
        }
        Cow::Borrowed(path)
    }

    /// Whether that is anything but the path of the URI.
    pub(crate) fn rewrites(&self) -> bool {
        self.original_uri.is_some() || self.nested_at.is_some() || self.prefix.is_some()
    }
}

impl fmt::Debug for PathSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathSource")
            .field("original_uri", &self.original_uri.is_some())
            .field("nested_at", &self.nested_at)
            .field("prefix", &self.prefix)
            .finish()
    }
}
