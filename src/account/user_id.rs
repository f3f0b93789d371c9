use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

/// The name of an account, such as `@alice:example.org`.
///
/// Any string can be made a `UserId`. Nothing is checked, because servers differ in what they accept: the
/// specification's [historical grammar] alone allows nearly everything. Two are compared byte by byte. A
/// clone shares the string.
///
/// [historical grammar]: https://spec.matrix.org/latest/appendices/#historical-user-ids
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Takes the name as it is.
    #[must_use]
    pub fn new(user: impl Into<Arc<str>>) -> Self {
        Self(user.into())
    }

    /// Takes a name that begins with `@` as it is, and any other name as the localpart of an account of
    /// `server_name`, as most servers do at a login. Nothing is folded.
    ///
    /// ```
    /// use tower_account_status::UserId;
    ///
    /// assert_eq!(UserId::local("alice", "example.org"), "@alice:example.org");
    /// assert_eq!(UserId::local("@bob:example.com", "example.org"), "@bob:example.com");
    /// ```
    #[must_use]
    pub fn local(name: &str, server_name: &str) -> Self {
        match name.starts_with('@') {
            true => Self(name.into()),
            false => Self(format!("@{name}:{server_name}").into()),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part between the leading `@` and the first `:`, if the name has that form.
    #[must_use]
    pub fn localpart(&self) -> Option<&str> {
        Some(self.0.strip_prefix('@')?.split_once(':')?.0)
    }

    /// The part after the first `:`, if the name begins with `@` and has one.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        Some(self.0.strip_prefix('@')?.split_once(':')?.1)
    }
}

impl Deref for UserId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// From any type that can be read as text: `&str`, `String`, the ids of ruma.
///
/// So a `UserId` itself is no `AsRef<str>`, but it dereferences to `str`. This copies the text of an
/// `Arc<str>`; [`UserId::new`] shares it.
impl<U: AsRef<str>> From<U> for UserId {
    fn from(user: U) -> Self {
        Self(user.as_ref().into())
    }
}

impl PartialEq<str> for UserId {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for UserId {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::UserId;

    #[test]
    fn parts_of_a_user_id() {
        let user = UserId::from("@a/b:example.org:8448");
        assert_eq!(user.localpart(), Some("a/b"));
        assert_eq!(user.server_name(), Some("example.org:8448"));
    }

    #[test]
    fn a_name_of_another_form_has_no_parts() {
        for odd in ["", "alice", "@alice", "alice:example.org"] {
            assert_eq!(UserId::from(odd).localpart(), None, "{odd}");
            assert_eq!(UserId::from(odd).server_name(), None, "{odd}");
        }
    }
}
