//! A name or a token, as a body has it.

use std::sync::Arc;

use crate::request::json::Text;

/// Lent from the body where nothing in it is escaped. A copy of it is never a copy of the text:
/// what one body names together may be as long as the body, and is combined in several ways.
#[derive(Clone)]
pub(crate) enum Name<'b> {
    Lent(&'b str),
    /// With the room that it was written in, so that it is not copied once more.
    Unescaped(Arc<String>),
}

impl<'b> Name<'b> {
    pub(super) const EMPTY: Self = Self::Lent("");

    /// `None` if it is no text.
    pub(super) fn read(text: Text<'b>) -> Option<Self> {
        match text.plain() {
            Some(plain) => Some(Self::Lent(plain)),
            None => text.unescaped().map(|text| Self::Unescaped(Arc::new(text))),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Lent(text) => text,
            Self::Unescaped(text) => text,
        }
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name<'_> {}
