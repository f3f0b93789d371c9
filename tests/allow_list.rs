//! What passes whatever the account's state, and from where (rules 5 and 6).

mod support;

use std::sync::Arc;

use axum::{Router, extract::OriginalUri, routing::any};
use http::Method;
use support::{
    HANDLED, LOGOUT, SYNC, alices, ask, call, layer, locked, passed,
    scripted::{Script, ScriptedStore},
    store_with, unavailable, verdict,
};
use tower_account_status::{
    AccountStatusLayer, MemoryStore, RequestPath, RestrictionKind, SuspensionPolicy,
};

fn layer_of_locked() -> AccountStatusLayer<Arc<MemoryStore>> {
    layer(&store_with(RestrictionKind::Locked))
}

async fn passes(layer: &AccountStatusLayer<Arc<MemoryStore>>, method: Method, uri: &str) -> bool {
    let verdict = ask(layer, alices(method.clone(), uri)).await.verdict();
    if verdict == passed() {
        return true;
    }
    let refused = verdict == locked() || (method == Method::HEAD && verdict.0 == 401);
    assert!(refused, "{method} {uri}: {verdict:?}");
    false
}

#[tokio::test]
async fn rule_5_logout_is_let_through_by_its_exact_path_and_method() {
    let layer = layer_of_locked();
    for version in ["r0", "v3"] {
        for end in ["logout", "logout/all"] {
            let path = format!("/_matrix/client/{version}/{end}");
            assert!(passes(&layer, Method::POST, &path).await, "{path}");
            for query in ["?", "?x=/", "?access_token=syt_alice_secret", "?/../"] {
                let uri = format!("{path}{query}");
                assert!(passes(&layer, Method::POST, &uri).await, "{uri}");
            }
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
                assert!(
                    !passes(&layer, method.clone(), &path).await,
                    "{method} {path}"
                );
            }
            for odd in [
                "/", "//", "/.", "/..", "/x", ";x", "%20", "%00", ".json", "%2f", "%3f",
            ] {
                let path = format!("{path}{odd}");
                assert!(!passes(&layer, Method::POST, &path).await, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn rule_5_no_other_spelling_of_logout_passes() {
    let layer = layer_of_locked();
    for path in [
        "/_matrix/client/v1/logout",
        "/_matrix/client/v3/Logout",
        "/_matrix/client/V3/logout",
        "/_matrix/client/v3//logout",
        "//_matrix/client/v3/logout",
        "/_matrix/client/v3/./logout",
        "/_matrix/client/v3/sync/../logout",
        "/_matrix/client/v3/%6cogout",
        "/_matrix/client/v3/%256cogout",
        "/_matrix%2fclient/v3/logout",
        "/_matrix/client/v3/logout/all/devices",
        "/_matrix/client/v3/logout/%61ll",
        "/_matrix/client/v3/logout/../sync",
        "/x/_matrix/client/v3/logout",
        "/client/v3/logout",
        "/logout",
    ] {
        assert!(!passes(&layer, Method::POST, path).await, "{path}");
    }
}

#[tokio::test]
async fn rule_5_the_absolute_form_of_a_uri_has_the_same_path() {
    let layer = layer_of_locked();
    for authority in ["http://localhost", "https://example.org:8448"] {
        assert!(passes(&layer, Method::POST, &format!("{authority}{LOGOUT}")).await);
        assert!(!passes(&layer, Method::POST, &format!("{authority}{SYNC}")).await);
        assert!(!passes(&layer, Method::GET, authority).await);
    }
    // Not the authority, and not what a proxy may be told by it.
    assert!(
        !passes(
            &layer,
            Method::POST,
            "http://x/?http://localhost/_matrix/client/v3/logout"
        )
        .await
    );
    assert!(!passes(&layer, Method::GET, "*").await);
    assert!(passes(&layer, Method::OPTIONS, "*").await);
}

/// Some server trims or drops these, and resolves the dots that are left.
#[tokio::test]
async fn rule_6_what_nobody_sees_around_dots_leads_out_of_no_prefix() {
    let layer = layer_of_locked().add_excluded_prefix("/app");
    for invisible in [
        "\u{a0}",
        "\u{85}",
        "\u{9b}",
        "\u{ad}",
        "\u{34f}",
        "\u{61c}",
        "\u{1680}",
        "\u{180e}",
        "\u{2003}",
        "\u{200b}",
        "\u{200d}",
        "\u{200e}",
        "\u{2028}",
        "\u{202e}",
        "\u{202f}",
        "\u{205f}",
        "\u{2060}",
        "\u{2066}",
        "\u{3000}",
        "\u{3164}",
        "\u{fe0f}",
        "\u{feff}",
        "\u{ffa0}",
        "\u{fff9}",
        "\u{fffd}",
        "\u{1d173}",
        "\u{e0001}",
        "\u{e0100}",
        " ",
    ] {
        let sent: String = invisible
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        for segment in [
            "..{}", "{}..", ".{}.", "{}.{}.{}", ".{}", "{}", "{};x", "..{};x",
        ] {
            let segment = segment.replace("{}", &sent);
            for path in [
                format!("/app/{segment}/x"),
                format!("/app/a/{segment}"),
                format!("/.well-known/{segment}/x"),
                format!("/_matrix/client/v3/login/sso/redirect/{segment}"),
            ] {
                assert!(!passes(&layer, Method::GET, &path).await, "{path}");
            }
        }
        // In a name they are part of it.
        let path = format!("/app/{}/b", format_args!("a{sent}..{sent}b"));
        assert!(passes(&layer, Method::GET, &path).await, "{path}");
    }
    for dots in [
        "\u{3002}\u{ff61}",
        "\u{ff0e}\u{ff0e}",
        ".\u{2024}",
        "\u{fe52}.",
        "\u{2025}",
    ] {
        let sent: String = dots.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for segment in [&sent[..], dots] {
            let path = format!("/app/{segment}/x");
            assert!(!passes(&layer, Method::GET, &path).await, "{path}");
        }
    }
}

#[tokio::test]
async fn rule_5_an_exemption_is_exact() {
    let path = "/_matrix/client/v3/account/whoami";
    let layer = layer_of_locked().add_exempt(Method::GET, path);
    assert!(passes(&layer, Method::GET, path).await);
    assert!(passes(&layer, Method::GET, &format!("{path}?x")).await);
    assert!(!passes(&layer, Method::POST, path).await);
    assert!(!passes(&layer, Method::HEAD, path).await);
    assert!(!passes(&layer, Method::GET, &format!("{path}/")).await);
    assert!(!passes(&layer, Method::GET, "/_matrix/client/v3/account/%77hoami").await);
    assert!(passes(&layer, Method::POST, LOGOUT).await, "it adds");
}

#[tokio::test]
async fn rule_5_versions_are_refused_unless_exempted() {
    let path = "/_matrix/client/versions";
    let layer = layer_of_locked();
    assert!(!passes(&layer, Method::GET, path).await);
    let exempting = layer.with_exempt_versions();
    assert!(passes(&exempting, Method::GET, path).await);
    assert!(!passes(&exempting, Method::POST, path).await);
    assert!(!passes(&exempting, Method::GET, "/_matrix/client/versions/").await);
    assert!(!passes(&exempting, Method::GET, SYNC).await);
}

#[tokio::test]
async fn rule_6_an_excluded_prefix_ends_where_a_segment_ends() {
    let layer = layer_of_locked()
        .add_excluded_prefix("/oauth2")
        .add_excluded_prefix("/admin/panel/");
    for path in [
        "/oauth2",
        "/oauth2/token",
        "/oauth2/a/b.c",
        "/admin/panel/",
        "/admin/panel/x",
    ] {
        assert!(passes(&layer, Method::GET, path).await, "{path}");
    }
    for path in [
        "/oauth2x",
        "/oauth",
        "/admin/panel",
        "/OAuth2/token",
        "/oauth2/../_matrix/client/v3/sync",
        "/oauth2/%2e%2e/_matrix/client/v3/sync",
        "/oauth2/%252e%252e/_matrix/client/v3/sync",
        "/oauth2/..%2f_matrix/client/v3/sync",
        "/oauth2/..%5c_matrix/client/v3/sync",
        "/oauth2/..;/_matrix/client/v3/sync",
        "/oauth2//_matrix/client/v3/sync",
        "/oauth2/./token",
        "/oauth2/%c0%ae%c0%ae/_matrix/client/v3/sync",
        "/oauth2/x%c0%af..",
        "/oauth2/%e0%80%ae%e0%80%ae/_matrix/client/v3/sync",
        "/oauth2/%u002e%u002e/_matrix/client/v3/sync",
        "/oauth2/%ef%bc%8e%ef%bc%8e/_matrix/client/v3/sync",
        "/oauth2/..%20/_matrix/client/v3/sync",
        "/oauth2/..%23/_matrix/client/v3/sync",
        "/x/oauth2/token",
        "//oauth2/token",
        "/.well-known/../_matrix/client/v3/sync",
        "/.well-known/%2E./_matrix/client/v3/sync",
        "/_matrix/federation/v1/version",
    ] {
        assert!(!passes(&layer, Method::GET, path).await, "{path}");
    }
}

#[test]
fn rule_6_a_prefix_that_would_exclude_everything_is_a_mistake() {
    for prefix in ["", "/", "oauth2", "*", "https://localhost/oauth2"] {
        let exclude = || AccountStatusLayer::new(MemoryStore::new()).add_excluded_prefix(prefix);
        let panic = std::panic::catch_unwind(exclude).expect_err(prefix);
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(
            message.contains("begins with a slash"),
            "{prefix}: {message}"
        );
    }
}

/// What would never match is told when it is set.
#[test]
fn rule_5_a_place_or_an_exemption_that_never_matches_is_a_mistake() {
    let layer = || AccountStatusLayer::new(MemoryStore::new());
    let exempt = |path: &'static str| drop(layer().add_exempt(Method::POST, path));
    let excluded = |path: &'static str| drop(layer().add_excluded_prefix(path));
    let nested = |path: &'static str| drop(RequestPath::nested_at(path));
    let below = |path: &'static str| drop(RequestPath::below(path));
    let permitted =
        |path: &'static str| drop(SuspensionPolicy::new().permit_endpoint(Method::POST, path));
    // What no request has for its path, or has in braces.
    const NO_PATHS: [&str; 16] = [
        "",
        "x",
        "*",
        "https://localhost/x",
        "/x?y=z",
        "/x?",
        "/x#y",
        "/a b",
        "/a<b",
        "/a>b",
        "/a`b",
        "/a\n",
        "/a\t",
        "/a\0",
        "/a/{b",
        "/a/b}",
    ];
    type Set<'a> = &'a dyn Fn(&'static str);
    let sets: [(Set<'_>, &[&str]); 5] = [
        (&exempt, &["/rooms/{roomId}"]),
        (
            &excluded,
            &[
                "/",
                "/_matrix/client/{version}",
                "//",
                "/a//b",
                "/a//",
                "/a/../b",
                "/x/..",
                "/x/%2e%2e/",
                "/.",
                "/a\\b",
                "/a%5c..",
            ],
        ),
        (&nested, &["/", "/a/", "/_matrix/client/{version}"]),
        (&below, &["/", "/hs/", "/{tenant}"]),
        // A path that can be read in two ways is never permitted by itself.
        (
            &permitted,
            &[
                "/",
                "/a/",
                "/a//b",
                "/a/../b",
                "/a/.",
                "/a\\b",
                "/a/b%2Fc",
                "/a/%2e%2e",
                "/a%5cb",
                "/a%c0%afb",
                "/a%u002fb",
                "/a/{b}c",
                "/a/{b}{c}",
                "/a/x{b}",
                "/a/{}",
                "/a/{{b}}",
            ],
        ),
    ];
    for (set, mistakes) in sets {
        for mistake in NO_PATHS.iter().chain(mistakes) {
            let set = std::panic::AssertUnwindSafe(|| set(mistake));
            let panic = std::panic::catch_unwind(set).expect_err(mistake);
            let message = panic.downcast_ref::<String>().expect("a message");
            assert!(message.contains(&format!("{mistake:?}")), "{message}");
        }
    }
    let connect = || SuspensionPolicy::new().permit_endpoint(Method::CONNECT, "/ws");
    std::panic::catch_unwind(connect).expect_err("it is judged as GET");
    // These do match.
    let odd = "/a%20b/!r:hs/(x)/ü/~'\"|^";
    for set in sets.map(|(set, _)| set) {
        set(odd);
    }
    exempt("/a/../b\\c//");
    excluded("/oauth2/");
    permitted("/a/{b}/c%20d/{e}");
}

#[test]
fn rule_22_a_room_for_appeals_that_is_no_room_is_a_mistake() {
    for mistake in ["", "!", "room", "#alias:localhost", "@alice:localhost"] {
        let add = || SuspensionPolicy::new().add_appeal_room(mistake);
        let panic = std::panic::catch_unwind(add).expect_err(mistake);
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains(&format!("{mistake:?}")), "{message}");
    }
    for room in ["!appeals:localhost", "!withoutaserver"] {
        drop(SuspensionPolicy::new().add_appeal_room(room));
    }
}

#[tokio::test]
async fn rule_6_inside_a_nested_router_a_layer_enforces_and_is_told_where_logout_is() {
    let inner = || Router::new().route("/{*rest}", any(|| async { HANDLED }));
    let plain = layer_of_locked();
    let by_extension = plain
        .clone()
        .with_request_path(RequestPath::original_uri(|extensions| {
            extensions.get::<OriginalUri>().map(|uri| &uri.0)
        }));
    let by_mount = plain
        .clone()
        .with_request_path(RequestPath::nested_at("/_matrix/client/v3"));
    let nest = |router| Router::new().nest("/_matrix/client/v3", router);
    let nest_twice = |router| {
        let inner = Router::new().nest("/v3", router);
        Router::new().nest("/_matrix/client", inner)
    };
    let told_nothing = nest(inner().layer(plain.clone()));
    for (name, app, lets_logout_pass) in [
        ("told nothing", told_nothing, false),
        (
            "by extension",
            nest(inner().layer(by_extension.clone())),
            true,
        ),
        (
            "by extension, deep",
            nest_twice(inner().layer(by_extension.clone())),
            true,
        ),
        ("by mount", nest(inner().layer(by_mount.clone())), true),
        ("by mount, deep", nest_twice(inner().layer(by_mount)), true),
        ("around it", nest(inner()).layer(plain.clone()), true),
        ("around it, deep", nest_twice(inner()).layer(plain), true),
        (
            "by extension, around it",
            nest(inner()).layer(by_extension),
            true,
        ),
    ] {
        for (path, passes) in [
            (LOGOUT, lets_logout_pass),
            (SYNC, false),
            ("/_matrix/client/v3/logout/", false),
            ("/_matrix/client/v3/sync/logout", false),
        ] {
            let request = alices(Method::POST, path).map(axum::body::Body::new);
            let verdict = call(app.clone(), request).await.verdict();
            let expected = if passes { passed() } else { locked() };
            assert_eq!(verdict, expected, "{name}: {path}");
        }
    }
}

/// axum's `nest` hands on `/` for the mount itself.
#[tokio::test]
async fn rule_6_a_layer_nested_at_logout_itself_lets_it_pass() {
    let told = || layer_of_locked().with_request_path(RequestPath::nested_at(LOGOUT));
    let handle = || any(|| async { HANDLED });
    let routes = Router::new().route("/", handle()).route("/all", handle());
    let nested = Router::new().nest(LOGOUT, routes.layer(told()));
    let service = Router::new().nest_service(LOGOUT, tower::Layer::layer(&told(), handle()));
    let all = &format!("{LOGOUT}/all");
    for (app, path, expected) in [
        (&nested, LOGOUT, passed()),
        (&nested, all, passed()),
        // A nested service is reached by this, and sees no difference.
        (&nested, &format!("{LOGOUT}/"), verdict(404, "")),
        (&service, &format!("{LOGOUT}/"), passed()),
        (&service, LOGOUT, passed()),
        (&service, &format!("{LOGOUT}/x"), locked()),
    ] {
        let request = alices(Method::POST, path).map(axum::body::Body::new);
        assert_eq!(
            call(app.clone(), request).await.verdict(),
            expected,
            "{path}"
        );
    }
}

#[tokio::test]
async fn rule_6_a_mount_point_does_not_turn_other_paths_into_logout() {
    let layer = layer_of_locked().with_request_path(RequestPath::nested_at("/_matrix/client/v3"));
    assert!(passes(&layer, Method::POST, "/logout").await);
    assert!(
        !passes(&layer, Method::POST, LOGOUT).await,
        "it would be nested twice"
    );
    assert!(!passes(&layer, Method::POST, "/logout/").await);
}

#[tokio::test]
async fn rule_6_a_server_may_live_below_a_prefix() {
    let layer = layer_of_locked().with_request_path(RequestPath::below("/homeserver"));
    for (path, expected) in [
        ("/homeserver/_matrix/client/v3/logout", true),
        ("/_matrix/client/v3/logout", true),
        ("/homeserver/.well-known/matrix/client", true),
        ("/homeserver/homeserver/_matrix/client/v3/logout", false),
        ("/homeserverx/_matrix/client/v3/logout", false),
        ("/homeserver_matrix/client/v3/logout", false),
        ("/homeserver//_matrix/client/v3/logout", false),
        ("/homeserver/_matrix/client/v3/sync", false),
        ("/homeserver", false),
    ] {
        assert_eq!(passes(&layer, Method::POST, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn rules_5_and_12_what_always_passes_does_so_while_the_store_fails() {
    for script in [Script::Fail, Script::Panic, Script::Hang] {
        let store = ScriptedStore::new(MemoryStore::new()).with(|store| {
            (store.account, store.peek) = (script, Script::Fail);
        });
        let layer = AccountStatusLayer::new(store)
            .add_exempt(Method::GET, "/health")
            .with_exempt_versions()
            .add_excluded_prefix("/oauth2")
            .with_store_timeout(std::time::Duration::ZERO);
        for (method, path) in [
            (Method::OPTIONS, SYNC),
            (Method::OPTIONS, "*"),
            (Method::POST, LOGOUT),
            (Method::POST, "/_matrix/client/r0/logout/all"),
            (Method::GET, "/health"),
            (Method::GET, "/_matrix/client/versions"),
            (Method::POST, "/oauth2/token"),
            (Method::GET, "/.well-known/matrix/client"),
        ] {
            let answer = ask(&layer, alices(method.clone(), path)).await;
            assert_eq!(answer.verdict(), passed(), "{script:?}: {method} {path}");
        }
        let answer = ask(&layer, alices(Method::GET, SYNC)).await;
        assert_eq!(answer.verdict(), unavailable(), "{script:?}");
    }
}
