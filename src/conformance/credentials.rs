//! Who owns a credential.

use super::{
    Fixture, Promise,
    account_run::{Run, access},
    wait,
};
use crate::credential::{Credential, LoginToken, ThirdParty};

pub(super) async fn check<F: Fixture>(run: &mut Run<'_, F>) {
    unknown(run).await;
    owners(run).await;
    expired(run).await;
    login_names(run).await;
    emails(run).await;
    login_types(run).await;
    nothing_is_consumed(run).await;
    events(run).await;
}

async fn unknown<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::UnknownIsNone;
    let long = run.names.token(&"x".repeat(64 * 1024));
    let plain = run.names.token("unknown");
    let odd = run.names.token("'; DROP TABLE tokens; -- \u{1f512}\u{0}");
    for (what, credential) in [
        ("an unknown access token", access(&plain)),
        ("an unknown access token of 64 KiB", access(&long)),
        ("an unknown access token of odd characters", access(&odd)),
        (
            "an unknown application service's token",
            Credential::ApplicationService(plain.as_str().into()),
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
            "an unknown e-mail address",
            Credential::ThirdParty(ThirdParty::Address {
                medium: "email",
                address: &plain,
            }),
        ),
    ] {
        if let Some(Some(owner)) = run.owner(promise, what, credential).await {
            let detail = format!("the owner of {what}: answered {owner:?}, expected none");
            run.findings.add(promise, detail);
        }
        run.ways_agree(what, credential).await;
    }
    let promise = Promise::UnknownUserIsActive;
    let user = run.names.user("unknown");
    if let Some(state) = run.state(promise, &user).await {
        let question = format!("the state of {user:?}, who is unknown");
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
    // All tokens are made first: a user of nearly the same name must not replace another.
    for (user, token) in users.iter().zip(&tokens) {
        let what = format!("the token of {user:?}");
        if let Some(owner) = run.owner(promise, &what, access(token)).await {
            let question = format!("the owner of {what}");
            run.findings
                .same(promise, question, &owner.as_ref(), &Some(user));
        }
        run.ways_agree(&what, access(token)).await;
    }
}

async fn expired<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::ExpiredTokenKeepsItsOwner;
    let user = run.names.user("expired");
    let token = run.token_of(promise, &user).await;
    let expired = run.fixture.expire_access_token(&token);
    let why_not = "`expire_access_token` returns `false`";
    if !run
        .made(promise, "expired access tokens", why_not, expired)
        .await
    {
        return;
    }
    let what = "an access token that has expired";
    if let Some(owner) = run.owner(promise, what, access(&token)).await {
        let question = format!("the owner of {what}");
        run.findings
            .same(promise, question, &owner.as_ref(), &Some(&user));
    }
    run.ways_agree(what, access(&token)).await;
}

async fn login_names<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::LoginNameFindsItsOwner;
    let user = run.names.user("named");
    run.token_of(promise, &user).await;
    let names = match wait::answer(run.fixture.login_names(&user)).await {
        Ok(names) => names,
        Err(error) => {
            let detail = format!("the login names of {user:?}: {error}");
            return run.findings.add(promise, detail);
        }
    };
    if names.is_empty() {
        let why = "`login_names` returns none";
        return run.findings.skip("login names", why);
    }
    for name in names {
        let what = format!("the login name {name:?}");
        let credential = Credential::LoginName(&name);
        if let Some(owner) = run.owner(promise, &what, credential).await {
            let question = format!("the owner of {what}");
            run.findings
                .same(promise, question, &owner.as_ref(), &Some(&user));
        }
        run.ways_agree(&what, credential).await;
    }
}

async fn emails<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::LoginNameFindsItsOwner;
    let user = run.names.user("with-email");
    run.token_of(promise, &user).await;
    let address = format!("{}@example.org", run.names.token("email"));
    let made = run.fixture.insert_email(&address, &user);
    let why_not = "`insert_email` returns `false`";
    if !run.made(promise, "e-mail addresses", why_not, made).await {
        return;
    }
    let credential = Credential::ThirdParty(ThirdParty::Address {
        medium: "email",
        address: &address,
    });
    if let Some(owner) = run.owner(promise, "an e-mail address", credential).await {
        let question = "the owner of an e-mail address";
        run.findings
            .same(promise, question, &owner.as_ref(), &Some(&user));
    }
}

async fn login_types<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::LoginTypeIsHeeded;
    let (user, other) = (run.names.user("typed"), run.names.user("other-type"));
    run.token_of(promise, &user).await;
    run.token_of(promise, &other).await;
    let (login_type, token) = match wait::answer(run.fixture.other_login_token(&user)).await {
        Ok(Some(made)) => made,
        Ok(None) => {
            let why = "`other_login_token` returns `None`";
            return run.findings.skip("login types with a token", why);
        }
        Err(error) => {
            let detail = format!("making a login token of another type: {error}");
            return run.findings.add(promise, detail);
        }
    };
    let mut expected = vec![(login_type, user)];
    // The same text as an `m.login.token`. A server that signs its tokens may refuse it.
    let made = run.fixture.insert_login_token(&token, &other);
    if let Ok(true) = wait::answer(made).await {
        expected.push(("m.login.token".to_owned(), other));
    }
    for (login_type, user) in expected {
        let what = format!("a login token of the type {login_type:?}");
        let login = LoginToken::new(token.as_str(), Some(login_type.as_str()));
        let credential = Credential::LoginToken(login);
        if let Some(owner) = run.owner(promise, &what, credential).await {
            let question = format!("the owner of {what}");
            run.findings
                .same(promise, question, &owner.as_ref(), &Some(&user));
        }
    }
}

async fn nothing_is_consumed<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::LookUpConsumesNothing;
    let user = run.names.user("consumed");
    let access_token = run.token_of(promise, &user).await;
    let (refresh, login) = (run.names.token("refresh"), run.names.token("login"));
    let made = run.fixture.insert_refresh_token(&refresh, &user);
    let why_not = "`insert_refresh_token` returns `false`";
    let has_refresh = run.made(promise, "refresh tokens", why_not, made).await;
    let made = run.fixture.insert_login_token(&login, &user);
    let why_not = "`insert_login_token` returns `false`";
    let has_login = run.made(promise, "login tokens", why_not, made).await;
    let before = wait::answer(run.fixture.count_tokens()).await;
    for (is_there, what, credential) in [
        (true, "an access token", access(&access_token)),
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
        for time in ["first", "second", "third"] {
            if !is_there {
                break;
            }
            let what = format!("{what} that is looked up for the {time} time");
            if let Some(owner) = run.owner(promise, &what, credential).await {
                let question = format!("the owner of {what}");
                run.findings
                    .same(promise, question, &owner.as_ref(), &Some(&user));
            }
        }
    }
    let after = wait::answer(run.fixture.count_tokens()).await;
    match before {
        Ok(None) => {
            let why = "`count_tokens` returns `None`";
            run.findings.skip("that no look-up makes a token", why);
        }
        before => {
            let question = "the number of tokens after the look-ups";
            run.findings.same(promise, question, &after, &before);
        }
    }
}

async fn events<F: Fixture>(run: &mut Run<'_, F>) {
    let promise = Promise::EventFindsItsSender;
    let user = run.names.user("sender");
    run.token_of(promise, &user).await;
    let room = format!("!{}:example.org", run.names.token("room"));
    let event = format!("${}", run.names.token("event"));
    let made = run.fixture.insert_event(&room, &event, &user);
    let why_not = "`insert_event` returns `false`";
    if !run.made(promise, "senders of events", why_not, made).await {
        return;
    }
    if let Some(sender) = run.sender(&room, &event).await {
        let question = "the sender of an event";
        run.findings
            .same(promise, question, &sender.as_ref(), &Some(&user));
    }
    if let Some(sender) = run.sender(&room, "$unknown").await {
        let question = "the sender of an event that the room does not have";
        run.findings.same(promise, question, &sender, &None);
    }
}
