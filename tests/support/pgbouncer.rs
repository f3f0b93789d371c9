//! A pooler of the test's own in front of a server.

#![allow(dead_code, unreachable_pub)] // not every test needs everything
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use tokio::{net::TcpSocket, time::timeout};

use crate::postgres::{Cluster, as_server, reserved_port};

/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);

pub struct Pooler {
    program: &'static Path,
    settings: PathBuf,
    port: u16,
    _reserved: TcpSocket,
    process: Child,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Pooler {
    /// Starts one, if pgbouncer is installed.
    pub async fn start(cluster: &Cluster, mode: &str, server_connections: u32) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.is_file());
        let Some(program) = program else {
            assert!(
                std::env::var_os("TRIALS").is_none(),
                "pgbouncer is not installed: `scripts/trials pgbouncer`"
            );
            eprintln!("skipped: pgbouncer is not installed");
            return None;
        };
        let (reserved, port) = reserved_port();
        let file = cluster.folder().join(format!("pgbouncer-{port}.ini"));
        // With `any` every client is this user to the server.
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n\
             unix_socket_dir =\ndefault_pool_size = {server_connections}\n\
             server_login_retry = 1\nserver_connect_timeout = 2\n\
             ignore_startup_parameters = extra_float_digits\n",
            cluster.port()
        );
        fs::write(&file, settings).unwrap();
        let pooler = Self {
            process: launch(program, &file),
            program,
            settings: file,
            port,
            _reserved: reserved,
        };
        pooler.until_it_listens().await;
        Some(pooler)
    }

    async fn until_it_listens(&self) {
        timeout(START_LIMIT, async {
            while tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("pgbouncer starts");
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub async fn launch(&mut self) {
        self.process = launch(self.program, &self.settings);
        self.until_it_listens().await;
    }

    /// Stops it in the middle of what it does, until [`go_on`](Self::go_on).
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill {signal} {}", self.process.id());
        crate::postgres::expect_success(Command::new("sh").args(["-c", &kill]));
    }

    pub fn url(&self, cluster: &Cluster, direct: &str) -> String {
        let (ours, theirs) = (format!("port={}", cluster.port()), self.port);
        direct.replace(&ours, &format!("port={theirs}"))
    }
}

fn launch(program: &Path, settings: &Path) -> Child {
    let mut command = as_server(program);
    command.arg("-q").arg(settings).spawn().unwrap()
}
