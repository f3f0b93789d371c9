//! Rule 15, over the ready-made stores: requests full of secrets go through both layers, a cache and
//! a database. Then every file that the database has written is searched for them, and so is what
//! stores, options, errors and statistics show.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;

use std::{
    convert::Infallible,
    error::Error,
    fmt::{Debug, Write as _},
    fs,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tempfile::TempDir;
use tower::{Layer as _, ServiceExt as _};
use tower_account_status::{
    AccountDirectory, AccountModerationLayer, AccountStatusLayer, Authentication, CachedStore,
    Combined, Credential, RestrictionStore, UserId,
    store::{PostgresOptions, SqliteOptions, SqliteStore},
};
use tower_account_status::{
    AccountStateStore, by_credential,
    store::{Answer, StoreError},
    without,
};

const ADMIN: &str = "@admin:localhost";
const ALICE: &str = "@alice:localhost";

const ADMINS_TOKEN: &str = "syt_secret_of_the_admin";
const TOKEN: &str = "syt_secret_of_alice";
const REFRESH: &str = "syr_secret_of_alice";
const LOGIN: &str = "syl_secret_of_alice";
const MADE_UP: &str = "syt_secret_of_nobody";
const PASSWORD: &str = "secret_of_the_mind";
const DATABASE_PASSWORD: &str = "secret_of_the_database";

const SECRETS: [&str; 7] = [
    ADMINS_TOKEN,
    TOKEN,
    REFRESH,
    LOGIN,
    MADE_UP,
    PASSWORD,
    DATABASE_PASSWORD,
];

/// The server: it knows whose a credential is, and who its administrator is.
struct Server;

fn owner(secret: &[u8]) -> Option<UserId> {
    match std::str::from_utf8(secret) {
        Ok(ADMINS_TOKEN) => Some(ADMIN.into()),
        Ok(TOKEN | REFRESH | LOGIN) => Some(ALICE.into()),
        _ => None,
    }
}

impl AccountStateStore for Server {
    by_credential! { owner }
    without! { event_sender, state, changes }
}

impl Server {
    async fn owner(&self, credential: Credential<'_>) -> Answer {
        Ok(match credential {
            Credential::AccessToken(token) | Credential::RefreshToken(token) => {
                owner(token.expose())
            }
            Credential::LoginToken(login) => owner(login.token().expose()),
            Credential::ApplicationService(_) => None,
            Credential::LoginName(_) | Credential::ThirdParty(_) => Some(ALICE.into()),
        })
    }
}

impl AccountDirectory for Server {
    type Error = Infallible;

    async fn authenticate(&self, token: &str) -> Result<Authentication, Infallible> {
        Ok(owner(token.as_bytes()).into())
    }

    async fn is_administrator(&self, user: &UserId) -> Result<bool, Infallible> {
        Ok(*user == ADMIN)
    }

    fn is_local(&self, _: &UserId) -> bool {
        true
    }

    async fn exists(&self, _: &UserId) -> Result<bool, Infallible> {
        Ok(true)
    }
}

fn request(method: &str, path: &str, token: &str, body: &str) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(path);
    let builder = builder.header("authorization", format!("Bearer {token}"));
    let body = Bytes::copy_from_slice(body.as_bytes());
    builder.body(Full::new(body)).unwrap()
}

fn requests() -> Vec<Request<Full<Bytes>>> {
    let path = |rest: &str| format!("/_matrix/client/{rest}");
    let lock = |locked| {
        let body = format!(r#"{{"locked":{locked}}}"#);
        request(
            "PUT",
            &path(&format!("v1/admin/lock/{ALICE}")),
            ADMINS_TOKEN,
            &body,
        )
    };
    let reads = || {
        [TOKEN, MADE_UP, ADMINS_TOKEN]
            .map(|token| request("GET", &path("v3/joined_rooms"), token, ""))
    };
    let login = |what: &str| {
        let body = format!(
            r#"{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"alice"}},"password":"{PASSWORD}",{what}}}"#
        );
        request("POST", &path("v3/login"), MADE_UP, &body)
    };
    let mut requests = Vec::new();
    for locked in [false, true, false] {
        requests.push(lock(locked));
        requests.extend(reads());
        requests.push(request(
            "GET",
            &path(&format!("v3/sync?access_token={TOKEN}")),
            MADE_UP,
            "",
        ));
        requests.push(login(&format!(r#""token":"{LOGIN}""#)));
        let refresh = format!(r#"{{"refresh_token":"{REFRESH}"}}"#);
        requests.push(request("POST", &path("v3/refresh"), MADE_UP, &refresh));
    }
    requests
}

/// Plays all requests, and returns what there is to read afterwards.
async fn play<R: RestrictionStore>(restrictions: R, fails: impl Future<Output = ()>) -> String {
    let restrictions = Arc::new(restrictions);
    let mut shown = String::new();
    let store = CachedStore::new(Combined::new(Server, Arc::clone(&restrictions)));
    let store = Arc::new(store);
    let moderation = AccountModerationLayer::new(Server, Arc::clone(&restrictions));
    let layer = AccountStatusLayer::new(Arc::clone(&store));
    show(&mut shown, &layer);
    show(&mut shown, &moderation);
    let server = tower::service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = layer.layer(moderation.layer(server));
    let mut statuses = Vec::new();
    let mut send = async |request| {
        let response = service.clone().oneshot(request).await.unwrap();
        show(&mut shown, &response);
        statuses.push(response.status());
    };
    for request in requests() {
        send(request).await;
    }
    fails.await;
    for request in requests() {
        send(request).await;
    }
    for status in [StatusCode::OK, StatusCode::UNAUTHORIZED] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }
    if let Err(error) = restrictions.state_of("@somebody:localhost").await {
        let error: StoreError = error.into();
        let error: Box<dyn Error + Send + Sync> = error.into();
        let mut error: Option<&dyn Error> = Some(&*error);
        while let Some(this) = error {
            writeln!(shown, "{this}").unwrap();
            show(&mut shown, &this);
            error = this.source();
        }
    }
    show(&mut shown, &store);
    show(&mut shown, &store.stats());
    shown
}

fn show(shown: &mut String, value: &impl Debug) {
    writeln!(shown, "{value:?}\n{value:#?}").unwrap();
}

fn assert_no_secret(what: &str, bytes: &[u8]) {
    for secret in SECRETS {
        let found = bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} stands in {what}");
    }
}

/// Searches every file below `folder`, and says how many of them name the account.
fn search(folder: &Path) -> usize {
    let mut naming = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            naming += search(&path);
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert_no_secret(&path.display().to_string(), &bytes);
            let name = ALICE.as_bytes();
            naming += usize::from(bytes.windows(name.len()).any(|part| part == name));
        }
    }
    naming
}

#[tokio::test]
async fn rule_15_sqlite_keeps_no_secret() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("restrictions.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut shown = play(store, async {}).await;
    show(&mut shown, &SqliteOptions::new());
    // One that cannot be opened.
    show(
        &mut shown,
        &SqliteStore::open(folder.path()).await.unwrap_err(),
    );
    assert_no_secret("what is shown", shown.as_bytes());
    assert!(shown.contains("M_USER_LOCKED"), "{shown}");
    assert!(
        search(folder.path()) > 0,
        "the files that are searched are the store's"
    );
}

#[tokio::test]
async fn rule_15_postgres_keeps_no_secret() {
    let cluster = Arc::new(postgres::Cluster::start());
    let url = format!("{} password={DATABASE_PASSWORD}", cluster.database().await);
    let options = PostgresOptions::new(&url).unwrap();
    let mut shown = String::new();
    show(&mut shown, &options);
    let store = options.connect().await.unwrap();
    let stopped = Arc::clone(&cluster);
    shown += &play(store, async move { stopped.stop() }).await;
    show(
        &mut shown,
        &PostgresOptions::new(&url)
            .unwrap()
            .connect()
            .await
            .unwrap_err(),
    );
    show(
        &mut shown,
        &PostgresOptions::new(&format!("nonsense={DATABASE_PASSWORD}")).unwrap_err(),
    );
    assert_no_secret("what is shown", shown.as_bytes());
    for part in ["M_USER_LOCKED", "status: 503", "connect"] {
        assert!(shown.contains(part), "{part} never came out: {shown}");
    }
    assert!(
        search(cluster.folder()) > 0,
        "the files that are searched are the store's"
    );
}
