//! Rule 15, from outside: every scenario runs with secrets in it, and everything that comes out is
//! searched for them: events at TRACE, outcomes, denials, answers, panics, and the `{:?}` of every
//! public type. This file has only one test, because the panic hook is the whole process's.

use std::{
    convert::Infallible,
    error::Error,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Service as _, ServiceExt as _};
use tower_account_status::{
    AccessToken, Account, AccountState, AccountStateStore, AccountStatusLayer, Action, Changes,
    CheckedAccounts, Credential, Denial, DynAccountStateStore, LoginToken, MemoryStore,
    NamedAccountCheck, NamedIn, Outcome, Peek, Restriction, RestrictionKind, RestrictionRecord,
    Secret, StoreFailure, SuspensionPolicy,
};
use tower_account_status::{
    ThirdParty, by_credential, forward,
    store::{Answer, StoreError},
};
use tower_layer::Layer as _;

const TOKEN: &str = "syt_verysecretaccess";
const REFRESH: &str = "syr_verysecretrefresh";
const LOGIN: &str = "syl_verysecretlogin";
const PASSWORD: &str = "verysecretpassword";

/// All that came out.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn text(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn debug(&self, value: &impl Debug) {
        self.text(format!("{value:?}"));
        self.text(format!("{value:#?}"));
    }

    fn error(&self, error: &(dyn Error + 'static)) {
        let mut error = Some(error);
        while let Some(this) = error {
            self.text(format!("{this} {this:?}"));
            error = this.source();
        }
    }
}

/// In which way the store fails, if it does.
#[derive(Clone, Copy, Debug)]
enum Fails {
    Not,
    AtOnce,
    Error,
    Panic,
    Hang,
}

struct Store {
    memory: Arc<MemoryStore>,
    fails: Fails,
}

impl AccountStateStore for Store {
    by_credential! { owner }
    forward! { memory => all except credentials, peek }

    fn peek(&self, credential: Credential<'_>) -> Peek {
        assert!(
            !matches!(self.fails, Fails::AtOnce),
            "torn off at once, with {credential:?}"
        );
        Peek::Ask
    }
}

impl Store {
    async fn owner(&self, credential: Credential<'_>) -> Answer {
        match self.fails {
            Fails::Error => Err(StoreError::msg("the database is away")),
            Fails::Panic => panic!("the database was torn off, while it looked for {credential:?}"),
            Fails::Hang => std::future::pending().await,
            Fails::Not | Fails::AtOnce => Ok(match self.memory.peek(credential) {
                Peek::Account(account) => Some(account.user().clone()),
                _ => None,
            }),
        }
    }
}

#[cfg(feature = "tracing")]
mod capture {
    use std::fmt::{Debug, Write as _};

    use tracing::{Event, Metadata, Subscriber, field, span};

    /// Writes down every field of every event and every span.
    pub(super) struct Capture(pub(super) super::Said);

    struct Fields(String);

    impl field::Visit for Fields {
        fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
            write!(self.0, " {field}={value:?}").expect("room");
        }
    }

    impl Subscriber for Capture {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
            let mut fields = Fields(format!("span {}", span.metadata().name()));
            span.record(&mut fields);
            self.0.text(fields.0);
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, values: &span::Record<'_>) {
            let mut fields = Fields("span".to_owned());
            values.record(&mut fields);
            self.0.text(fields.0);
        }
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut fields = Fields("event".to_owned());
            event.record(&mut fields);
            self.0.text(fields.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }
}

fn requests() -> Vec<Request<Full<Bytes>>> {
    let request = |method: &str, path: &str, token: Option<&str>, body: String| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Full::from(body)).expect("a request")
    };
    let none = String::new;
    let sync = "/_matrix/client/v3/sync";
    let (login, refresh) = ("/_matrix/client/v3/login", "/_matrix/client/v3/refresh");
    let password = |user: &str| {
        format!(
            r#"{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"{user}"}},"password":"{PASSWORD}"}}"#
        )
    };
    let many: String = (0..9)
        .map(|n| format!("access_token={TOKEN}{n}&"))
        .collect();
    vec![
        request("GET", sync, Some(TOKEN), none()),
        request(
            "GET",
            &format!("{sync}?access_token={TOKEN}&user_id=@b:x"),
            None,
            none(),
        ),
        request("GET", &format!("{sync}?{many}"), Some(TOKEN), none()),
        request("GET", sync, Some(&format!("{TOKEN} {TOKEN}x")), none()),
        request("POST", "/_matrix/client/v3/logout", Some(TOKEN), none()),
        request(
            "PUT",
            "/_matrix/client/v3/rooms/!r/send/m.room.message/1",
            Some(TOKEN),
            none(),
        ),
        request(
            "PUT",
            "/_matrix/client/v3/rooms/!r/redact/$e/1",
            Some(TOKEN),
            none(),
        ),
        request("POST", login, None, password("@a:x")),
        request("POST", login, None, password(PASSWORD)),
        request(
            "POST",
            login,
            None,
            format!(r#"{{"type":"m.login.token","token":"{LOGIN}"}}"#),
        ),
        request(
            "POST",
            login,
            None,
            format!(r#"{{"password":"{PASSWORD}","user":["{PASSWORD}"]}}"#),
        ),
        request("POST", login, None, format!(r#"{{"password":"{PASSWORD}"#)),
        request(
            "POST",
            login,
            None,
            format!(r#"{{"user":"{}{PASSWORD}"}}"#, " ".repeat(70_000)),
        ),
        request(
            "POST",
            refresh,
            None,
            format!(r#"{{"refresh_token":"{REFRESH}"}}"#),
        ),
        request(
            "POST",
            refresh,
            None,
            format!(r#"{{"refresh_token":"{REFRESH}"}} {REFRESH}"#),
        ),
        request(
            "POST",
            "/_matrix/client/v3/account/deactivate",
            None,
            format!(r#"{{"auth":{}}}"#, password("@a:x")),
        ),
    ]
}

async fn play(
    said: &Said,
    kind: Option<RestrictionKind>,
    fails: Fails,
    report_only: bool,
    passes: bool,
) {
    let memory = Arc::new(MemoryStore::new());
    memory.insert_access_token(TOKEN, "@a:x");
    memory.insert_refresh_token(REFRESH, "@a:x");
    memory.insert_login_token(LOGIN, "@a:x");
    if let Some(kind) = kind {
        memory.restrict("@a:x", Restriction::new(kind).with_reason("because"));
    }
    let hears = said.clone();
    let mut layer = AccountStatusLayer::new(Store {
        memory: Arc::clone(&memory),
        fails,
    })
    .with_store_timeout(Duration::from_millis(1))
    .with_checked_accounts()
    .with_observer(move |outcome: &Outcome<'_>| {
        hears.debug(outcome);
        hears.text(format!(
            "{:?} {} {:?}",
            outcome.account(),
            outcome.decision(),
            outcome.method()
        ));
        if let Some(error) = outcome.store_error() {
            hears.text(error.to_string());
        }
        if let Some(denial) = outcome.denial() {
            hears.error(denial);
        }
    });
    if report_only {
        layer = layer.with_report_only();
    }
    if passes {
        layer = layer
            .with_store_failure(StoreFailure::LetEveryoneThrough)
            .with_named_account_check(NamedIn::Login, NamedAccountCheck::ByHandler);
    }
    said.debug(&layer);
    said.debug(&layer.guard());
    let hears = said.clone();
    let inner = tower::service_fn(
        move |request: Request<tower_account_status::RequestBody<Full<Bytes>>>| {
            let hears = hears.clone();
            async move {
                if let Some(accounts) = request.extensions().get::<CheckedAccounts>() {
                    hears.debug(accounts);
                }
                hears.debug(request.body());
                let sync = request.uri().path().ends_with("/sync");
                if sync {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        },
    );
    let layer = layer.with_wrapped_bodies();
    for request in requests() {
        let mut service = layer.layer(inner.clone());
        said.text(format!("{layer:?}"));
        service.ready().await.unwrap_or_else(|never| match never {});
        let is_sync = request.uri().path().ends_with("/sync");
        let response = service.call(request);
        said.debug(&response);
        if is_sync && kind.is_none() {
            let memory = Arc::clone(&memory);
            tokio::spawn(async move {
                memory.restrict("@a:x", RestrictionKind::Locked);
                tokio::task::yield_now().await;
                memory.lift("@a:x", RestrictionKind::Locked);
            });
        }
        let response = response.await.unwrap_or_else(|never| match never {});
        if let Some(denial) = response.extensions().get::<Denial>() {
            said.error(denial);
        }
        let (head, body) = response.into_parts();
        said.debug(&head);
        said.debug(&body);
        let body = body.collect().await.expect("a body").to_bytes();
        said.text(String::from_utf8_lossy(&body));
    }
    let guard = layer.guard();
    if let Err(denial) = guard
        .check_action(&"@a:x".into(), Action::SendMessage)
        .await
    {
        said.error(&denial);
    }
}

/// The types that the scenarios do not show.
fn show_types(said: &Said) {
    let secret = Secret::from(TOKEN);
    let access = AccessToken::new(TOKEN).with_asserted_user("@a:x");
    let login = LoginToken::new(LOGIN, Some("m.login.token"));
    said.debug(&secret);
    said.debug(&access);
    said.debug(&login);
    for credential in [
        Credential::AccessToken(access.token()),
        Credential::ApplicationService(access.token()),
        Credential::RefreshToken(Secret::from(REFRESH)),
        Credential::LoginToken(login),
        Credential::LoginName(PASSWORD),
        Credential::ThirdParty(ThirdParty::Address {
            medium: "email",
            address: PASSWORD,
        }),
        Credential::ThirdParty(ThirdParty::Phone {
            country: "GB",
            phone: PASSWORD,
        }),
    ] {
        said.debug(&credential);
    }
    let memory = MemoryStore::new();
    memory.insert_access_token(TOKEN, "@a:x");
    memory.insert_application_service_token(TOKEN, "@a:x");
    memory.insert_refresh_token(REFRESH, "@a:x");
    memory.insert_login_token(LOGIN, "@a:x");
    said.debug(&memory);
    said.debug(&memory.peek(Credential::AccessToken(secret)));
    said.debug(&DynAccountStateStore::new(memory));
    let state = AccountState::from(RestrictionKind::Locked);
    said.debug(&Account::new("@a:x".into(), state));
    said.debug(&RestrictionRecord::new(RestrictionKind::Locked));
    said.debug(&SuspensionPolicy::new());
    let changes = Changes::new();
    said.debug(&changes);
    said.debug(&changes.subscribe("@a:x"));
}

#[test]
fn rule_15_no_secret_comes_out_anywhere() {
    let said = Said::default();
    let hears = said.clone();
    std::panic::set_hook(Box::new(move |panic| hears.text(format!("panic: {panic}"))));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let all = || {
        runtime.block_on(async {
            for kind in [None]
                .into_iter()
                .chain(RestrictionKind::ALL.iter().copied().map(Some))
            {
                for fails in [
                    Fails::Not,
                    Fails::AtOnce,
                    Fails::Error,
                    Fails::Panic,
                    Fails::Hang,
                ] {
                    for (report_only, passes) in [(false, false), (true, false), (false, true)] {
                        play(&said, kind, fails, report_only, passes).await;
                    }
                }
            }
        });
    };
    #[cfg(feature = "tracing")]
    tracing::subscriber::with_default(capture::Capture(said.clone()), all);
    #[cfg(not(feature = "tracing"))]
    all();
    show_types(&said);
    let _ = std::panic::take_hook();

    let said = said.0.lock().unwrap();
    println!("{} texts were searched", said.len());
    let count = |part: &str| said.iter().filter(|text| text.contains(part)).count();
    // Something has come out of each way.
    for part in [
        "panic: ",
        "M_USER_LOCKED",
        "the database is away",
        "because",
        "Outcome",
        "Ended",
    ] {
        assert!(count(part) > 0, "{part} never came out");
    }
    #[cfg(feature = "tracing")]
    assert!(
        count("event message=") > 100,
        "{} events",
        count("event message=")
    );
    let numbers = |secret: &str| {
        format!("{:?}", secret.as_bytes())
            .trim_matches(['[', ']'])
            .to_owned()
    };
    for secret in [TOKEN, REFRESH, LOGIN, PASSWORD] {
        for spelled in [secret.to_owned(), numbers(secret)] {
            let leak = said.iter().find(|text| text.contains(&spelled));
            assert!(leak.is_none(), "{secret} came out: {leak:?}");
        }
    }
}
