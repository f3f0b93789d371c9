//! The body of a request. It is read at most once, and only if something depends on it.

use std::{
    future::{Future as _, poll_fn},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body;

use crate::{
    body::RequestBodies,
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

/// A body that was read to its end.
pub(crate) struct Collected {
    pub(crate) data: Bytes,
    pub(crate) trailers: Option<Box<HeaderMap>>,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    TooLarge,
    Failed,
    TimedOut,
}

/// More trailers than any client sends.
const MAX_TRAILERS: usize = 256;

/// After so many frames other tasks get a turn. A body may always have an empty frame at hand, and the time
/// limit must be checked meanwhile.
const FRAMES_AT_ONCE: u32 = 64;

/// Whether the head says that the body is encoded. Its bytes are then not the text that the server reads.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let all = headers.get_all(CONTENT_ENCODING).into_iter();
    let mut codings = all.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    codings.any(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    })
}

/// Reads a body that may have up to `limit` bytes and take up to `timeout`.
pub(crate) async fn read<B: Body>(
    body: B,
    limit: usize,
    timeout: Duration,
) -> Result<Collected, ReadError> {
    let mut collected = std::pin::pin!(collect(body, limit));
    // A body that is there already needs no clock and no timer.
    let at_once = poll_fn(|context| Poll::Ready(collected.as_mut().poll(context)));
    if let Poll::Ready(read) = at_once.await {
        return read;
    }
    let read = tokio::time::timeout(timeout, collected);
    read.await.unwrap_or(Err(ReadError::TimedOut))
}

async fn collect<B: Body>(body: B, limit: usize) -> Result<Collected, ReadError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(ReadError::TooLarge);
    }
    let mut body = std::pin::pin!(body);
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    let mut data = Gathered::new(expected.min(limit));
    let mut trailers: Option<Box<HeaderMap>> = None;
    let mut frames = 0_u32;
    let mut next_frame = |context: &mut Context<'_>| {
        if frames == FRAMES_AT_ONCE {
            frames = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        frames += 1;
        body.as_mut().poll_frame(context)
    };
    while let Some(frame) = poll_fn(&mut next_frame).await {
        let frame = frame.map_err(|_| ReadError::Failed)?;
        match frame.into_data() {
            Ok(chunk) => data.push(chunk, limit)?,
            Err(frame) => {
                if let Ok(more) = frame.into_trailers() {
                    let trailers = trailers.get_or_insert_default();
                    if trailers.len() + more.len() > MAX_TRAILERS {
                        return Err(ReadError::TooLarge);
                    }
                    trailers.extend(more);
                }
            }
        }
    }
    Ok(Collected {
        data: data.into_bytes(),
        trailers,
    })
}

/// The chunks of a body in one piece. A single chunk, the usual case, is not copied.
struct Gathered {
    first: Bytes,
    all: Vec<u8>,
    /// How many bytes there will be at least.
    expected: usize,
}

impl Gathered {
    /// `expected` is no more than the limit.
    fn new(expected: usize) -> Self {
        Self {
            first: Bytes::new(),
            all: Vec::new(),
            expected,
        }
    }

    fn push<D: bytes::Buf>(&mut self, mut chunk: D, limit: usize) -> Result<(), ReadError> {
        let len = chunk.remaining();
        let before = self.first.len() + self.all.len();
        if len > limit.saturating_sub(before) {
            return Err(ReadError::TooLarge);
        }
        if before == 0 {
            self.first = chunk.copy_to_bytes(len);
            return Ok(());
        }
        let needed = before + len;
        if needed > self.all.capacity() {
            // Twice as much as there is, and never more than there may be.
            let capacity = needed.saturating_mul(2).min(limit).max(self.expected);
            self.all.reserve_exact(capacity - self.all.len());
        }
        self.all.extend_from_slice(&self.first);
        self.first = Bytes::new();
        while chunk.has_remaining() {
            let piece = chunk.chunk();
            self.all.extend_from_slice(piece);
            let len = piece.len();
            chunk.advance(len);
        }
        Ok(())
    }

    fn into_bytes(self) -> Bytes {
        match self.all.is_empty() {
            true => self.first,
            false => self.all.into(),
        }
    }
}
