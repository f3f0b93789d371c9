//! The example homeserver's store keeps the promises of `AccountStateStore`, on its own tables.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the store uses a part of each module"
)]

#[path = "../src/args.rs"]
mod args;
#[path = "../src/database/mod.rs"]
mod database;
#[path = "../src/homeserver.rs"]
mod homeserver;
#[path = "../src/secret.rs"]
mod secret;
#[path = "../src/store.rs"]
mod store;
#[path = "../src/time.rs"]
mod time;

use std::time::Duration;

use database::{
    accounts::{self, Details},
    tokens::{self, Issued},
};
use homeserver::Homeserver;
use secret::{TokenHash, hash_token};
use tempfile::TempDir;
use tower_account_status::{
    AccessToken, Account, AccountState, AccountStateStore, Credential, LoginToken, Restriction,
    RestrictionKind, UserId,
};
use tower_account_status::{Secret, ThirdParty, store::account_of};

const ALICE: &str = "@alice:localhost";

/// A server with one account, which has the tokens `access` and `refresh`.
async fn server() -> (TempDir, Homeserver) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = directory.path().join("homeserver.sqlite");
    let server = Homeserver::new(String::new(), &database, Duration::ZERO).expect("a database");
    let issued = Issued {
        access: hash_token(b"access"),
        expires_at: None,
        refresh: Some(hash_token(b"refresh")),
    };
    server
        .database
        .write(move |connection| {
            accounts::create(connection, ALICE, "no password has this hash")?;
            tokens::log_in(connection, &ALICE.into(), "PHONE", None, &issued)
        })
        .await
        .expect("an account");
    (directory, server)
}

fn access(token: &str) -> Credential<'_> {
    Credential::AccessToken(token.into())
}

async fn ask(server: &Homeserver, credential: Credential<'_>) -> Option<Account> {
    let text = |token: Secret<'_>| token.expose_str().unwrap_or_default().to_owned();
    let owner = match credential {
        Credential::AccessToken(token) => server.access_token(&text(token)).await,
        Credential::ApplicationService(token) => server.application_service(&text(token)).await,
        Credential::LoginName(name) => server.login_name(name).await,
        Credential::ThirdParty(id) => server.third_party(id).await,
        Credential::LoginToken(login) => {
            let token = text(login.token());
            server.login_token(&token, login.login_type()).await
        }
        Credential::RefreshToken(token) => server.refresh_token(&text(token)).await,
    };
    let account = match owner.expect("the database answers") {
        Some(user) => {
            let state = server.state(&user).await.expect("the database answers");
            Some(Account::new(user, state))
        }
        None => None,
    };
    if let Credential::AccessToken(token) = credential {
        let joint = server.access_token_and_state(&text(token)).await;
        let joint = joint.expect("the database answers");
        assert_eq!(joint, account, "both ways of asking agree");
    }
    account
}

async fn lock(server: &Homeserver, lock: Option<Details>) {
    let alice = UserId::from(ALICE);
    server
        .change_account(alice.clone(), move |connection| {
            accounts::set_lock(connection, &alice, lock.as_ref())
        })
        .await
        .expect("the account is changed");
}

#[tokio::test]
async fn every_credential_leads_to_its_account_and_state() {
    let (_directory, server) = server().await;
    server
        .database
        .write(|connection| {
            connection.execute(
                "INSERT INTO third_party_ids VALUES ('msisdn', '4930123456', ?)",
                [ALICE],
            )
        })
        .await
        .expect("a third-party id");
    lock(&server, Some(Details::default())).await;

    let locked = Account::new(ALICE.into(), RestrictionKind::Locked.into());
    for credential in [
        access("access"),
        Credential::RefreshToken("refresh".into()),
        Credential::LoginName("alice"),
        Credential::LoginName(ALICE),
        Credential::ThirdParty(ThirdParty::Address {
            medium: "msisdn",
            address: "4930123456",
        }),
        Credential::ThirdParty(ThirdParty::Phone {
            country: "DE",
            phone: "+49 30 123456",
        }),
    ] {
        assert_eq!(
            ask(&server, credential).await.as_ref(),
            Some(&locked),
            "{credential:?}"
        );
    }
    for nobodys in [
        access("refresh"),
        access(""),
        Credential::RefreshToken("access".into()),
        Credential::LoginName("bob"),
        Credential::LoginName("@alice:example.org"),
        Credential::LoginToken(LoginToken::new("access", Some("m.login.token"))),
    ] {
        assert_eq!(ask(&server, nobodys).await, None, "{nobodys:?}");
    }
    let asserted = AccessToken::new("access").with_asserted_user("@bob:localhost");
    let account = account_of(&server, asserted).await;
    let account = account.expect("the database answers");
    assert_eq!(
        account,
        Some(locked),
        "no token here is an application service's"
    );
}

#[tokio::test]
async fn a_look_up_consumes_nothing() {
    let (_directory, server) = server().await;
    let next = |access: &[u8]| Issued {
        access: hash_token(access),
        expires_at: None,
        refresh: None,
    };
    let refreshed = next(b"next");
    let refresh = async |issued: Issued| {
        let old: TokenHash = hash_token(b"refresh");
        server
            .database
            .write(move |connection| tokens::refresh(connection, &old, &issued))
            .await
            .expect("the database answers")
    };
    assert!(refresh(refreshed).await);
    // The first use of `next` ends `refresh`. A look-up is no use.
    for _ in 0..2 {
        assert!(ask(&server, access("next")).await.is_some());
        assert!(
            ask(&server, Credential::RefreshToken("refresh".into()))
                .await
                .is_some()
        );
        assert!(ask(&server, access("access")).await.is_some());
    }
    assert!(
        refresh(next(b"another")).await,
        "the refresh token is still good"
    );
}

#[tokio::test]
async fn an_expired_access_token_belongs_to_its_account() {
    let (_directory, server) = server().await;
    server
        .database
        .write(|connection| connection.execute("UPDATE access_tokens SET expires_at = 1", []))
        .await
        .expect("the token expires");
    lock(&server, Some(Details::default())).await;
    let account = ask(&server, access("access")).await.expect("an owner");
    assert_eq!(*account.state(), RestrictionKind::Locked.into());
}

#[tokio::test]
async fn states_are_independent_and_come_from_flags_of_their_own() {
    let (_directory, server) = server().await;
    let state = async || server.state(ALICE).await.expect("the database answers");
    assert_eq!(state().await, AccountState::ACTIVE);
    let nobody = server.state("@nobody:localhost").await;
    assert_eq!(nobody.expect("the database answers"), AccountState::ACTIVE);

    // An account without a password is not a deactivated one.
    let sql = "UPDATE accounts SET password_hash = NULL";
    let change = server
        .database
        .write(move |connection| connection.execute(sql, []));
    assert_eq!(change.await.expect("the account is changed"), 1);
    assert_eq!(state().await, AccountState::ACTIVE);

    let alice = UserId::from(ALICE);
    let told = Details {
        reason: Some("See your e-mail".into()),
        until: Some(1_800_000_000_123),
    };
    lock(&server, Some(told)).await;
    server
        .change_account(alice.clone(), |connection| {
            let told = Details {
                reason: Some("Spam".into()),
                until: Some(1_900_000_000_456),
            };
            accounts::set_suspended(connection, &ALICE.into(), Some(&told))
        })
        .await
        .expect("the account is changed");
    let locked = Restriction::new(RestrictionKind::Locked)
        .with_reason("See your e-mail")
        .with_until(time::from_millis(1_800_000_000_123));
    let suspended = Restriction::new(RestrictionKind::Suspended)
        .with_reason("Spam")
        .with_until(time::from_millis(1_900_000_000_456));
    let suspended = AccountState::from(suspended);
    assert_eq!(state().await, suspended.clone().with(locked));
    lock(&server, None).await;
    assert_eq!(state().await, suspended, "the suspension stays");
    assert!(
        ask(&server, access("access")).await.is_some(),
        "no token has gone"
    );

    server
        .change_account(alice, |connection| {
            accounts::deactivate(connection, &ALICE.into())
        })
        .await
        .expect("the account is changed");
    assert_eq!(state().await, suspended.with(RestrictionKind::Deactivated));
    assert_eq!(
        ask(&server, access("access")).await,
        None,
        "the tokens go with the account"
    );
    let named = Credential::LoginName("alice");
    let account = ask(&server, named)
        .await
        .expect("the account is still known");
    assert!(
        account
            .state()
            .restriction(RestrictionKind::Deactivated)
            .is_some()
    );
}

#[tokio::test]
async fn rule_17_a_change_is_announced_when_every_look_up_sees_it() {
    let (_directory, server) = server().await;
    let changes = server.changes().expect("the store announces");
    for (next, restricted) in [(Some(Details::default()), true), (None, false)] {
        let mut subscription = changes.subscribe(ALICE);
        // The caller has gone before the change is committed.
        {
            let mut change = std::pin::pin!(lock(&server, next));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = change.as_mut().poll(&mut context);
        }
        tokio::time::timeout(Duration::from_secs(30), subscription.changed())
            .await
            .expect("an announcement");
        let account = ask(&server, access("access")).await.expect("an owner");
        assert_eq!(!account.state().is_active(), restricted);
    }
}
