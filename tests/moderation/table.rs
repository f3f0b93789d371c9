//! Runs the table.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower_account_status::{Restriction, RestrictionStore};

use crate::{
    rows::{ENDPOINTS, Endpoint, Expected, Row, rows},
    stacks::{INNER, Stack},
    world::{Question, World},
};

/// Runs every row for every endpoint, and reports all that are wrong.
pub(crate) async fn run<R: RestrictionStore>(stack: Stack, store: R) {
    let world = World::new(store);
    let mut wrong = Vec::new();
    for endpoint in ENDPOINTS {
        for row in rows(endpoint) {
            if let Err(problem) = check(stack, &world, endpoint, &row).await {
                wrong.push(format!("{} ({}…): {problem}", row.name, endpoint.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{stack:?}:\n{}", wrong.join("\n"));
}

async fn check<R: RestrictionStore>(
    stack: Stack,
    world: &World<R>,
    endpoint: Endpoint,
    row: &Row,
) -> Result<(), String> {
    world.reset().await;
    for (user, restriction) in &row.before {
        world.restrict(user, restriction.clone()).await;
    }
    let mut request = Request::builder()
        .method(row.method.clone())
        .uri(format!("{}{}", endpoint.path, row.target))
        .header("host", "example.org");
    for &authorization in &row.authorization {
        request = request.header("authorization", authorization);
    }
    let request = request.body(Bytes::from(row.body.clone())).unwrap();

    let response = stack.send(&world.layer(), request).await;

    check_response(&response, endpoint, &row.expected)?;
    check_look_ups(world, &row.expected)?;
    for (user, kinds) in &row.after {
        let state = world.state(user).await;
        let after: Vec<_> = state.restrictions().map(Restriction::kind).collect();
        expect(&format!("restrictions of {user}"), &after, kinds)?;
    }
    Ok(())
}

fn expect<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &U,
) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: {found:?} instead of {expected:?}")),
    }
}

fn check_response(
    response: &Response<Bytes>,
    endpoint: Endpoint,
    expected: &Expected,
) -> Result<(), String> {
    let status = response.status().as_u16();
    match expected {
        Expected::Inner => return expect("body", response.body(), &INNER.as_bytes()),
        Expected::Preflight => {
            expect("status", &status, &204)?;
            expect("body", response.body(), &b"".as_slice())?;
            expect_header(response, "allow", Some("GET, HEAD, PUT, OPTIONS"))?;
            return check_cors(response);
        }
        Expected::Says(value) => {
            expect("status", &status, &200)?;
            expect("body", &json_of(response)?, &json!({ endpoint.key: value }))?;
        }
        Expected::SaysWithoutBody(value) => {
            expect("status", &status, &200)?;
            expect("body", response.body(), &b"".as_slice())?;
            let length = json!({ endpoint.key: value }).to_string().len().to_string();
            expect_header(response, "content-length", Some(&length))?;
        }
        Expected::Refused(code, errcode) | Expected::RefusedUnseen(code, errcode) => {
            expect("status", &status, code)?;
            check_error(response, errcode, None)?;
            let allow = (*code == 405).then_some("GET, HEAD, PUT, OPTIONS");
            expect_header(response, "allow", allow)?;
        }
        Expected::LoggedOutSoftly => {
            expect("status", &status, &401)?;
            check_error(response, "M_UNKNOWN_TOKEN", Some(true))?;
        }
    }
    expect_header(response, "content-type", Some("application/json"))?;
    expect_header(response, "cache-control", Some("no-store"))?;
    expect_header(response, "www-authenticate", None)?;
    if !matches!(expected, Expected::SaysWithoutBody(_)) {
        let length = response.body().len().to_string();
        expect_header(response, "content-length", Some(&length))?;
    }
    check_cors(response)
}

/// `errcode`, a text, and nothing else except `soft_logout` if it belongs there.
pub(crate) fn check_error(
    response: &Response<Bytes>,
    errcode: &str,
    soft_logout: Option<bool>,
) -> Result<(), String> {
    let body = json_of(response)?;
    let text = body["error"].as_str().unwrap_or_default();
    let mut expected = json!({ "errcode": errcode, "error": text });
    if let Some(soft_logout) = soft_logout {
        expected["soft_logout"] = soft_logout.into();
    }
    expect("body", &body, &expected)?;
    match text.is_empty() {
        true => Err("no error text".to_owned()),
        false => Ok(()),
    }
}

fn json_of(response: &Response<Bytes>) -> Result<Value, String> {
    serde_json::from_slice(response.body()).map_err(|error| {
        let status: StatusCode = response.status();
        format!("{status} {:?}: {error}", response.body())
    })
}

pub(crate) fn check_cors(response: &Response<Bytes>) -> Result<(), String> {
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        (
            "access-control-allow-methods",
            "GET, POST, PUT, DELETE, OPTIONS",
        ),
        (
            "access-control-allow-headers",
            "X-Requested-With, Content-Type, Authorization",
        ),
    ] {
        expect_header(response, name, Some(value))?;
    }
    Ok(())
}

fn expect_header(
    response: &Response<Bytes>,
    name: &str,
    expected: Option<&str>,
) -> Result<(), String> {
    let found: Vec<_> = response.headers().get_all(name).iter().collect();
    let found: Vec<_> = found.iter().map(|value| value.to_str().unwrap()).collect();
    expect(name, &found, &expected.into_iter().collect::<Vec<_>>())
}

/// Nothing may be looked up about anyone but the requester, unless an administrator asks.
fn check_look_ups<R: RestrictionStore>(
    world: &World<R>,
    expected: &Expected,
) -> Result<(), String> {
    let (questions, calls) = (
        world.directory.take_questions(),
        world.restrictions.take_calls(),
    );
    match expected {
        Expected::Inner | Expected::Preflight => {
            expect("questions", &questions, &Vec::<Question>::new())?;
            expect("calls of the store", &calls, &0)
        }
        Expected::RefusedUnseen(..) | Expected::LoggedOutSoftly => {
            // The one question that has to be asked is about the requester.
            let only_requester = questions.len() <= 1
                && questions.iter().all(|question| {
                    matches!(
                        question,
                        Question::Administrator(user)
                            if ["@alice:example.org", "@bridge:example.org"].contains(&&**user)
                    )
                });
            expect("calls of the store", &calls, &0)?;
            match only_requester {
                true => Ok(()),
                false => Err(format!("looked up before authorisation: {questions:?}")),
            }
        }
        Expected::Says(_) | Expected::SaysWithoutBody(_) => {
            let asked = questions.iter().any(|question| {
                matches!(question, Question::Exists(_)) && question.user().starts_with('@')
            });
            match asked && calls > 0 {
                true => Ok(()),
                false => Err(format!("{calls} calls of the store, {questions:?}")),
            }
        }
        Expected::Refused(..) => Ok(()),
    }
}
