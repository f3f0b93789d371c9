//! The example homeserver as a child process, and a client for it.
//!
//! In a test: `#[path = "…/tests/support/homeserver.rs"] mod homeserver;`

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test uses its part"
)]

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpSocket,
    process::{Child, Command},
    time::timeout,
};

/// Longer than anything that a test waits for, on a busy machine, too, and longer than any sync waits.
pub const BOUND: Duration = Duration::from_secs(90);

pub const ADMIN_PASSWORD: &str = "the administrator's password";

/// A running homeserver with a database of its own. Dropping it kills the process.
pub struct Homeserver {
    client: Client,
    /// A second connection to it shows what the server has stored.
    pub database: PathBuf,
    arguments: Vec<String>,
    directory: Arc<TempDir>,
    process: Child,
}

/// Requests can be made of the server itself.
impl Deref for Homeserver {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Homeserver {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with these command-line arguments beside the usual ones.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let arguments = arguments.iter().map(|&argument| argument.into()).collect();
        Self::start_in(Arc::new(directory), arguments, "127.0.0.1:0").await
    }

    /// Starts another process on the same database.
    pub async fn start_beside(&self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.into()).collect();
        Self::start_in(Arc::clone(&self.directory), arguments, "127.0.0.1:0").await
    }

    async fn start_in(directory: Arc<TempDir>, arguments: Vec<String>, listen: &str) -> Self {
        let binary = binary("homeserver");
        let database = directory.path().join("homeserver.sqlite");
        let mut process = Command::new(&binary)
            .args(["--listen", listen, "--admin"])
            .arg(format!("admin:{ADMIN_PASSWORD}"))
            .arg("--database")
            .arg(&database)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        let address = listening(&mut process, |_| {}).await;
        Self {
            client: Client::new(address),
            database,
            arguments,
            directory,
            process,
        }
    }

    /// Kills the process without notice and starts another on the same database.
    pub async fn kill_and_restart(mut self) -> Self {
        self.process.kill().await.expect("the server is killed");
        Self::start_in(self.directory, self.arguments, "127.0.0.1:0").await
    }

    /// Kills the process without notice; another may take its address and its database.
    pub async fn kill(mut self) -> Killed {
        self.process.kill().await.expect("the server is killed");
        let reserved = reserve(&self.client.address);
        Killed(self, reserved)
    }

    /// Asks the process to end, as a service manager does, and waits until it has.
    #[cfg(unix)]
    pub async fn terminate(&mut self) -> ExitStatus {
        terminate(&mut self.process).await
    }
}

#[cfg(unix)]
pub async fn terminate(process: &mut Child) -> ExitStatus {
    let id = process.id().expect("the server runs");
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -TERM {id}")])
        .status()
        .await
        .expect("`sh` runs");
    assert!(sent.success(), "no signal was sent: {sent}");
    timeout(BOUND, process.wait())
        .await
        .expect("the server ends in time")
        .expect("the server's exit status")
}

/// A homeserver that is down. Its address is given to no other program.
pub struct Killed(Homeserver, TcpSocket);

/// An address at which nobody listens, and which the system gives nobody else as long as this lives.
pub fn reserve(address: &str) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of it");
    let address = address.parse().expect("an address");
    socket.bind(address).expect("nobody listens there");
    socket
}

impl Killed {
    /// Starts it where it was.
    pub async fn restart(self) -> Homeserver {
        let Homeserver {
            client,
            directory,
            arguments,
            ..
        } = self.0;
        Homeserver::start_in(directory, arguments, &client.address).await
    }
}

/// Makes requests of the server at an address.
#[derive(Clone)]
pub struct Client {
    pub address: String,
    client: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub fn new(address: String) -> Self {
        Self {
            address,
            client: legacy::Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub async fn get(&self, path: &str, token: impl Token) -> Answer {
        self.request(Method::GET, path, token, Bytes::new()).await
    }

    pub async fn post(&self, path: &str, token: impl Token, body: Value) -> Answer {
        self.request(Method::POST, path, token, body.to_string())
            .await
    }

    pub async fn put(&self, path: &str, token: impl Token, body: Value) -> Answer {
        self.request(Method::PUT, path, token, body.to_string())
            .await
    }

    /// Sends a request, without a `Content-Type`, and reads the whole answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        token: impl Token,
        body: impl Into<Bytes>,
    ) -> Answer {
        let what = format!("{method} {path}");
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if let Some(token) = token.token() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Full::new(body.into()))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        self.send(request).await
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let what = format!("{} {}", request.method(), request.uri().path());
        let client = self.client.clone();
        let answer = async move {
            let (head, body) = client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((head, body))
        };
        let (head, body) = timeout(BOUND, answer)
            .await
            .unwrap_or_else(|_| panic!("{what}: no answer in time"))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        Answer {
            what,
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Registers `username` with the password of [`password_of`], and returns the access token.
    pub async fn register(&self, username: &str) -> String {
        let body = json!({
            "auth": { "type": "m.login.dummy" },
            "username": username,
            "password": password_of(username),
        });
        let answer = self.post("/_matrix/client/v3/register", (), body).await;
        answer.ok()["access_token"]
            .as_str()
            .expect("an access token")
            .to_owned()
    }

    /// Logs `user` in, and returns the whole answer, whatever it is. The keys of `more` are added.
    pub async fn login(&self, user: &str, password: &str, more: Value) -> Answer {
        let mut body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": user },
            "password": password,
        });
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        self.post("/_matrix/client/v3/login", (), body).await
    }

    /// Logs the administrator in, and returns the access token.
    pub async fn login_admin(&self) -> String {
        let answer = self.login("admin", ADMIN_PASSWORD, json!({})).await;
        answer.ok()["access_token"]
            .as_str()
            .expect("an access token")
            .to_owned()
    }
}

/// The password that [`Homeserver::register`] gives.
pub fn password_of(username: &str) -> String {
    format!("password of {username}")
}

/// A request's `Authorization`: a token, or nothing.
pub trait Token {
    fn token(&self) -> Option<&str>;
}

impl Token for () {
    fn token(&self) -> Option<&str> {
        None
    }
}

impl Token for &str {
    fn token(&self) -> Option<&str> {
        Some(self)
    }
}

impl Token for &String {
    fn token(&self) -> Option<&str> {
        Some(self)
    }
}

/// The answer to a request.
pub struct Answer {
    pub what: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body of an answer that has to be a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}: {:?}", self.what, self.body);
        self.json()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {:?}", self.what, self.body))
    }

    /// The body of an answer that has to be this standard error.
    #[track_caller]
    pub fn error(&self, status: u16, errcode: &str) -> Value {
        assert_eq!(self.status, status, "{}: {:?}", self.what, self.body);
        let content_type = &self.headers[header::CONTENT_TYPE];
        assert_eq!(content_type, "application/json", "{}", self.what);
        let body = self.json();
        assert_eq!(body["errcode"], errcode, "{}: {body}", self.what);
        let error = body["error"].as_str().unwrap_or_default();
        assert!(!error.is_empty(), "{}: {body}", self.what);
        body
    }
}

/// The address that a process says to listen on, once it does. `hear` gets every line that it says.
pub async fn listening(process: &mut Child, hear: impl Fn(&str) + Send + 'static) -> String {
    let output = process.stdout.take().expect("stdout is piped");
    let mut lines = BufReader::new(output).lines();
    let address = timeout(BOUND, async {
        while let Some(line) = lines.next_line().await.expect("the server's output") {
            hear(&line);
            if let Some(address) = line.strip_prefix("Listening on http://") {
                return address.to_owned();
            }
        }
        panic!("the server ended before it listened");
    })
    .await
    .expect("the server listens in time");
    // Somebody has to read on, or the server blocks when the pipe is full.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            hear(&line);
        }
    });
    address
}

/// The program of a package of the workspace, one directory above this test.
///
/// `cargo test` builds that of the test's own package; the gateway's tests start the homeserver's,
/// too, which `cargo test --workspace` builds.
pub fn binary(package: &str) -> PathBuf {
    let how = format!("run `cargo build -p {package}`, with the features and profile of this test");

    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let name = format!("{package}{}", std::env::consts::EXE_SUFFIX);
    let binary = profile.join(name);
    let Some(built) = modified(&binary) else {
        panic!("{} is missing: {how}", binary.display());
    };
    // Beside the binary cargo writes what it was made from.
    let sources = fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    for source in sources.split_whitespace().skip(1).map(Path::new) {
        if modified(source).is_some_and(|changed| changed > built) {
            let (binary, source) = (binary.display(), source.display());
            panic!("{binary} is older than {source}: {how}");
        }
    }
    binary
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}
