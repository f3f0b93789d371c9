//! The body of a request. It is read at most once, and only if something depends on it.

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE, request::Parts};
use http_body::Body;

use crate::{
    body::{Collected, ReadError, RequestBodies, is_encoded, read},
    denial::{Denial, DenialCause},
    request::named_account::BodyError,
    settings::Settings,
};

/// A body during the check.
pub(super) enum Held<B> {
    Untouched(B),
    Read(Collected),
    /// It failed, was too large, or did not arrive in time.
    Lost,
}

impl<B> Held<B> {
    /// Whether it has been read and cannot be handed on.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost)
    }
}

impl<B: Body> Held<B> {
    /// The body's bytes, read now unless they have been before. `None` if a layer that only reports could
    /// not hand it on afterwards.
    pub(super) async fn read(
        &mut self,
        headers: &HeaderMap,
        settings: &Settings,
    ) -> Result<Option<&Bytes>, Denial> {
        if let Self::Untouched(body) = self {
            let size = body.size_hint().exact();
            if size != Some(0) && is_encoded(headers) {
                return Err(denial(settings, DenialCause::BodyEncoded));
            }
            // A request that is only reported must pass afterwards with its whole body.
            if settings.report_only {
                match size {
                    None => return Ok(None),
                    Some(size) if size > settings.body_limit as u64 => {
                        return Err(denial(settings, DenialCause::BodyTooLarge));
                    }
                    Some(_) => {}
                }
            }
            if let Self::Untouched(body) = std::mem::replace(self, Self::Lost) {
                let read = read(body, settings.body_limit, settings.body_timeout).await;
                *self = Self::Read(read.map_err(|error| denial(settings, error.into()))?);
            }
        }
        match self {
            Self::Read(collected) => Ok(Some(&collected.data)),
            Self::Untouched(_) | Self::Lost => Err(denial(settings, DenialCause::BodyFailed)),
        }
    }

    /// The body for the inner service, unless it is lost.
    pub(super) fn into_body<M: RequestBodies<B>>(self) -> Option<M::Body> {
        match self {
            Self::Untouched(body) => Some(M::keep(body)),
            Self::Read(Collected { data, trailers }) => Some(M::replay(data, trailers)),
            Self::Lost => None,
        }
    }
}

fn denial(settings: &Settings, cause: DenialCause) -> Denial {
    Denial::from_cause(cause).with_cors(settings.cors_headers)
}

impl From<ReadError> for DenialCause {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooLarge => Self::BodyTooLarge,
            ReadError::Failed => Self::BodyFailed,
            ReadError::TimedOut => Self::BodyTimedOut,
        }
    }
}

impl From<BodyError> for DenialCause {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::NotJson => Self::BodyNotJson,
            BodyError::NotObject => Self::BodyNotObject,
            BodyError::BadJson => Self::BodyBadJson,
            BodyError::Unclear => Self::BodyUnclear,
            BodyError::TooMany => Self::TooManyCredentials,
        }
    }
}

/// Whether the body is declared to be a form and no parser takes it for JSON.
pub(super) fn is_form(parts: &Parts, data: &[u8]) -> bool {
    let says_so = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let value = value.trim_start().to_ascii_lowercase();
            value.starts_with("application/x-www-form-urlencoded")
                || value.starts_with("multipart/form-data")
        });
    says_so && !data.iter().any(|byte| matches!(byte, b'{' | b'[' | 0))
}
