//! Whose a credential is.

use super::{
    Fixture, Promise,
    accounts::{Run, access},
    wait,
};
use crate::credential::{AccessToken, Credential, LoginIdentifier, LoginToken};

pub(super) async fn check<F: Fixture>(run: &mut Run<'_, F>) {
    unknown(run).await;
    owners(run).await;
    asserted_user(run).await;
    nothing_is_consumed(run).await;
}

async fn unknown<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::UnknownTokenIsNobodys;
    let long = run.names.token(&"x".repeat(64 * 1024));
    let plain = run.names.token("unknown");
    let user = run.names.user("unknown");
    let odd = [b"\xff\x00\xfe".as_slice(), plain.as_bytes()].concat();
    for (what, credential) in [
        ("an unknown access token", access(&plain)),
        ("an unknown access token of 64 KiB", access(&long)),
        (
            "an access token that is not UTF-8",
            Credential::AccessToken(AccessToken::new(odd.as_slice())),
        ),
        (
            "an unknown refresh token",
            Credential::RefreshToken(plain.as_str().into()),
        ),
        (
            "an unknown login token",
            Credential::LoginToken(LoginToken::new(plain.as_str(), Some("m.login.token"))),
        ),
        (
            "an e-mail address that no one has",
            Credential::LoginIdentifier(LoginIdentifier::ThirdParty {
                medium: "email",
                address: &plain,
            }),
        ),
    ] {
        if let Some(Some(owner)) = run.owner(promise, what, credential).await {
            let detail = format!("{what} is said to be {owner:?}'s");
            run.findings.add(promise, detail);
        }
        run.ways_agree(what, credential).await;
    }
    let promise = Promise::UnknownUserIsActive;
    if let Some(state) = run.state(promise, &user).await {
        let question = format!("the state of {user:?}, who was never heard of");
        run.findings
            .same(promise, question, &state.is_active(), &true);
    }
}

async fn owners<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::TokenFindsItsOwner;
    let users = run.names.hard_users();
    let mut tokens = Vec::new();
    for user in &users {
        tokens.push(run.token_of(promise, user).await);
    }
    // Only when all are in place: a user of nearly the same name must not have replaced one.
    for (user, token) in users.iter().zip(&tokens) {
        let what = format!("the token of {user:?}");
        if let Some(owner) = run.owner(promise, &what, access(token)).await {
            run.findings.same(
                promise,
                format_args!("whose {what} is"),
                &owner.as_ref(),
                &Some(user),
            );
        }
        run.ways_agree(&what, access(token)).await;
    }
}

async fn asserted_user<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::AssertedUserIsNotBelieved;
    let (user, other) = (run.names.user("asserting"), run.names.user("asserted"));
    let token = run.token_of(promise, &user).await;
    run.token_of(promise, &other).await;
    let credential =
        Credential::AccessToken(AccessToken::new(token.as_str()).with_asserted_user(&other));
    let what = "a person's token with a `user_id` parameter";
    if let Some(owner) = run.owner(promise, what, credential).await {
        run.findings.same(
            promise,
            format_args!("whose {what} is"),
            &owner.as_ref(),
            &Some(&user),
        );
    }
    run.ways_agree(what, credential).await;
}

async fn nothing_is_consumed<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::LookUpConsumesNothing;
    let user = run.names.user("consumed");
    let access_token = run.token_of(promise, &user).await;
    let (refresh, login) = (run.names.token("refresh"), run.names.token("login"));
    let has_refresh = wait::answer(run.fixture.insert_refresh_token(&refresh, &user)).await;
    let has_login = wait::answer(run.fixture.insert_login_token(&login, &user)).await;
    for (is_there, what, credential) in [
        (Ok(true), "an access token", access(&access_token)),
        (
            has_refresh,
            "a refresh token",
            Credential::RefreshToken(refresh.as_str().into()),
        ),
        (
            has_login,
            "a login token",
            Credential::LoginToken(LoginToken::new(login.as_str(), Some("m.login.token"))),
        ),
    ] {
        match is_there {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                run.findings.add(promise, format!("making {what}: {error}"));
                continue;
            }
        }
        for time in ["first", "second", "third"] {
            let what = format!("{what} that is asked for the {time} time");
            if let Some(owner) = run.owner(promise, &what, credential).await {
                let question = format!("whose {what} is");
                run.findings
                    .same(promise, question, &owner.as_ref(), &Some(&user));
            }
        }
    }
}
