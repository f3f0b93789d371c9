//! The layer as a hoop.
//!
//! Salvo's own bridge to tower (`TowerLayerCompat`) passes every answer through the layer as a
//! stream of unknown length: it removes `Content-Length`, and empties Salvo's error pages. Here a
//! handler's answer stays in Salvo's `Response`, and the layer is told its status. Nothing is queued
//! and no task is spawned: the hoop itself calls the service that the layer makes.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use salvo::{
    Depot, FlowCtrl, Handler, Request, Response, async_trait,
    http::{ReqBody, ResBody, request},
    hyper,
};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_account_status::{AccountStateStore, AccountStatusLayer};

/// The layer as a hoop of a Salvo `Router` or `Service`.
///
/// On the `Service` it covers paths without a route, too. It belongs inside the CORS hoop. A hoop
/// that reads the body may be outside it.
#[derive(Debug)]
pub struct AccountStatusHoop<S>(pub AccountStatusLayer<S>);

#[async_trait]
impl<S: AccountStateStore> Handler for AccountStatusHoop<S> {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        flow: &mut FlowCtrl,
    ) {
        let to_check = copy(request).await;
        // What the hoops around this one have set, such as CORS headers.
        let headers = response.headers().clone();
        let answer = {
            let rest = Rest(Arc::new(Mutex::new(Some(Chain {
                request,
                depot,
                response,
                flow,
            }))));
            self.0.layer(rest).oneshot(to_check).await
        };
        let Ok(answer) = answer;
        if answer.extensions().get::<Passed>().is_some() {
            return;
        }
        flow.skip_rest();
        // A request that waited may already have a part of an answer.
        response.set_headers(headers);
        let (refusal, body) = answer.into_parts();
        response.status_code = Some(refusal.status);
        for (name, value) in &refusal.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response.extensions.extend(refusal.extensions);
        response.body(body);
    }
}

/// The request for the layer. Salvo's keeps everything but its body, so that the hoops around see
/// a refused request whole.
async fn copy(request: &mut Request) -> hyper::Request<ReqBody> {
    let body = match request.body().is_none() {
        false => request.take_body(),
        // A hoop has read it. The handler gets the same bytes.
        true => match request.payload().await {
            Ok(payload) => ReqBody::Once(payload.clone()),
            Err(_) => ReqBody::None,
        },
    };
    let mut copy = hyper::Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

/// In the extensions of [`Rest`]'s answer: the handler's answer is in Salvo's `Response`.
#[derive(Clone)]
struct Passed;

/// The hoops and the handler inside this hoop, as the inner service of the layer.
#[derive(Clone)]
struct Rest<'a>(Arc<Mutex<Option<Chain<'a>>>>);

struct Chain<'a> {
    request: &'a mut Request,
    depot: &'a mut Depot,
    response: &'a mut Response,
    flow: &'a mut FlowCtrl,
}

impl Chain<'_> {
    async fn run(self, checked: hyper::Request<ReqBody>) -> hyper::Response<ResBody> {
        let (parts, body) = checked.into_parts();
        let request::Parts { extensions, .. } = parts;
        *self.request.extensions_mut() = extensions;
        self.request.replace_body(body);
        self.flow
            .call_next(self.request, self.depot, self.response)
            .await;
        let mut answer = hyper::Response::new(ResBody::None);
        // The layer tells the store of a logout that succeeded.
        if let Some(status) = self.response.status_code {
            *answer.status_mut() = status;
        }
        answer.extensions_mut().insert(Passed);
        answer
    }
}

impl<'a> Service<hyper::Request<ReqBody>> for Rest<'a> {
    type Response = hyper::Response<ResBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send + 'a>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<ReqBody>) -> Self::Future {
        let chain = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            match chain {
                Some(chain) => Ok(chain.run(request).await),
                None => unreachable!("the layer calls its inner service once"),
            }
        })
    }
}
