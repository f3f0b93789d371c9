//! Why a request does not reach the inner service.

use crate::account::RestrictionKind;

/// Why a request did not reach the inner service.
///
/// The answer is a Matrix error. On `/refresh` only the answer to a restriction is one; every other answer is
/// plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialCause {
    /// The account may not do this: 401 `M_USER_LOCKED`, 403 `M_USER_DEACTIVATED` or 403
    /// `M_USER_SUSPENDED`.
    Restricted(RestrictionKind),
    /// The store failed, panicked, or took too long: 503 `M_UNKNOWN`.
    StoreFailed,
    /// A guard was asked after its layer and all of the layer's services were gone: 503
    /// `M_UNKNOWN`.
    LayerGone,
    /// The request has more distinct credentials, or names more accounts, than are looked up, or its query has
    /// more readings of them than are read: 400 `M_INVALID_PARAM`.
    TooManyCredentials,
    /// The body that names an account is larger than the limit: 413 `M_TOO_LARGE`.
    BodyTooLarge,
    /// The body that names an account is not JSON: 400 `M_NOT_JSON`.
    BodyNotJson,
    /// The body that names an account has a `Content-Encoding`, so it cannot be read: 415 `M_UNKNOWN`.
    BodyEncoded,
    /// The body that names an account is JSON, and not an object: 400 `M_BAD_JSON`.
    BodyNotObject,
    /// The body names an account by something other than a string: 400 `M_BAD_JSON`.
    BodyBadJson,
    /// Some parser, or a server that merges bodies, may read the body that names an account differently:
    /// 400 `M_BAD_JSON`.
    BodyUnclear,
    /// The body failed while it was read: 400 `M_UNKNOWN`.
    BodyFailed,
    /// The body did not end within the time limit: 408 `M_UNKNOWN`.
    BodyTimedOut,
}
