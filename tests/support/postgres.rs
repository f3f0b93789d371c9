//! A PostgreSQL server for the test: on loopback, never as root, and deleted afterwards.

#![allow(dead_code, unreachable_pub)] // not every test needs everything
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio_postgres::{Client, NoTls};

/// How long the server may take to start; recovering after a kill takes longest.
const START_LIMIT: Duration = Duration::from_secs(60);

pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    _reserved: TcpSocket,
    /// A shell that ends the server when its own input ends, even if this process is killed.
    keeper: Mutex<Option<Child>>,
    databases: AtomicU32,
}

impl Cluster {
    /// One server for all tests of a program that run at the same time.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start());
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    pub fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new()
            .prefix("account-status-postgres-")
            .tempdir()
            .unwrap();
        if let Some(user) = unprivileged_user() {
            expect_success(Command::new("chown").arg(user).arg(folder.path()));
        }
        let mut initdb = as_server(&programs.join("initdb"));
        initdb.arg("-D").arg(folder.path().join("data"));
        initdb.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        expect_success(&mut initdb);
        let (reserved, port) = reserved_port();
        let cluster = Self {
            port,
            _reserved: reserved,
            folder,
            programs,
            keeper: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        cluster.launch();
        cluster
    }

    /// Restarts the server with a certificate for `localhost` of its own, and returns where that
    /// is.
    pub fn use_tls(&self) -> PathBuf {
        let data = self.folder.path().join("data");
        let mut openssl = as_server(Path::new("openssl"));
        openssl.args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        // One that signs itself has to be no authority for rustls to take it as a server's.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.arg("-keyout").arg(data.join("server.key"));
        openssl.arg("-out").arg(data.join("server.crt"));
        expect_success(&mut openssl);
        self.set("ssl = on");
        data.join("server.crt")
    }

    /// Restarts the server with another line in its configuration.
    pub fn set(&self, line: &str) {
        let data = self.folder.path().join("data");
        let mut file = fs::File::options()
            .append(true)
            .open(data.join("postgresql.conf"))
            .unwrap();
        std::io::Write::write_all(&mut file, format!("\n{line}\n").as_bytes()).unwrap();
        self.stop();
        self.launch();
    }

    /// Starts the server where it does not run, and returns when it answers.
    pub fn launch(&self) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.end();
            *self.keeper.lock().unwrap() = Some(self.spawn());
            if self.answers_before_it_ends(deadline) {
                return;
            }
            // After a kill its processes may take a moment to let go of the folder.
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not start:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn spawn(&self) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let server = as_server(&self.programs.join("postgres"));
        // One that is paused goes on, to end.
        let script = r#""$@" </dev/null & server=$!
            while read -r _ && kill -0 $server; do :; done 2>/dev/null
            kill -QUIT $server 2>/dev/null; kill -CONT $server 2>/dev/null; wait $server"#;
        Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(server.get_program())
            .args(server.get_args())
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            // What a killed process had written is in the machine's memory all the same.
            .args(["-c", "fsync=off", "-p"])
            .arg(self.port.to_string())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("`sh` starts")
    }

    fn answers_before_it_ends(&self, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            let mut is_ready = Command::new(self.programs.join("pg_isready"));
            is_ready.args(["-h", "127.0.0.1", "-t", "5", "-p"]);
            let ready = is_ready.arg(self.port.to_string()).output().unwrap();
            if ready.status.success() {
                return true;
            }
            if self.postmaster().is_none_or(|pid| !is_running(pid)) && self.has_failed() {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Whether the shell that keeps the server is left without one.
    fn has_failed(&self) -> bool {
        use std::io::Write as _;
        let mut keeper = self.keeper.lock().unwrap();
        let keeper = keeper.as_mut().expect("it was started");
        // It looks after the server with each line.
        let _ = keeper.stdin.as_mut().expect("it is piped").write_all(b"\n");
        keeper.try_wait().unwrap().is_some()
    }

    /// Kills the server, and returns when its other processes have noticed and ended: until then they
    /// answer.
    pub fn kill(&self) {
        let pid = self.postmaster().expect("PostgreSQL runs");
        let others = children(pid);
        signal("-KILL", pid);
        self.until_gone(pid);
        others.into_iter().for_each(|other| self.until_gone(other));
    }

    /// Stops the server in an orderly way that does not wait for clients.
    pub fn stop(&self) {
        let pid = self.postmaster().expect("PostgreSQL runs");
        signal("-INT", pid);
        self.until_gone(pid);
    }

    /// Stops all processes of the server in the middle of what they do, until [`go_on`](Self::go_on).
    /// The system goes on accepting connections for it.
    pub fn pause(&self) {
        self.signal_all("-STOP");
    }

    pub fn go_on(&self) {
        self.signal_all("-CONT");
    }

    fn signal_all(&self, name: &str) {
        let pid = self.postmaster().expect("PostgreSQL runs");
        signal(name, pid);
        for child in children(pid) {
            // One may have ended just now.
            let _ = Command::new("sh")
                .args(["-c", &format!("kill {name} {child}")])
                .output();
        }
    }

    fn until_gone(&self, pid: u32) {
        let deadline = Instant::now() + START_LIMIT;
        while is_running(pid) {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not end:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn postmaster(&self) -> Option<u32> {
        let file = self.folder.path().join("data").join("postmaster.pid");
        fs::read_to_string(file).ok()?.lines().next()?.parse().ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A new database, and the connection string for it.
    pub async fn database(&self) -> String {
        self.database_with("").await
    }

    pub async fn database_with(&self, options: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let client = self.client(&self.url("postgres")).await;
        let create = format!("CREATE DATABASE test_{number} {options}");
        client.batch_execute(&create).await.unwrap();
        self.url(&format!("test_{number}"))
    }

    pub fn url(&self, database: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user=postgres dbname={database}",
            self.port
        )
    }

    /// A program of PostgreSQL's, run as the server's user.
    pub fn program(&self, name: &str) -> Command {
        as_server(&self.programs.join(name))
    }

    /// Where everything is that the server writes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection beside the store's.
    pub async fn client(&self, url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()));
        tokio::spawn(connection);
        client
    }

    fn end(&self) {
        if let Some(mut keeper) = self.keeper.lock().unwrap().take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port that the system gives nobody else as long as the socket lives, though nobody listens there. A
/// server that reuses addresses, as all do, can.
pub fn reserved_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(any).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// Where PostgreSQL's programs are: on the path, or where Debian has them, the newest first.
fn programs() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    installed.sort();
    installed.reverse();
    installed
        .into_iter()
        .chain(std::env::split_paths(&on_path))
        .find(|folder| {
            ["initdb", "postgres", "pg_isready"]
                .iter()
                .all(|program| folder.join(program).is_file())
        })
        .expect(
            "this test starts a PostgreSQL server of its own, and `initdb` is neither under \
             /usr/lib/postgresql nor on the path: `apt-get install postgresql`",
        )
}

/// The server's user if the tests run as root, which the server refuses.
fn unprivileged_user() -> Option<&'static str> {
    if output(Command::new("id").arg("-u")) != "0" {
        return None;
    }
    let user = ["postgres", "nobody"].into_iter().find(|user| {
        Command::new("id")
            .arg(user)
            .output()
            .is_ok_and(|output| output.status.success())
    });
    Some(user.expect("as root the server needs a user `postgres` or `nobody` to run as"))
}

/// A program of the server's, run as a user that it accepts, in a folder that everyone can read.
pub fn as_server(program: &Path) -> Command {
    let mut command = match unprivileged_user() {
        None => Command::new(program),
        Some(user) => {
            let group = output(Command::new("id").args(["-g", user]));
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={user}"));
            command.arg(format!("--regid={group}"));
            command.arg("--clear-groups").arg(program);
            command
        }
    };
    command.current_dir("/");
    command
}

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap();
    let pids = children.split_whitespace();
    pids.map(|child| child.parse().unwrap()).collect()
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // What is behind the name in brackets begins with the state; Z has ended.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some(None | Some('Z')))
}

fn signal(signal: &str, pid: u32) {
    expect_success(Command::new("sh").args(["-c", &format!("kill {signal} {pid}")]));
}

fn output(command: &mut Command) -> String {
    let output = expect_success(command);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn expect_success(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
