//! Every endpoint of the Client-Server API, asked with a locked account's token (rules 5 and 6).
//!
//! `tests/data/cs-endpoints.tsv` lists them: method, path, whether the endpoint authenticates by
//! access token, and the paths of the same endpoint under `r0`.

mod support;

use axum::{Router, body::Body};
use http::{Method, Request, header::AUTHORIZATION};
use http_body_util::BodyExt;
use support::{LOGOUT, TOKEN, call, layer, locked, passed, store, store_with};
use tower_account_status::RestrictionKind;

const TABLE: &str = include_str!("data/cs-endpoints.tsv");

struct Endpoint {
    method: Method,
    paths: Vec<&'static str>,
    auth: &'static str,
}

fn endpoints() -> Vec<Endpoint> {
    let rows = TABLE.lines().skip(1).filter(|line| !line.is_empty());
    rows.map(|line| {
        let [method, path, auth, r0] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not four columns: {line}");
        };
        assert!(["none", "optional", "required"].contains(&auth), "{line}");
        Endpoint {
            method: method.parse().expect(line),
            paths: std::iter::once(path)
                .chain(r0.split(',').filter(|path| *path != "-"))
                .collect(),
            auth,
        }
    })
    .collect()
}

/// Puts something for every parameter of a path.
fn filled(template: &str, value: &str) -> String {
    let mut path = String::new();
    for (place, piece) in template.split(['{', '}']).enumerate() {
        path.push_str(if place % 2 == 0 { piece } else { value });
    }
    path
}

fn router(store: &std::sync::Arc<tower_account_status::MemoryStore>) -> Router {
    Router::new()
        .fallback(|| async { support::HANDLED })
        .layer(layer(store))
}

fn request(method: &Method, path: &str, in_query: bool) -> Request<Body> {
    let mut request = Request::builder().method(method);
    request = match in_query {
        true => request.uri(format!("{path}?access_token={TOKEN}")),
        false => request
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {TOKEN}")),
    };
    request.body(Body::from("{}")).expect(path)
}

/// What a locked account reaches: the two logouts, the well-known files, and the endpoints where
/// the specification authenticates nobody by access token, whose stray tokens do not count.
fn passes(method: &Method, template: &str) -> bool {
    let Some(rest) = template
        .strip_prefix("/_matrix/client/v3/")
        .or_else(|| template.strip_prefix("/_matrix/client/r0/"))
    else {
        return template.starts_with("/.well-known/")
            || matches!(
                template,
                "/_matrix/client/v1/auth_metadata"
                    | "/_matrix/client/v1/register/m.login.registration_token/validity"
            );
    };
    matches!(
        (method.as_str(), rest),
        ("POST", "logout" | "logout/all")
            | ("GET" | "POST", "login")
            | ("GET", "login/sso/redirect" | "login/sso/redirect/{idpId}")
            | ("POST", "refresh" | "register")
            | ("GET", "register/available")
    ) || (method == Method::POST && rest.ends_with("/requestToken"))
}

#[tokio::test]
async fn rule_6_every_endpoint_refuses_a_locked_account_but_for_the_allow_list() {
    let app = router(&store_with(RestrictionKind::Locked));
    let (mut refused, mut let_through) = (0, 0);
    for endpoint in endpoints() {
        for template in &endpoint.paths {
            for value in ["x", "%21room%3Alocalhost", "@a:b.c", "logout", "a.b+c"] {
                for in_query in [false, true] {
                    let path = filled(template, value);
                    let request = request(&endpoint.method, &path, in_query);
                    let answer = call(app.clone(), request).await;
                    let what = format!("{} {path} (query: {in_query})", endpoint.method);
                    if passes(&endpoint.method, template) {
                        assert_eq!(answer.verdict(), passed(), "{what}");
                        let_through += 1;
                    } else {
                        assert_eq!(answer.verdict(), locked(), "{what}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 2000, "the table is whole: {refused}");
    assert!(let_through > 200, "the table is whole: {let_through}");
}

#[tokio::test]
async fn rule_6_what_takes_a_token_refuses_it_but_for_logging_out() {
    for endpoint in endpoints()
        .iter()
        .filter(|endpoint| endpoint.auth != "none")
    {
        for template in &endpoint.paths {
            let is_logout = template.ends_with("/logout") || template.ends_with("/logout/all");
            assert_eq!(passes(&endpoint.method, template), is_logout, "{template}");
        }
    }
}

#[tokio::test]
async fn rule_9_an_active_account_and_strangers_reach_every_endpoint() {
    let app = router(&store());
    for endpoint in endpoints() {
        for template in &endpoint.paths {
            let path = filled(template, "x");
            let known = request(&endpoint.method, &path, false);
            let mut anonymous = request(&endpoint.method, &path, false);
            anonymous.headers_mut().clear();
            for request in [known, anonymous] {
                let answer = call(app.clone(), request).await;
                assert_eq!(answer.verdict(), passed(), "{} {path}", endpoint.method);
            }
        }
    }
}

#[tokio::test]
async fn rule_6_whatever_is_no_endpoint_at_all_is_refused_too() {
    let app = router(&store_with(RestrictionKind::Locked));
    for path in [
        "/",
        "/_matrix",
        "/_matrix/",
        "/_matrix/client",
        "/_matrix/client/",
        "/_matrix/client/v4/sync",
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
        "/_matrix/federation",
        "/_matrix/federation/v1/publicRooms",
        "/_matrix/media/v1/create",
        "/_synapse/admin/v2/users",
        "/_tuwunel/server_version",
        "/anything/else",
        // A locked client may as little log out by another name …
        "/_matrix/client/v1/logout",
        "/_matrix/client/unstable/logout",
        "/logout",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let answer = call(app.clone(), request(&method, path, false)).await;
            assert_eq!(answer.verdict(), locked(), "{method} {path}");
        }
    }
    // … as by another method, known or not.
    for method in ["GET", "PUT", "PATCH", "QUERY", "PROPFIND", "post"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = call(app.clone(), request(&method, LOGOUT, false)).await;
        assert_eq!(answer.verdict(), locked(), "{method}");
    }
}

/// The specification has no access token there. Some servers take one.
#[tokio::test]
async fn rule_6_a_token_counts_on_the_other_matrix_apis() {
    let store = store_with(RestrictionKind::Locked);
    let app = router(&store);
    for path in [
        "/_matrix/federation/v1/version",
        "/_matrix/federation/v1/media/download/abc",
        "/_matrix/federation/v1/openid/userinfo?access_token=openid",
        "/_matrix/key/v2/server",
        "/_matrix/app/v1/ping",
        "/_matrix/identity/v2/account",
        "/_matrix/push/v1/notify",
        "/_matrix/policy/v1/sign",
    ] {
        let refused = request(&Method::GET, path, false);
        assert_eq!(
            call(app.clone(), refused).await.verdict(),
            locked(),
            "{path}"
        );
        let mut signed = request(&Method::GET, path, false);
        let value = "X-Matrix origin=\"a\",key=\"ed25519:a\",sig=\"b\"";
        let value = value.parse().expect("a header");
        signed.headers_mut().insert(AUTHORIZATION, value);
        assert_eq!(
            call(app.clone(), signed).await.verdict(),
            passed(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn rule_10_a_body_the_layer_has_not_read_reaches_the_handler() {
    let app = Router::new()
        .fallback(|body: Body| async { body.collect().await.unwrap().to_bytes() })
        .layer(layer(&store()));
    for endpoint in endpoints() {
        let path = filled(endpoint.paths[0], "x");
        if endpoint.method != Method::GET {
            let answer = call(app.clone(), request(&endpoint.method, &path, false)).await;
            assert_eq!(answer.body, "{}", "{} {path}", endpoint.method);
        }
    }
}
