use std::fmt;

/// A lent token. Its `Debug` output shows only that there is one, and there is no `Display`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(&'a [u8]);

impl<'a> Secret<'a> {
    /// The token's bytes, exactly as they were sent (percent-decoded if they came in a query).
    #[must_use]
    #[inline]
    pub fn expose(&self) -> &'a [u8] {
        self.0
    }

    /// The token as text, if it is UTF-8. No server issues a token that is not, so such a token is unknown
    /// to every store.
    #[must_use]
    pub fn expose_str(&self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }
}

impl<'a> From<&'a [u8]> for Secret<'a> {
    #[inline]
    fn from(token: &'a [u8]) -> Self {
        Self(token)
    }
}

impl<'a> From<&'a str> for Secret<'a> {
    #[inline]
    fn from(token: &'a str) -> Self {
        Self(token.as_bytes())
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
