//! Why a store gave no answer.

use std::{any::Any, error::Error, fmt, sync::Arc};

use super::causes::chain;
use crate::account::UserId;

/// Why a store gave no answer. Operators see it, clients never do. It must not hold a credential.
///
/// `?` makes it from any error that is [`Send`]. [`boxed`](Self::boxed) makes it from a type that is no
/// [`Error`] itself: `Box<dyn Error + Send + Sync>`, `anyhow::Error`. A clone shares the cause, so
/// that one failure can be told to all who wait for the same look-up.
///
/// ```
/// use tower_account_status::store::StoreError;
///
/// fn parse(column: &str) -> Result<u8, StoreError> {
///     Ok(column.parse::<u8>()?)
/// }
///
/// fn query() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     Err("no connection".into())
/// }
///
/// assert!(parse("x").is_err());
/// assert_eq!(query().map_err(StoreError::boxed).unwrap_err().to_string(), "no connection");
/// ```
///
/// # What is kept of the cause
///
/// It keeps the whole chain of [sources](Error::source), which both `Display` and `Debug` show. `?` does
/// not require an error to be [`Sync`], and so cannot lend it out. It keeps the texts of the chain, and
/// the errors themselves only of [`std::io::Error`] and of this crate. [`boxed`](Self::boxed) keeps any
/// error itself, so that [`downcast_ref`](Self::downcast_ref) finds it.
///
/// It implements no [`Error`], because `?` could then not convert every other error.
/// [`as_error`](Self::as_error) lends the cause out as one.
#[derive(Clone)]
pub struct StoreError(Arc<Inner>);

struct Inner {
    cause: Arc<dyn Error + Send + Sync>,
    account: Option<UserId>,
}

impl StoreError {
    /// A failure that consists of a text.
    pub fn msg(text: impl fmt::Display) -> Self {
        Self::boxed(text.to_string())
    }

    /// Keeps `error` itself, with its type and its sources.
    pub fn boxed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::new(Inner {
            cause: error.into().into(),
            account: None,
        }))
    }

    /// Names the account whose state could not be looked up, unless one is named already.
    #[must_use]
    pub fn with_account(self, user: &str) -> Self {
        if self.0.account.is_some() {
            return self;
        }
        Self(Arc::new(Inner {
            cause: Arc::clone(&self.0.cause),
            account: Some(user.into()),
        }))
    }

    /// The account whose state could not be looked up, if the owner of the credential was found.
    #[must_use]
    pub fn account(&self) -> Option<&UserId> {
        self.0.account.as_ref()
    }

    /// The cause, which has its own as [`source`](Error::source).
    #[must_use]
    pub fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0.cause
    }

    /// The first error of type `E` in the chain of causes.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        let mut cause: &(dyn Error + 'static) = self.as_error();
        loop {
            match cause.downcast_ref() {
                Some(found) => return Some(found),
                None => cause = cause.source()?,
            }
        }
    }
}

impl<E: Error + Send + 'static> From<E> for StoreError {
    fn from(error: E) -> Self {
        let mut error = Some(error);
        if let Some(known) = known(&mut error) {
            return Self::boxed(known);
        }
        let error = error.as_ref().map(|error| error as &dyn Error);
        Self::boxed(Text::of(error.unwrap_or(&fmt::Error)))
    }
}

/// The error itself, where its type is known to be one that can be lent out.
fn known(error: &mut dyn Any) -> Option<Box<dyn Error + Send + Sync>> {
    fn take<E: Error + Send + Sync + 'static>(
        error: &mut dyn Any,
    ) -> Option<Box<dyn Error + Send + Sync>> {
        Some(Box::new(error.downcast_mut::<Option<E>>()?.take()?))
    }
    let known = take::<std::io::Error>(error);
    #[cfg(feature = "cache")]
    let known = known.or_else(|| take::<super::CachedStoreError>(error));
    #[cfg(feature = "sqlite")]
    let known = known.or_else(|| take::<super::sqlite::SqliteStoreError>(error));
    #[cfg(feature = "postgres")]
    let known = known.or_else(|| take::<super::postgres::PostgresStoreError>(error));
    known
}

/// An error of which the texts are left: its own, and those of its sources.
struct Text {
    text: String,
    source: Option<Box<Text>>,
}

impl Text {
    fn of(error: &dyn Error) -> Self {
        Self {
            text: error.to_string(),
            source: error.source().map(|source| Box::new(Self::of(source))),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Error for Text {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_deref()?)
    }
}

/// The account if it is known, the cause, and the cause's causes.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(account) = self.account() {
            write!(f, "the state of {account}: ")?;
        }
        f.write_str(&chain(self.as_error()))
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("account", &self.0.account)
            .field("cause", &self.0.cause)
            .field("text", &format_args!("{self}"))
            .finish()
    }
}

/// The same, for code that expects an [`Error`]; the cause is its source.
impl From<StoreError> for Box<dyn Error + Send + Sync> {
    fn from(error: StoreError) -> Self {
        Box::new(AsError(error))
    }
}

struct AsError(StoreError);

impl fmt::Display for AsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for AsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Error for AsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_error())
    }
}

/// Tells that old entries of a log of changes could not be deleted. No caller waits for that, so a
/// role without the right to delete would keep everything in silence.
#[cfg(all(feature = "tracing", any(feature = "sqlite", feature = "postgres")))]
pub(crate) fn tell_unpruned(error: &(dyn Error + 'static)) {
    let error = chain(error);
    tracing::warn!(error, "old entries of the log of changes were not deleted");
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, error::Error, fmt, io};

    use super::StoreError;

    /// An error that is not `Sync`, as those of some database drivers are.
    #[derive(Debug)]
    struct NotSync(Cell<u8>, io::Error);

    impl fmt::Display for NotSync {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "query {} failed", self.0.get())
        }
    }

    impl Error for NotSync {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn an_error_that_is_not_sync_keeps_its_causes_as_text() {
        fn fails() -> Result<(), StoreError> {
            Err(NotSync(Cell::new(7), io::Error::other("disk on fire")))?;
            Ok(())
        }
        let error = fails().unwrap_err().clone().with_account("@alice:x");
        let text = "the state of @alice:x: query 7 failed: disk on fire";
        assert_eq!(error.to_string(), text);
        assert!(format!("{error:?}").contains("disk on fire"), "{error:?}");
        let source = error.as_error().source().expect("the cause has one");
        assert_eq!(source.to_string(), "disk on fire");
        assert_eq!(error.account().expect("named"), "@alice:x");
    }

    #[test]
    fn what_is_kept_itself_can_be_found_by_its_type() {
        let error = StoreError::from(io::Error::new(io::ErrorKind::TimedOut, "late"));
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::TimedOut));
        let boxed: Box<dyn Error + Send + Sync> = Box::new(fmt::Error);
        let error = StoreError::boxed(boxed);
        assert!(error.downcast_ref::<fmt::Error>().is_some());
        let outer: Box<dyn Error + Send + Sync> = error.into();
        let source = outer.source().expect("the cause");
        assert!(source.is::<fmt::Error>());
    }

    #[test]
    fn a_source_that_the_text_ends_with_is_said_once() {
        let inner = StoreError::msg("no connection");
        let boxed: Box<dyn Error + Send + Sync> = inner.into();
        assert_eq!(StoreError::boxed(boxed).to_string(), "no connection");
        // Nor are several.
        let inner = StoreError::from(NotSync(Cell::new(7), io::Error::other("disk on fire")));
        let boxed: Box<dyn Error + Send + Sync> = inner.into();
        let text = "query 7 failed: disk on fire";
        assert_eq!(StoreError::boxed(boxed).to_string(), text);
    }
}
