//! No spelling of a path turns what is refused into what is permitted.

use std::cell::Cell;

use http::Method;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{
    super::{judge_body, judge_redaction},
    Judgement, SuspensionPolicy, assert_refused,
    homeserver::{Homeserver, Said, is_own_event, other_readings},
    judge,
    spelling::{Case, case},
    user,
};
use crate::action::Action;

/// At least; `PROPTEST_CASES` can ask for more.
const CASES: u32 = 20_000;

/// Whether the request passes, once the body is read and the store has said whose event it is.
fn passes(policy: &SuspensionPolicy, method: &Method, path: &str, said: &Said) -> bool {
    let mut judgement = judge(policy, method, path, &user());
    if let Judgement::ReadBody(question) = judgement {
        judgement = judge_body(policy, question, said.body(question).as_bytes(), &user());
    }
    if let Judgement::RedactionOf(redaction) = &judgement {
        let own = is_own_event(&redaction.room_id(), &redaction.event_id());
        judgement = judge_redaction(policy, Some(own));
    }
    match judgement {
        Judgement::Permit => true,
        Judgement::Refuse(_) => false,
        other => panic!("{method} {path}: no verdict in the end: {other:?}"),
    }
}

fn run(property: impl Fn(Case) -> Result<(), TestCaseError>) {
    let config = Config {
        cases: Config::default().cases.max(CASES),
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&case(), property);
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn what_passes_is_permitted_to_the_handler_that_is_called_however_the_router_decodes() {
    let homeserver = Homeserver::new();
    let (passed, refused, odd) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let least = CASES / 20;
    run(|case| {
        let (method, path, policy) = (case.method(), case.path(), case.policy());
        let passes = passes(&policy, &method, &path, &case.said);
        let called = homeserver.call(&method, &path);
        if let Some(called) = &called {
            let permitted = called.is_permitted(&policy, &case.said);
            count(if permitted { &passed } else { &refused });
            prop_assert!(
                permitted || !passes,
                "{method} {path} passes and is {called:?}"
            );
            prop_assert!(
                passes || !permitted || !case.is_usual(),
                "{method} {path} is refused and is {called:?}"
            );
        }
        if !passes && odd.get() > least {
            return Ok(());
        }
        for reading in other_readings(&path) {
            let Some(called) = homeserver.call(&method, &reading) else {
                continue;
            };
            count(&odd);
            let permitted = called.is_permitted(&policy, &case.said);
            prop_assert!(
                permitted || !passes,
                "{method} {path} passes and is, read as {reading}, {called:?}"
            );
        }
        Ok(())
    });
    // The property is not empty: handlers were called, and other readings had handlers, too.
    for (what, cell) in [
        ("permitted", passed),
        ("refused", refused),
        ("read otherwise", odd),
    ] {
        assert!(
            cell.get() > least,
            "only {} of {CASES} cases were {what}",
            cell.get()
        );
    }
}

#[test]
fn what_a_nested_router_has_taken_off_permits_nothing() {
    let homeserver = Homeserver::new();
    run(|case| {
        let (method, path, policy) = (case.method(), case.path(), case.policy());
        let Some(stripped) = path.strip_prefix(case.start.trim_end_matches('/')) else {
            return Ok(());
        };
        let called = homeserver.call(&method, &path);
        if let (Some(called), true) = (called, passes(&policy, &method, stripped, &case.said)) {
            let permitted = called.is_permitted(&policy, &case.said);
            prop_assert!(permitted, "{method} {stripped} passes and is {called:?}");
        }
        Ok(())
    });
}

/// Earlier findings of the first property.
#[test]
fn a_parameter_that_is_empty_once_it_is_decoded_makes_no_unknown_endpoint() {
    let path = "/_matrix/client/v3%2Fpushrules/a%2F%2Fb";
    let reading = "/_matrix/client/v3/pushrules/a//b".to_owned();
    assert!(other_readings(path).contains(&reading));
    let called = Homeserver::new().call(&Method::GET, &reading);
    let called = called.expect("axum's router takes an empty parameter in the middle");
    assert_eq!(called.action, Action::ReadAccount);

    let policy = SuspensionPolicy::new().refuse(Action::ReadAccount);
    assert!(policy.permits(Action::UnknownRead));
    assert_refused(&policy, &format!("GET {path}"), Action::ReadAccount);
}
