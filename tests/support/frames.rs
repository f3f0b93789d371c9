//! A body frame by frame: neither `Sync` nor `Clone`, and its error is no `std::error::Error`.

use std::{
    cell::Cell,
    collections::VecDeque,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// What a [`Frames`] fails with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

#[derive(Debug)]
enum End {
    Now,
    Broken,
    Never,
}

#[derive(Debug)]
pub(crate) struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    end: End,
    is_pending: bool,
    has_known_length: bool,
    not_sync: PhantomData<Cell<()>>,
}

impl Frames {
    /// These chunks of data; before each the body is pending once.
    pub(crate) fn new<C: Into<Bytes>>(chunks: impl IntoIterator<Item = C>) -> Self {
        let chunks = chunks.into_iter();
        Self {
            frames: chunks.map(|chunk| Frame::data(chunk.into())).collect(),
            end: End::Now,
            is_pending: true,
            has_known_length: true,
            not_sync: PhantomData,
        }
    }

    pub(crate) fn with_trailers(mut self, name: &'static str, value: &'static str) -> Self {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, value.try_into().expect("a header value"));
        self.frames.push_back(Frame::trailers(trailers));
        self
    }

    /// As a chunked body.
    pub(crate) fn of_unknown_length(mut self) -> Self {
        self.has_known_length = false;
        self
    }

    /// Fails after the last frame.
    pub(crate) fn then_broken(mut self) -> Self {
        self.end = End::Broken;
        self
    }

    /// Never ends after the last frame.
    pub(crate) fn then_nothing(mut self) -> Self {
        self.end = End::Never;
        self
    }
}

impl From<Bytes> for Frames {
    fn from(data: Bytes) -> Self {
        Self::new([data])
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if std::mem::replace(&mut self.is_pending, false) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.is_pending = true;
        match (self.frames.pop_front(), &self.end) {
            (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
            (None, End::Now) => Poll::Ready(None),
            (None, End::Broken) => Poll::Ready(Some(Err(Broken))),
            (None, End::Never) => {
                // Another poll finds it pending, too.
                self.is_pending = false;
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && matches!(self.end, End::Now)
    }

    /// Exact where the body ends by itself and its length is known.
    fn size_hint(&self) -> SizeHint {
        let len = self.frames.iter().filter_map(Frame::data_ref);
        let len = len.map(|data| data.len() as u64).sum();
        match self.end {
            End::Now if self.has_known_length => SizeHint::with_exact(len),
            End::Now | End::Broken | End::Never => SizeHint::default(),
        }
    }
}
