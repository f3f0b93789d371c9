//! The routes, and what goes around them.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::Request,
    response::Response,
    routing::{MethodRouter, get, post, put},
};
use tower::{Layer, Service};
use tower_account_status::AccountStatusLayer;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::{
    error,
    handlers::{account, admin, events, media, misc, rooms, session, sync},
    homeserver::Homeserver,
};

/// The server as a service: the layer around the router.
pub(crate) fn app(
    homeserver: Arc<Homeserver>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    AccountStatusLayer::new(Arc::clone(&homeserver)).layer(router(homeserver))
}

pub(crate) fn router(homeserver: Arc<Homeserver>) -> Router {
    Router::new()
        .merge(client())
        .merge(rooms())
        .merge(media())
        .merge(administration())
        .route("/.well-known/matrix/client", get(misc::well_known))
        .route("/_matrix/client/versions", get(misc::versions))
        .route(
            "/_matrix/federation/v1/version",
            get(misc::federation_version),
        )
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(cors())
        .with_state(homeserver)
}

type Routes = Router<Arc<Homeserver>>;

fn client() -> Routes {
    let refresh = "/_matrix/client/v3/refresh";
    both([
        ("/login", get(session::login_flows).post(session::login)),
        ("/register", post(session::register)),
        ("/logout", post(session::logout)),
        ("/logout/all", post(session::logout_all)),
        ("/account/whoami", get(account::whoami)),
        ("/account/password", post(account::change_password)),
        ("/account/deactivate", post(account::deactivate)),
        ("/capabilities", get(account::capabilities)),
        ("/profile/{user}", get(account::profile)),
        (
            "/profile/{user}/{key}",
            get(account::profile_field).put(account::set_profile_field),
        ),
        ("/sync", get(sync::sync)),
    ])
    .route(refresh, post(session::refresh))
}

fn rooms() -> Routes {
    both([
        ("/createRoom", post(rooms::create)),
        ("/join/{room}", post(rooms::join)),
        ("/rooms/{room}/join", post(rooms::join)),
        ("/rooms/{room}/leave", post(rooms::leave)),
        ("/rooms/{room}/messages", get(events::messages)),
        ("/rooms/{room}/event/{event}", get(events::event)),
        ("/rooms/{room}/send/{type}/{txn}", put(events::send)),
        ("/rooms/{room}/redact/{event}/{txn}", put(events::redact)),
        (
            "/publicRooms",
            get(rooms::directory).post(rooms::search_directory),
        ),
    ])
}

/// Endpoints that have been the same since r0.
fn both<const N: usize>(endpoints: [(&str, MethodRouter<Arc<Homeserver>>); N]) -> Routes {
    endpoints
        .into_iter()
        .fold(Router::new(), |routes, (path, methods)| {
            routes
                .route(&format!("/_matrix/client/r0{path}"), methods.clone())
                .route(&format!("/_matrix/client/v3{path}"), methods)
        })
}

fn media() -> Routes {
    let mut routes = Router::new().route("/_matrix/client/v1/media/config", get(media::config));
    for name in ["", "/{file_name}"] {
        let file = format!("/{{server_name}}/{{media_id}}{name}");
        routes = routes
            .route(
                &format!("/_matrix/client/v1/media/download{file}"),
                get(media::download),
            )
            .route(
                &format!("/_matrix/media/v3/download{file}"),
                get(media::download_unauthenticated),
            )
            .route(
                &format!("/_matrix/media/r0/download{file}"),
                get(media::download_unauthenticated),
            );
    }
    routes
        .route("/_matrix/media/v3/upload", post(media::upload))
        .route("/_matrix/media/r0/upload", post(media::upload))
}

fn administration() -> Routes {
    Router::new()
        .route(
            "/_matrix/client/v1/admin/lock/{user}",
            get(admin::lock).put(admin::set_lock),
        )
        .route(
            "/_matrix/client/v1/admin/suspend/{user}",
            get(admin::suspend).put(admin::set_suspended),
        )
}

/// Web clients of any origin, as the specification recommends.
fn cors() -> CorsLayer {
    use axum::http::{Method, header};

    CorsLayer::new()
        .allow_origin(AllowOrigin::any())
        .allow_methods(AllowMethods::list([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ]))
        .allow_headers(AllowHeaders::list([
            header::HeaderName::from_static("x-requested-with"),
            header::CONTENT_TYPE,
            header::AUTHORIZATION,
        ]))
}
