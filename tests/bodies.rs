//! Bodies are kept, or wrapped without a loss (rule 13).

mod support;

use std::{convert::Infallible, pin::pin, task::Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use support::{LOGIN, SYNC, TOKEN, bear, frames::Frames, layer, poll_once, store, store_with};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_account_status::{RequestBody, ResponseBody, RestrictionKind};

const LOCKED_LEN: u64 = 85;

/// Everything that can be learned from a body, in the order in which it comes.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Hint(u64, Option<u64>, bool),
    Pending,
    Data(Bytes),
    Trailers(HeaderMap),
    Broken,
    End,
}

fn events<B: Body<Data = Bytes>>(body: B) -> Vec<Event> {
    let mut body = pin!(body);
    let mut events = Vec::new();
    loop {
        let hint = body.size_hint();
        events.push(Event::Hint(
            hint.lower(),
            hint.upper(),
            body.is_end_stream(),
        ));
        let frame = match poll_once(pin!(body.frame())) {
            Poll::Pending => {
                events.push(Event::Pending);
                continue;
            }
            Poll::Ready(frame) => frame,
        };
        events.push(
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                None => Event::End,
                Some(Err(_)) => Event::Broken,
                Some(Ok(Ok(data))) => Event::Data(data),
                Some(Ok(Err(frame))) => Event::Trailers(frame.into_trailers().expect("trailers")),
            },
        );
        if matches!(events.last(), Some(Event::End | Event::Broken)) {
            return events;
        }
    }
}

fn bodies() -> [fn() -> Frames; 4] {
    [
        || Frames::new(["one", "", "two"]),
        || Frames::new(["one"]).with_trailers("x-sum", "1"),
        || Frames::new(["one"]).then_broken(),
        || Frames::new::<&str>([]),
    ]
}

fn put(body: Frames) -> Request<Frames> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::PUT;
    *request.uri_mut() = SYNC.parse().expect("a path");
    bear(&mut request, TOKEN);
    request
}

/// Answers with the body of the request.
async fn echo<B>(request: Request<B>) -> Result<Response<B>, Infallible> {
    Ok(Response::new(request.into_body()))
}

#[tokio::test]
async fn rule_13_kept_bodies_are_the_inner_services_own() {
    for body in bodies() {
        let service = layer(&store()).layer(service_fn(echo::<Frames>));
        let response: Response<Frames> = service.oneshot(put(body())).await.unwrap();
        assert_eq!(events(response.into_body()), events(body()));
    }
}

#[tokio::test]
async fn rule_13_wrapped_bodies_lose_nothing() {
    for body in bodies() {
        let service = layer(&store()).with_wrapped_bodies();
        let service = service.layer(service_fn(echo::<RequestBody<Frames>>));
        let response = service.oneshot(put(body())).await.unwrap();
        let echoed: ResponseBody<RequestBody<Frames>> = response.into_body();
        assert_eq!(events(echoed), events(body()));
    }
}

#[tokio::test]
async fn rule_13_either_side_may_be_wrapped_alone() {
    for body in bodies() {
        let requests = layer(&store()).with_wrapped_request_body();
        let unwrapping = |request: Request<RequestBody<Frames>>| async move {
            assert_eq!(request.uri(), SYNC);
            Ok::<_, Infallible>(Response::new(Frames::new(["own"])))
        };
        let response = requests.layer(service_fn(unwrapping)).oneshot(put(body()));
        let kept: Frames = response.await.unwrap().into_body();
        assert_eq!(events(kept), events(Frames::new(["own"])));

        let responses = layer(&store()).with_wrapped_response_body();
        let response = responses
            .layer(service_fn(echo::<Frames>))
            .oneshot(put(body()));
        let wrapped: ResponseBody<Frames> = response.await.unwrap().into_body();
        assert_eq!(events(wrapped), events(body()));
    }
}

async fn refusal<L, S, B>(layer: L, inner: S, method: Method) -> B
where
    L: Layer<S>,
    L::Service: Service<Request<Frames>, Response = Response<B>, Error = Infallible>,
{
    let mut request = put(Frames::new(["unread"]).then_nothing());
    *request.method_mut() = method;
    let Ok(response) = layer.layer(inner).oneshot(request).await;
    assert_eq!(response.status(), 401);
    response.into_body()
}

#[tokio::test]
async fn rule_3_a_refusals_body_knows_its_length_and_its_end_in_every_mode() {
    let layer = layer(&store_with(RestrictionKind::Locked));
    for method in [Method::GET, Method::HEAD] {
        let len = if method == Method::HEAD {
            0
        } else {
            LOCKED_LEN
        };
        let kept = layer.clone();
        let kept: Frames = refusal(kept, service_fn(echo::<Frames>), method.clone()).await;
        assert_eq!(kept.size_hint().exact(), Some(len));
        let wrapped = layer.clone().with_wrapped_bodies();
        let inner = service_fn(echo::<RequestBody<Frames>>);
        let wrapped: ResponseBody<RequestBody<Frames>> =
            refusal(wrapped, inner, method.clone()).await;
        assert_eq!(wrapped.size_hint().exact(), Some(len));
        assert_eq!(wrapped.is_end_stream(), method == Method::HEAD);
        let mut read = events(wrapped);
        assert_eq!(read.pop(), Some(Event::End));
        assert_eq!(read.pop(), Some(Event::Hint(0, Some(0), true)));
        let half = layer.clone().with_wrapped_response_body();
        let half: ResponseBody<Frames> =
            refusal(half, service_fn(echo::<Frames>), method.clone()).await;
        assert_eq!(half.size_hint().exact(), Some(len));
    }
}

#[tokio::test]
async fn rule_10_a_replayed_body_knows_its_length_trailers_and_end() {
    let service = layer(&store()).with_wrapped_bodies();
    let service = service.layer(service_fn(echo::<RequestBody<Frames>>));
    let echoed = service.oneshot(bobs_login()).await.unwrap().into_body();
    assert_eq!(events(echoed), replayed());
    #[cfg(feature = "axum")]
    {
        let service = layer(&store()).with_axum_bodies();
        let service = service.layer(service_fn(echo::<axum::body::Body>));
        let login = bobs_login().map(with_an_error);
        let echoed = service.oneshot(login).await.unwrap().into_body();
        assert_eq!(events(echoed), replayed());
    }
}

/// axum's body wants an error that is one.
#[cfg(feature = "axum")]
fn with_an_error(body: Frames) -> impl Body<Data = Bytes, Error = std::io::Error> {
    body.map_err(|support::frames::Broken| std::io::Error::other("broken"))
}

const BOBS_LOGIN: &str = r#"{"user":"bob"}"#;

fn bobs_login() -> Request<Frames> {
    let (start, end) = BOBS_LOGIN.split_at(3);
    let mut request = put(Frames::new([start, end]).with_trailers("x-sum", "1"));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = LOGIN.parse().unwrap();
    request
}

/// What the handler reads of it.
fn replayed() -> [Event; 6] {
    let len = BOBS_LOGIN.len() as u64;
    let trailers: HeaderMap = [("x-sum".parse().unwrap(), "1".parse().unwrap())]
        .into_iter()
        .collect();
    [
        Event::Hint(len, Some(len), false),
        Event::Data(BOBS_LOGIN.into()),
        Event::Hint(0, Some(0), false),
        Event::Trailers(trailers),
        Event::Hint(0, Some(0), true),
        Event::End,
    ]
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn rule_13_bodies_that_are_made_axums_lose_nothing() {
    for body in bodies() {
        let service = layer(&store()).with_axum_bodies();
        let service = service.layer(service_fn(echo::<axum::body::Body>));
        let request = put(body()).map(with_an_error);
        let echoed = service.oneshot(request).await.unwrap().into_body();
        assert_eq!(events(echoed), events(body()));
    }
    let service = layer(&store_with(RestrictionKind::Locked)).with_axum_bodies();
    let service = service.layer(service_fn(echo::<axum::body::Body>));
    let [body, ..] = bodies();
    let request = put(body()).map(with_an_error);
    let refused = service.oneshot(request).await.unwrap().into_body();
    assert_eq!(refused.size_hint().exact(), Some(LOCKED_LEN));
}

#[tokio::test]
async fn a_wrapped_body_is_empty_by_default() {
    for (is_end, hint) in [
        (
            RequestBody::<Frames>::default().is_end_stream(),
            RequestBody::<Frames>::default().size_hint(),
        ),
        (
            ResponseBody::<Frames>::default().is_end_stream(),
            ResponseBody::<Frames>::default().size_hint(),
        ),
    ] {
        assert!(is_end);
        assert_eq!(hint.exact(), Some(0));
    }
    assert_eq!(
        events(RequestBody::<Frames>::default()).last(),
        Some(&Event::End)
    );
}

#[tokio::test]
async fn rule_13_wrapped_bodies_may_be_of_any_type_kept_ones_of_any_that_is_made_from_bytes() {
    let locked = layer(&store_with(RestrictionKind::Locked));
    let boxed = service_fn(|request: Request<RequestBody<Empty<Bytes>>>| async move {
        let body: UnsyncBoxBody<Bytes, Infallible> = request.into_body().boxed_unsync();
        Ok::<_, Infallible>(Response::new(body))
    });
    let mut request = Request::new(Empty::<Bytes>::new());
    bear(&mut request, TOKEN);
    let service = locked.clone().with_wrapped_bodies().layer(boxed);
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.into_body().size_hint().exact(), Some(LOCKED_LEN));
    // Nor has a kept response body to be one.
    let bytes = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(vec![0_u8]))
    });
    let mut request = Request::new(Full::default());
    bear(&mut request, TOKEN);
    let response = locked.layer(bytes).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().len() as u64, LOCKED_LEN);
}
