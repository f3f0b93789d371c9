use super::{BodyError, NamedAccount, NamingEndpoint, read};

fn names(endpoint: NamingEndpoint, body: &str) -> Vec<String> {
    let accounts = read(endpoint, body.as_bytes()).expect(body);
    accounts.iter().map(spelled).collect()
}

fn spelled(account: &NamedAccount<'_>) -> String {
    match account {
        NamedAccount::User(user) => user.as_str().to_owned(),
        NamedAccount::ThirdParty { medium, address } => {
            format!("{}:{}", medium.as_str(), address.as_str())
        }
        NamedAccount::Phone { country, phone } => {
            format!("{}/{}", country.as_str(), phone.as_str())
        }
        NamedAccount::LoginToken { token, login_type } => {
            let login_type = login_type
                .as_ref()
                .map_or("-", |login_type| login_type.as_str());
            format!("{} {login_type}", token.as_str())
        }
        NamedAccount::RefreshToken(token) | NamedAccount::GuestToken(token) => {
            token.as_str().to_owned()
        }
    }
}

fn login(body: &str) -> Vec<String> {
    names(NamingEndpoint::Login, body)
}

#[test]
fn rule_10_login_by_every_identifier() {
    assert_eq!(
        login(r#"{"identifier":{"type":"m.id.user","user":"a"}}"#),
        ["a"]
    );
    assert_eq!(login(r#"{"identifier":{"user":"a"}}"#), ["a"]);
    let third = r#"{"identifier":{"type":"m.id.thirdparty","medium":"email","address":"a@b"}}"#;
    assert_eq!(login(third), ["email:a@b"]);
    assert_eq!(login(r#"{"identifier":{"address":"a@b"}}"#), [":a@b"]);
    let phone = r#"{"identifier":{"type":"m.id.phone","country":"GB","phone":"07700"}}"#;
    assert_eq!(login(phone), ["GB/07700"]);
    assert_eq!(
        login(r#"{"user":"a","medium":"email","address":"x"}"#),
        ["a", "email:x"]
    );
    assert_eq!(
        login(r#"{"type":"m.login.token","token":"t"}"#),
        ["t m.login.token"]
    );
    assert_eq!(login(r#"{"token":"t"}"#), ["t -"]);
    let service = r#"{"type":"m.login.application_service","identifier":{"user":"b"}}"#;
    assert_eq!(login(service), ["b"]);
}

#[test]
fn rule_10_every_occurrence_of_a_repeated_key_counts() {
    assert_eq!(
        login(r#"{"user":"a","user":"b","\u0075ser":"c"}"#),
        ["a", "b", "c"]
    );
    assert_eq!(
        login(r#"{"identifier":{"user":"a","user":"b"},"identifier":{"user":"c"}}"#),
        ["a", "b", "c"]
    );
    assert_eq!(
        login(r#"{"identifier":null,"identifier":{"user":"c"},"user":null}"#),
        ["c"]
    );
    assert_eq!(
        login(r#"{"medium":"m","medium":"n","address":"a"}"#),
        ["m:a", "n:a"]
    );
    assert_eq!(
        login(r#"{"type":"x","type":"y","token":"t"}"#),
        ["t x", "t y"]
    );
}

#[test]
fn rule_10_refresh_and_reauthentication() {
    assert_eq!(
        names(NamingEndpoint::Refresh, r#"{"refresh_token":"r"}"#),
        ["r"]
    );
    assert!(login(r#"{"refresh_token":true}"#).is_empty());
    let auth = |body| names(NamingEndpoint::Reauthentication, body);
    assert_eq!(
        auth(r#"{"auth":{"type":"m.login.password","identifier":{"user":"a"}}}"#),
        ["a"]
    );
    assert_eq!(
        auth(r#"{"auth":{"user":"a"},"auth":{"user":"b"}}"#),
        ["a", "b"]
    );
    assert!(auth(r#"{"auth":{"session":"s"},"new_password":"p"}"#).is_empty());
    assert!(auth(r#"{"auth":null}"#).is_empty());
    assert!(auth("").is_empty());
}

#[test]
fn rule_10_what_is_no_name_is_refused() {
    for body in [
        r#"{"user":1}"#,
        r#"{"user":["a"]}"#,
        r#"{"user":{"a":"b"}}"#,
        r#"{"user":"a","user":true}"#,
        r#"{"identifier":"a"}"#,
        r#"{"identifier":[{"user":"a"}]}"#,
        r#"{"identifier":{"user":1.5}}"#,
        r#"{"token":-1}"#,
    ] {
        let refused = read(NamingEndpoint::Login, body.as_bytes());
        assert_eq!(refused.unwrap_err(), BodyError::BadJson, "{body}");
    }
    for body in [r#"[{"user":"a"}]"#, "[]", "null", "\"a\"", "7", "true"] {
        let refused = read(NamingEndpoint::Login, body.as_bytes());
        assert_eq!(refused.unwrap_err(), BodyError::NotObject, "{body}");
    }
}

#[test]
fn rule_10_what_is_not_json_is_refused() {
    for body in [
        "{",
        "{}x",
        "{}{}",
        " ",
        "user=a",
        "{'user':'a'}",
        "{\"user\":\"a\",}",
        "\u{feff}{}",
        "{\"user\":\"\\ud800\"}",
        "{\"x\":1e999999,\"user\":}",
        "NaN",
    ] {
        let refused = read(NamingEndpoint::Login, body.as_bytes());
        assert_eq!(refused.unwrap_err(), BodyError::NotJson, "{body}");
    }
    for body in [&b"{\"user\":\"\xff\"}"[..], b"\xff\xfe{\0}\0"] {
        assert_eq!(
            read(NamingEndpoint::Login, body).unwrap_err(),
            BodyError::NotJson
        );
    }
}

#[test]
fn rule_10_the_number_of_accounts_is_bounded_before_they_are_combined() {
    let many = |key: &str| {
        let pairs: Vec<_> = (0..2000).map(|n| format!("\"{key}\":\"{n}\"")).collect();
        pairs.join(",")
    };
    let body = format!("{{{},{}}}", many("medium"), many("address"));
    let refused = read(NamingEndpoint::Login, body.as_bytes());
    assert_eq!(refused.unwrap_err(), BodyError::TooMany);
}

/// Whether or not all of them say the same.
#[test]
fn rule_10_a_body_full_of_fields_that_name_somebody_is_refused() {
    let full = |entry: &str, number: usize| format!("{{{}}}", vec![entry; number].join(","));
    for (endpoint, entry, fields) in [
        (NamingEndpoint::Login, r#""user":"a""#, 1),
        (NamingEndpoint::Login, r#""\u0075ser":"a""#, 1),
        (NamingEndpoint::Login, r#""identifier":{}"#, 1),
        (NamingEndpoint::Login, r#""identifier":{"user":"a"}"#, 2),
        (NamingEndpoint::Refresh, r#""refresh_token":"a""#, 1),
        (NamingEndpoint::Refresh, r#""auth":null"#, 1),
        (
            NamingEndpoint::GuestUpgrade,
            r#""guest_access_token":"a""#,
            1,
        ),
        (
            NamingEndpoint::Reauthentication,
            r#""auth":{"user":"a"}"#,
            2,
        ),
    ] {
        assert!(
            read(endpoint, full(entry, 64 / fields).as_bytes()).is_ok(),
            "{entry}"
        );
        let body = full(entry, 64 / fields + 1);
        let refused = read(endpoint, body.as_bytes());
        assert_eq!(refused.unwrap_err(), BodyError::TooMany, "{entry}");
    }
    let others = full(r#""username":"a""#, 4000);
    assert!(read(NamingEndpoint::GuestUpgrade, others.as_bytes()).is_ok());
}

#[test]
fn rule_10_what_is_nested_too_deep_is_refused() {
    for key in ["x", "user"] {
        let (open, close) = ("[".repeat(30_000), "]".repeat(30_000));
        let deep = format!("{{\"{key}\":{open}1{close}}}");
        let refused = read(NamingEndpoint::Login, deep.as_bytes());
        assert_eq!(refused.unwrap_err(), BodyError::Unclear);
    }
}

#[test]
fn rule_10_a_login_or_refresh_has_no_auth() {
    for body in [
        r#"{"user":"a","auth":{"session":"s"}}"#,
        r#"{"auth":{}}"#,
        r#"{"\u0061uth":"s"}"#,
        r#"{"Auth":[]}"#,
        r#"{"auth":null,"auth":false}"#,
    ] {
        for endpoint in [
            NamingEndpoint::Login,
            NamingEndpoint::Refresh,
            NamingEndpoint::Unclear,
        ] {
            let refused = read(endpoint, body.as_bytes());
            assert_eq!(refused.unwrap_err(), BodyError::Unclear, "{body}");
        }
    }
    assert_eq!(login(r#"{"user":"a","auth":null}"#), ["a"]);
    assert_eq!(login(r#"{"identifier":{"user":"a","auth":1}}"#), ["a"]);
}

#[test]
fn rule_10_no_name_has_a_nul_and_no_key() {
    for body in [
        r#"{"user":"a\u0000b"}"#,
        r#"{"user\u0000":"a"}"#,
        r#"{"identifier":{"\u0000user":"a"}}"#,
    ] {
        let refused = read(NamingEndpoint::Login, body.as_bytes());
        assert_eq!(refused.unwrap_err(), BodyError::Unclear, "{body}");
    }
}

#[test]
fn rule_15_a_named_account_shows_no_secret() {
    let body = r#"{"token":"s3cret","user":"s3cret","address":"s3cret"}"#;
    let found = read(NamingEndpoint::Login, body.as_bytes()).unwrap();
    assert_eq!(found.len(), 3);
    assert!(!format!("{found:?}").contains("s3cret"));
}
