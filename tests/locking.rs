//! What a locked account is answered, to the byte (rules 1 to 4;
//! <https://spec.matrix.org/latest/client-server-api/#account-locking>).

mod support;

use std::time::{Duration, SystemTime};

use http::Method;
use support::{
    ALICE, Answer, BOBS_TOKEN, SYNC, TOKEN, alices, anonymous, ask, bear, layer, locked, passed,
    store, store_with, verdict,
};
use tower_account_status::{
    AccountState, AccountStatusLayer, DenialCause, MemoryStore, Restriction, RestrictionKind,
    UserId,
};

const LOCKED_BODY: &str =
    r#"{"errcode":"M_USER_LOCKED","error":"This account has been locked","soft_logout":true}"#;

const CORS: [(&str, &str); 3] = [
    (
        "access-control-allow-headers",
        "X-Requested-With, Content-Type, Authorization",
    ),
    (
        "access-control-allow-methods",
        "GET, POST, PUT, DELETE, OPTIONS",
    ),
    ("access-control-allow-origin", "*"),
];

async fn answer_to(restriction: impl Into<Restriction>, method: Method) -> Answer {
    ask(&layer(&store_with(restriction)), alices(method, SYNC)).await
}

fn with_reason(reason: &str) -> Restriction {
    Restriction::new(RestrictionKind::Locked).with_reason(reason)
}

#[tokio::test]
async fn rules_1_and_3_the_whole_answer() {
    let answer = answer_to(RestrictionKind::Locked, Method::GET).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.text(), LOCKED_BODY);
    let length = LOCKED_BODY.len().to_string();
    let mut expected = CORS.to_vec();
    expected.extend([
        ("cache-control", "no-store"),
        ("content-length", length.as_str()),
        ("content-type", "application/json"),
    ]);
    assert_eq!(answer.headers(), expected);
}

#[tokio::test]
async fn rule_3_the_cors_headers_can_be_turned_off() {
    let layer = layer(&store_with(RestrictionKind::Locked)).without_cors_headers();
    let answer = ask(&layer, alices(Method::GET, SYNC)).await;
    let names: Vec<_> = answer.headers().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["cache-control", "content-length", "content-type"]);
}

#[tokio::test]
async fn rule_3_head_has_the_same_headers_and_no_body() {
    for restriction in [RestrictionKind::Locked.into(), with_reason("ё")] {
        let get = answer_to(restriction.clone(), Method::GET).await;
        let head = answer_to(restriction, Method::HEAD).await;
        assert_eq!(head.status, get.status);
        assert_eq!(head.headers(), get.headers());
        assert_eq!(head.body, "");
        assert_ne!(get.body, "");
    }
}

#[tokio::test]
async fn rule_2_a_reason_stands_in_the_error_json_escaped_and_in_no_header() {
    for reason in [
        "Spam",
        r#"He said "no" \ and left"#,
        "line\nbreak\r\n\tand tab",
        "\u{0}\u{1}\u{1f}\u{7f}",
        "separators \u{2028}\u{2029}",
        "🙂 𐀀 é",
        "</script><!--",
        "\",\"soft_logout\":false,\"x\":\"",
        " padded ",
        &"x".repeat(Restriction::MAX_REASON_LEN),
    ] {
        let answer = answer_to(with_reason(reason), Method::GET).await;
        assert_eq!(
            answer.json(),
            serde_json::json!({
                "errcode": "M_USER_LOCKED", "error": reason, "soft_logout": true
            }),
            "{reason:?}"
        );
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        for (name, value) in answer.headers() {
            assert!(!value.contains(reason), "{name}: {value}");
        }
        assert_eq!(answer.headers().len(), 6, "{:?}", answer.headers());
    }
}

#[tokio::test]
async fn rule_2_at_most_a_kibibyte_of_the_reason_is_told() {
    let limit = Restriction::MAX_REASON_LEN;
    assert_eq!(limit, 1024);
    for (reason, told) in [
        ("x".repeat(limit + 1), "x".repeat(limit)),
        ("é".repeat(limit), "é".repeat(limit / 2)),
        // The border would cut the last character, which is left out whole.
        (format!("x{}", "é".repeat(limit)), {
            format!("x{}", "é".repeat(limit / 2 - 1))
        }),
        (format!("xyz{}", "🙂".repeat(limit)), {
            format!("xyz{}", "🙂".repeat(limit / 4 - 1))
        }),
    ] {
        let answer = answer_to(with_reason(&reason), Method::GET).await;
        assert_eq!(answer.json()["error"], told.as_str());
        let denial = answer.denial.expect("the typed reason");
        let whole = denial.restriction().and_then(Restriction::reason);
        assert_eq!(whole, Some(reason.as_str()), "the log gets all of it");
    }
}

#[tokio::test]
async fn rule_2_a_blank_reason_is_none() {
    for blank in ["", " ", "\n\t ", "\u{3000}"] {
        let answer = answer_to(with_reason(blank), Method::GET).await;
        assert_eq!(answer.text(), LOCKED_BODY, "{blank:?}");
    }
}

#[tokio::test]
async fn rule_2_an_end_is_told_in_retry_after_and_then_the_account_is_active() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let second = Duration::from_secs(1);
    for (until, expected) in [
        (now + second, Some("1")),
        // Rounded up: nobody who waits that long comes too early.
        (now + Duration::from_millis(1), Some("1")),
        (now + Duration::from_millis(1001), Some("2")),
        (now + Duration::from_secs(86_400), Some("86400")),
        (
            now + Duration::from_secs(10_000_000_000),
            Some("10000000000"),
        ),
        (now, None),
        (now - second, None),
    ] {
        let restriction = Restriction::new(RestrictionKind::Locked).with_until(until);
        let layer = layer(&store_with(restriction)).with_clock(move || now);
        let answer = ask(&layer, alices(Method::GET, SYNC)).await;
        assert_eq!(answer.header("retry-after"), expected, "{until:?}");
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, expected.and(Some("Retry-After")), "{until:?}");
        let verdict = if expected.is_some() {
            locked()
        } else {
            passed()
        };
        assert_eq!(answer.verdict(), verdict, "{until:?}");
    }
}

#[tokio::test]
async fn rule_2_the_clock_is_read_for_every_request() {
    let start = SystemTime::now();
    let restriction =
        Restriction::new(RestrictionKind::Locked).with_until(start + Duration::from_secs(60));
    let layer = layer(&store_with(restriction));
    let early = layer.clone().with_clock(move || start);
    let late = layer.with_clock(move || start + Duration::from_secs(60));
    assert_eq!(
        ask(&early, alices(Method::GET, SYNC)).await.verdict(),
        locked()
    );
    assert_eq!(
        ask(&late, alices(Method::GET, SYNC)).await.verdict(),
        passed()
    );
}

#[tokio::test]
async fn rule_4_deactivated_before_locked_before_suspended() {
    use RestrictionKind::{Deactivated, Locked, Suspended};
    let deactivated = verdict(403, "M_USER_DEACTIVATED");
    for (kinds, expected) in [
        (vec![Suspended, Locked, Deactivated], deactivated.clone()),
        (vec![Locked, Deactivated], deactivated.clone()),
        (vec![Suspended, Deactivated], deactivated),
        (vec![Suspended, Locked], locked()),
        (vec![Locked, Suspended], locked()),
        // A suspended account reads.
        (vec![Suspended], passed()),
    ] {
        let store = store();
        store.set_state(ALICE, kinds.iter().copied().collect::<AccountState>());
        let answer = ask(&layer(&store), alices(Method::GET, SYNC)).await;
        assert_eq!(answer.verdict(), expected, "{kinds:?}");
    }
}

#[tokio::test]
async fn rule_4_of_two_restrictions_the_one_that_has_ended_does_not_decide() {
    let now = SystemTime::now();
    let ended = Restriction::new(RestrictionKind::Deactivated).with_until(now);
    let store = store_with(ended);
    store.restrict(ALICE, with_reason("still"));
    let answer = ask(
        &layer(&store).with_clock(move || now),
        alices(Method::GET, SYNC),
    )
    .await;
    assert_eq!(answer.verdict(), locked());
    assert_eq!(answer.json()["error"], "still");
    assert_eq!(answer.header("retry-after"), None);
}

#[tokio::test]
async fn rule_4_an_unlocked_account_goes_on_with_the_same_token() {
    let store = store();
    let layer = layer(&store);
    for _ in 0..3 {
        assert_eq!(
            ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
            passed()
        );
        store.restrict(ALICE, RestrictionKind::Locked);
        assert_eq!(
            ask(&layer, alices(Method::GET, SYNC)).await.verdict(),
            locked()
        );
        store.lift(ALICE, RestrictionKind::Locked);
    }
}

#[tokio::test]
async fn rule_4_lifting_a_lock_leaves_a_suspension_standing() {
    use tower_account_status::AccountStateStore;
    let store = store_with(RestrictionKind::Suspended);
    store.restrict(ALICE, RestrictionKind::Locked);
    store.lift(ALICE, RestrictionKind::Locked);
    let state = store.state(ALICE).await.unwrap();
    assert_eq!(state, AccountState::from(RestrictionKind::Suspended));
}

#[tokio::test]
async fn rule_3_the_typed_reason_stands_in_the_extensions() {
    let answer = answer_to(with_reason("Spam"), Method::GET).await;
    let denial = answer.denial.clone().expect("a denial");
    let cause = DenialCause::Restricted(RestrictionKind::Locked);
    assert_eq!(denial.cause(), cause);
    assert_eq!(denial.user().map(UserId::as_str), Some(ALICE));
    assert_eq!(denial.restriction(), Some(&with_reason("Spam")));
    assert_eq!(denial.status(), 401);
    assert_eq!(denial.errcode(), "M_USER_LOCKED");
    let again = Answer::read(denial.into_response::<http_body_util::Full<bytes::Bytes>>()).await;
    assert_eq!(again.body, answer.body);
    assert_eq!(again.headers, answer.headers);
}

#[tokio::test]
async fn other_accounts_are_not_touched_by_a_lock() {
    let layer = layer(&store_with(RestrictionKind::Locked));
    let mut bobs = anonymous(Method::GET, SYNC, "");
    bear(&mut bobs, BOBS_TOKEN);
    assert_eq!(ask(&layer, bobs).await.verdict(), passed());
    assert_eq!(
        ask(&layer, anonymous(Method::GET, SYNC, ""))
            .await
            .verdict(),
        passed()
    );
}

#[tokio::test]
async fn a_user_without_a_row_is_active() {
    let store = MemoryStore::new();
    store.insert_access_token(TOKEN, "@nobody-knows:localhost");
    let answer = ask(&AccountStatusLayer::new(store), alices(Method::GET, SYNC)).await;
    assert_eq!(answer.verdict(), passed());
}
