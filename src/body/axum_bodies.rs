//! axum's body on both sides of the layer, whatever body types its neighbours have.

use axum_core::{BoxError, body::Body as AxumBody};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;

use super::{Replay, RequestBodies, RequestBody, RequestState, ResponseBodies, sealed};

/// Bodies of any type are made axum's.
#[derive(Clone, Copy, Debug, Default)]
pub struct AxumBodies(());

impl sealed::Sealed for AxumBodies {}

#[diagnostic::do_not_recommend]
impl<B> RequestBodies<B> for AxumBodies
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = AxumBody;

    /// A body that is axum's already is not boxed again.
    #[inline]
    fn keep(body: B) -> AxumBody {
        AxumBody::new(body)
    }

    fn replay(data: Bytes, trailers: Option<Box<HeaderMap>>) -> AxumBody {
        match trailers {
            None => data.into(),
            Some(_) => AxumBody::new(RequestBody::<AxumBody> {
                state: RequestState::Replayed {
                    replay: Replay { data, trailers },
                },
            }),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<B> ResponseBodies<B> for AxumBodies
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = AxumBody;

    #[inline]
    fn keep(body: B) -> AxumBody {
        AxumBody::new(body)
    }

    fn refuse(data: Bytes) -> AxumBody {
        data.into()
    }
}
