//! Whose a request is: every credential in its head (rules 7 to 9).

mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header::AUTHORIZATION};
use http_body_util::Full;
use support::{
    ALICE, Answer, BOB, BOBS_TOKEN, Handler, LOGIN, LOGOUT, SYNC, TOKEN, anonymous, ask, call,
    layer, locked, passed,
    scripted::{Script, ScriptedStore},
    store, store_with, verdict,
};
use tower::Layer;
use tower_account_status::{CheckedAccounts, DenialCause, MemoryStore, RestrictionKind};

/// Asks while Alice is locked, and Bob is not.
async fn answer(query: &str, headers: &[&str]) -> Answer {
    let layer = layer(&store_with(RestrictionKind::Locked));
    ask(&layer, request(query, headers)).await
}

fn request(query: &str, headers: &[&str]) -> Request<Full<Bytes>> {
    let mut request = anonymous(Method::GET, &format!("{SYNC}{query}"), "");
    for header in headers {
        let value = HeaderValue::from_bytes(header.as_bytes()).expect(header);
        request.headers_mut().append(AUTHORIZATION, value);
    }
    request
}

/// `A` for Alice's token, `B` for Bob's, percent signs as they are.
fn with_tokens(text: &str) -> String {
    text.replace("{A}", TOKEN).replace("{B}", BOBS_TOKEN)
}

#[tokio::test]
async fn rule_7_every_place_and_spelling_of_a_locked_accounts_token_counts() {
    for (query, headers) in [
        ("", vec!["Bearer {A}"]),
        ("", vec!["bearer {A}"]),
        ("", vec!["BEARER {A}"]),
        ("", vec!["Bearer   {A}  "]),
        ("", vec!["Bearer\t{A}"]),
        ("", vec!["Bearer {B}", "Bearer {A}"]),
        ("", vec!["Bearer {A}", "Bearer {B}"]),
        ("", vec!["Basic YTpi", "Bearer {A}"]),
        ("", vec!["Bearer nobodys", "Bearer {A}"]),
        ("", vec!["Bearer {B}, Bearer {A}"]),
        ("", vec!["Bearer {B} {A}"]),
        ("?access_token={A}", vec![]),
        ("?access%5Ftoken={A}", vec![]),
        ("?%61ccess_token={A}", vec![]),
        ("?access_token=%73yt_alice%5fsecret", vec![]),
        ("?since=x&access_token={A}&timeout=1", vec![]),
        ("?since=x;access_token={A}", vec![]),
        ("?access_token={A};x", vec![]),
        ("?access_token={B}&access_token={A}", vec![]),
        ("?access_token={A}&access_token={B}", vec![]),
        ("?access_token=&access_token={A}", vec![]),
        ("?access_token={A}", vec!["Bearer {B}"]),
        ("?access_token={B}", vec!["Bearer {A}"]),
        ("?access_token={A}", vec!["Basic YTpi"]),
        ("?access_token={A}&access_token={A}", vec!["Bearer {A}"]),
        // Spellings that a server may trim, cut off, or find later in the text.
        ("?access_token=%20{A}", vec![]),
        ("?access_token={A}%0a", vec![]),
        ("?access_token=+{A}+", vec![]),
        ("?access_token={A}%00x", vec![]),
        ("?access_token=%E2%80%83{A}", vec![]),
        ("?access_token[]={A}", vec![]),
        ("?access_token%5B0%5D={A}", vec![]),
        ("?+access_token={A}", vec![]),
        ("?access_token%00={A}", vec![]),
        ("?access_token=%2573yt_alice_secret", vec![]),
        ("", vec!["Bearer {A};x"]),
        ("", vec!["Basic YTpi Bearer {A}"]),
        ("", vec!["x bearer\t{A} y"]),
        ("", vec!["Digest a=\"b\",Bearer {A}"]),
        ("", vec!["\"Bearer {A}\""]),
        ("", vec!["Bearer \"{A}\""]),
        ("", vec!["X-Matrix origin=\"a\",sig=\"b\", Bearer {A}"]),
        // The scheme of a signature ends at a blank.
        ("", vec!["X-Matrixy Bearer {A}"]),
        ("", vec!["x-matrixBearer {A}"]),
        ("", vec!["X-Matrix,x Bearer {A}"]),
        ("", vec!["X-Matrix=\"x Bearer {A}\""]),
        ("", vec!["X-Matrix-User Bearer {A}"]),
        ("", vec!["X-Matrix\u{a0}Bearer {A}"]),
    ] {
        let query = with_tokens(query);
        let headers: Vec<_> = headers.into_iter().map(with_tokens).collect();
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let answer = answer(&query, &headers).await;
        assert_eq!(answer.verdict(), locked(), "{query} {headers:?}");
    }
}

#[tokio::test]
async fn rule_9_what_is_no_locked_accounts_token_goes_to_the_inner_service() {
    for (query, headers) in [
        ("", vec![]),
        ("", vec!["Bearer"]),
        ("", vec!["Bearer "]),
        ("", vec!["Basic {A}"]),
        ("", vec!["{A}"]),
        ("", vec!["Bearer nobodys"]),
        ("", vec!["Bearer {B}"]),
        ("", vec!["Bearer {A}x"]),
        ("?access_token", vec![]),
        ("?access_token=", vec![]),
        ("?token={A}", vec![]),
        ("?Access_Token={A}", vec![]),
        ("?x=access_token={A}", vec![]),
        ("?user_id=@alice:localhost", vec!["Bearer {B}"]),
        ("?access_token={B}&access_token=nobodys", vec![]),
        ("", vec!["X-Matrix origin=\"a\",sig=\"Bearer {A}\""]),
        ("", vec!["X-Matrix origin=\"a\",sig=\"b, Bearer {A}\""]),
        ("", vec!["x-matrix Bearer {A}"]),
        ("", vec!["X-Matrix\tBearer {A}"]),
        ("", vec!["Basic xBearer {A}x"]),
        ("?access_token=%20&access_token=%00", vec![]),
        ("?access_tokens={A}", vec![]),
        ("?x-access_token={A}", vec![]),
    ] {
        let query = with_tokens(query);
        let headers: Vec<_> = headers.into_iter().map(with_tokens).collect();
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let answer = answer(&query, &headers).await;
        assert_eq!(answer.verdict(), passed(), "{query} {headers:?}");
    }
}

#[tokio::test]
async fn rule_7_four_distinct_credentials_are_looked_up_and_five_are_refused() {
    let four = ["Bearer 1", "Bearer 2", "bearer 1", "Bearer 3"];
    assert_eq!(answer("?access_token=4", &four).await.verdict(), passed());
    let fourth = answer(&format!("?access_token={TOKEN}"), &four).await;
    assert_eq!(fourth.verdict(), locked(), "the fourth is looked up");
    let five = answer("?access_token=4&access_token=5", &four).await;
    assert_eq!(five.verdict(), verdict(400, "M_INVALID_PARAM"));
    let denial = five.denial.as_ref().expect("a denial");
    assert_eq!(denial.cause(), DenialCause::TooManyCredentials);
    assert_eq!(five.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn rules_5_and_6_five_credentials_matter_only_where_credentials_do() {
    let layer = layer(&store());
    let query = "?access_token=1&access_token=2&access_token=3&access_token=4&access_token=5";
    for (method, path, expected) in [
        (Method::POST, LOGOUT, passed()),
        (Method::OPTIONS, SYNC, passed()),
        (Method::GET, LOGIN, passed()),
        (Method::GET, SYNC, verdict(400, "M_INVALID_PARAM")),
        (Method::HEAD, "/", verdict(400, "")),
    ] {
        let request = anonymous(method.clone(), &format!("{path}{query}"), "");
        assert_eq!(
            ask(&layer, request).await.verdict(),
            expected,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn rule_8_an_application_service_acts_for_the_user_that_it_asserts() {
    let store = store_with(RestrictionKind::Locked);
    store.insert_application_service_token("as_token", "@bridge:localhost");
    let layer = layer(&store);
    for (query, expected) in [
        ("", passed()),
        ("?user_id=@alice:localhost", locked()),
        ("?user_id=%40alice%3Alocalhost", locked()),
        ("?user%5Fid=@alice:localhost", locked()),
        ("?user_id=@bob:localhost&user_id=@alice:localhost", locked()),
        ("?user_id=@alice:localhost&user_id=@bob:localhost", locked()),
        ("?user_id=@bob:localhost;user_id=@alice:localhost", locked()),
        ("?user_id=@bob:localhost", passed()),
        ("?user_id=", passed()),
        ("?user_id=@unheard-of:localhost", passed()),
    ] {
        let answer = ask(&layer, request(query, &["Bearer as_token"])).await;
        assert_eq!(answer.verdict(), expected, "{query}");
    }
    store.restrict("@bridge:localhost", RestrictionKind::Locked);
    let own = ask(&layer, request("", &["Bearer as_token"])).await;
    assert_eq!(own.verdict(), locked());
}

/// Go's `net/url` drops a malformed pair, and a server of its may then act as the sender.
#[tokio::test]
async fn rule_8_where_some_server_may_see_no_assertion_the_sender_counts_too() {
    let store = store_with(RestrictionKind::Locked);
    store.insert_application_service_token("as_token", "@bridge:localhost");
    store.restrict("@bridge:localhost", RestrictionKind::Locked);
    let layer = layer(&store);
    for query in [
        "?user_id=@bob:localhost%zz",
        "?user_id=%zz",
        "?user_id=%ff",
        "?user_id=@bob:localhost%00",
        "?user_id=bob",
        "?user_id=@bob",
        "?user_id=@bob+x:localhost",
        "?user_id=+@bob:localhost",
        "?user_id=@bob:localhost;x",
        "?user_id=@bob:localhost&x=1;y=2",
        "?user_id=@bob:localhost&since=%zz",
        "?user_id=@bob:localhost&user_id=@carol:localhost",
        "?user_id=@bob:localhost&user_id[]=x",
        "?user_id=@bob:localhost&User_ID=x",
    ] {
        let answer = ask(&layer, request(query, &["Bearer as_token"])).await;
        assert_eq!(answer.verdict(), locked(), "{query}");
    }
    // A plain assertion still acts for the user whom it names, although the sender is locked.
    for query in [
        "?user_id=@bob:localhost",
        "?since=s&user_id=%40bob%3Alocalhost",
    ] {
        let answer = ask(&layer, request(query, &["Bearer as_token"])).await;
        assert_eq!(answer.verdict(), passed(), "{query}");
    }
}

/// Clients send the old account's token along with the new account's login. An application service
/// authenticates with its own there.
#[tokio::test]
async fn rule_6_of_all_tokens_an_application_services_counts_on_login_and_register() {
    let store = store_with(RestrictionKind::Locked);
    store.insert_application_service_token("as_token", "@bridge:localhost");
    store.restrict("@bridge:localhost", RestrictionKind::Locked);
    let awaited = ScriptedStore::new(MemoryStore::new().with_server_name("localhost"));
    awaited.memory().insert_access_token(TOKEN, ALICE);
    awaited.memory().restrict(ALICE, RestrictionKind::Locked);
    awaited
        .memory()
        .insert_application_service_token("as_token", "@bridge:localhost");
    awaited
        .memory()
        .restrict("@bridge:localhost", RestrictionKind::Locked);
    let (at_once, awaited) = (layer(&store), layer(&Arc::new(awaited)));
    let body = r#"{"type":"m.login.application_service","username":"g","identifier":{"type":"m.id.user","user":"ghost"}}"#;
    for path in [
        "/_matrix/client/v3/login",
        "/_matrix/client/r0/login",
        "/_matrix/client/v3/register",
        "/_matrix/client/r0/register",
        "/_matrix/client/v3/%6cogin",
        "/_matrix/client/v3/register/",
        "/_matrix/client/unstable/login",
    ] {
        // Where the spelling leaves it open which endpoint it is, a person's token counts as well.
        let is_exact =
            path.contains("3/login") || path.contains("r0") || path.ends_with("register");
        for (query, header, expected) in [
            ("", "Bearer as_token", locked()),
            ("?access_token=as_token", "", locked()),
            ("?user_id=ghost", "Bearer as_token", locked()),
            // Nobody is asserted there: a server may read no `user_id`, and act for the service.
            ("?user_id=%40bob%3Alocalhost", "Bearer as_token", locked()),
            (
                "?user_id=%40bob%3Alocalhost&access_token=as_token",
                "",
                locked(),
            ),
            ("?user_id=@ghost:localhost", "Bearer as_token", locked()),
            ("", "bearer  as_token", locked()),
            ("", "Bearer unknown", passed()),
            (
                "",
                &format!("Bearer {TOKEN}"),
                if is_exact { passed() } else { locked() },
            ),
            ("", "", passed()),
        ] {
            let request = || {
                let mut request = anonymous(Method::POST, &format!("{path}{query}"), body);
                let value = HeaderValue::from_str(header).expect(header);
                request.headers_mut().append(AUTHORIZATION, value);
                request
            };
            let answer = ask(&at_once, request()).await;
            assert_eq!(answer.verdict(), expected, "{path}{query} {header}");
            let answer = ask(&awaited, request()).await;
            assert_eq!(
                answer.verdict(),
                expected,
                "{path}{query} {header}, awaited"
            );
        }
    }
    store.lift("@bridge:localhost", RestrictionKind::Locked);
    let mut request = anonymous(Method::POST, LOGIN, body);
    let value = HeaderValue::from_static("Bearer as_token");
    request.headers_mut().append(AUTHORIZATION, value);
    assert_eq!(ask(&at_once, request).await.verdict(), passed());
}

#[tokio::test]
async fn rule_7_a_head_without_a_token_asks_the_store_for_nothing() {
    let store = ScriptedStore::new(MemoryStore::new()).with(|store| {
        (store.peek, store.glance) = (Script::Answer, Script::Answer);
    });
    let store = Arc::new(store);
    let layer = layer(&store);
    for path in [SYNC, "/_matrix/client/v3/account/whoami"] {
        for header in [
            "Bearer ",
            "Bearer",
            "bearer  ",
            "Bearer  ",
            "Bearer \t",
            "Bearer \t \t",
            "Bearer\t\t",
        ] {
            let mut request = anonymous(Method::GET, path, "");
            let value = HeaderValue::from_static(header);
            request.headers_mut().insert(AUTHORIZATION, value);
            let answer = ask(&layer, request).await;
            assert_eq!(answer.verdict(), passed(), "{path} {header:?}");
            assert_eq!(store.asked(), 0, "{path} {header:?}");
        }
        for query in ["=", "=%20", "=%00", "=%09%0d%0a", "[]="] {
            let query = format!("{path}?access_token{query}");
            let answer = ask(&layer, anonymous(Method::GET, &query, "")).await;
            assert_eq!(answer.verdict(), passed(), "{query}");
            assert_eq!(store.asked(), 0, "{query}");
        }
    }
}

#[tokio::test]
async fn rule_8_beside_a_persons_token_an_asserted_user_means_nothing() {
    let locked_alice = layer(&store_with(RestrictionKind::Locked));
    let alices = request(&format!("?user_id={BOB}"), &[&format!("Bearer {TOKEN}")]);
    assert_eq!(ask(&locked_alice, alices).await.verdict(), locked());
    let bobs = request(
        &format!("?user_id={ALICE}"),
        &[&format!("Bearer {BOBS_TOKEN}")],
    );
    assert_eq!(ask(&locked_alice, bobs).await.verdict(), passed());
}

#[tokio::test]
async fn rule_8_too_many_asserted_users_are_too_many_credentials() {
    let layer = layer(&store());
    // Some server may take none of them: that makes four.
    let query = "?user_id=1&user_id=2&user_id=3";
    let four = request(query, &["Bearer a"]);
    assert_eq!(ask(&layer, four).await.verdict(), passed());
    let expected = verdict(400, "M_INVALID_PARAM");
    let five = request(&format!("{query}&user_id=4"), &["Bearer a"]);
    assert_eq!(ask(&layer, five).await.verdict(), expected);
    let eight = request(query, &["Bearer a", "Bearer b"]);
    assert_eq!(ask(&layer, eight).await.verdict(), expected);
}

#[tokio::test]
async fn rule_7_bytes_that_are_no_text_are_nobodys_token() {
    let layer = layer(&store_with(RestrictionKind::Locked));
    for bytes in [b"Bearer \xff\xfe".as_slice(), b"\xff", b"Bearer \xc3\xa9"] {
        let mut request = anonymous(Method::GET, SYNC, "");
        let value = HeaderValue::from_bytes(bytes).unwrap();
        request.headers_mut().insert(AUTHORIZATION, value);
        assert_eq!(ask(&layer, request).await.verdict(), passed(), "{bytes:?}");
    }
}

#[tokio::test]
async fn the_checked_accounts_are_handed_on_where_the_setting_asks_for_it() {
    let handler = Handler::default();
    let plain = layer(&store());
    let handing_on = plain.clone().with_checked_accounts();
    let (alices, bobs) = (format!("Bearer {TOKEN}"), format!("Bearer {BOBS_TOKEN}"));
    for (layer, headers, expected) in [
        (&plain, vec![&*alices], vec![]),
        (&handing_on, vec![&*alices], vec![ALICE]),
        (&handing_on, vec![&*bobs, &*alices], vec![BOB, ALICE]),
        (&handing_on, vec!["Bearer nobodys"], vec![]),
        (&handing_on, vec![], vec![]),
    ] {
        call(layer.layer(handler.clone()), request("", &headers)).await;
        let seen = handler.only().request;
        let checked = seen.extensions().get::<CheckedAccounts>();
        assert_eq!(
            checked.is_some(),
            !std::ptr::eq(layer, &plain),
            "{headers:?}"
        );
        let users: Vec<_> = checked
            .iter()
            .flat_map(|checked| checked.iter())
            .map(|account| account.user().as_str())
            .collect();
        assert_eq!(users, expected, "{headers:?}");
        let first = checked.and_then(|checked| Some(checked.first()?.user().as_str()));
        assert_eq!(first, expected.first().copied());
    }
}
