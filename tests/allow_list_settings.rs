//! Settings that could never match panic when they are set (rules 5, 6 and 22).

use http::Method;
use tower_account_status::{AccountStatusLayer, MemoryStore, RequestPath, SuspensionPolicy};

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
