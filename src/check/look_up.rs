//! The store has to be awaited: which way is the cheapest.

use std::{pin::Pin, sync::Arc};

use http::{Request, header::AUTHORIZATION};
use http_body::Body;

use super::{
    ask::Said,
    awaited::{Begun, Check, HandOn, check_awaited},
    plain_look_up::look_up_plain,
};
use crate::{body::RequestBodies, shared::Shared, store::AccountStateStore};

/// Finds out whether a request passes, which `hand_on` then changes.
pub(crate) fn look_up<S, B, M>(
    shared: Arc<Shared<S>>,
    request: Request<B>,
    begun: Begun,
    hand_on: HandOn<S>,
) -> Pin<Box<dyn Check<M::Body>>>
where
    S: AccountStateStore,
    B: Body + Send + 'static,
    M: RequestBodies<B>,
    M::Body: Send + 'static,
{
    let rest = match begun.answers.and_then(|answers| answers.of(0)) {
        Some(Said::Await(rest)) if begun.has_plain_token && begun.found.is_none() => Some(rest),
        _ => None,
    };
    match (rest, request.headers().get(AUTHORIZATION).cloned()) {
        (Some(rest), Some(header)) => {
            look_up_plain::<_, _, M>(shared, request, begun, header, rest, hand_on)
        }
        _ => check_awaited::<_, _, M>(shared, request, begun, hand_on),
    }
}
