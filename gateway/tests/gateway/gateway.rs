//! The gateway as a child process.

use std::{
    env,
    fs::{self, File},
    ops::Deref,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::homeserver::{self, BOUND, Client};

/// A running gateway with a database of its own. Dropping it kills the process.
pub(crate) struct Gateway {
    client: Client,
    pub(crate) database: PathBuf,
    directory: TempDir,
    process: Child,
    output: Arc<Mutex<String>>,
}

impl Deref for Gateway {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Gateway {
    /// Starts one in front of the server at `upstream`, with these arguments beside the usual, and
    /// a database of its own.
    pub(crate) async fn start(upstream: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = directory.path().join("gateway.sqlite");
        let path = database.to_str().expect("a path that is text");
        let arguments = [&["--database", path], arguments].concat();
        Self::start_in(directory, database.clone(), upstream, &arguments).await
    }

    /// The same, on the database that the arguments name.
    pub(crate) async fn start_on(upstream: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(directory, PathBuf::new(), upstream, arguments).await
    }

    async fn start_in(
        directory: TempDir,
        database: PathBuf,
        upstream: &str,
        arguments: &[&str],
    ) -> Self {
        let errors = File::create(directory.path().join("errors")).expect("a file");
        let mut process = command()
            .args(["--listen", "127.0.0.1:0", "--admin", "@admin:localhost"])
            .arg("--log-refusals")
            .args(["--upstream", &format!("http://{upstream}")])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("the gateway starts");
        let output = Arc::<Mutex<String>>::default();
        let heard = Arc::clone(&output);
        let address = homeserver::listening(&mut process, move |line| {
            let mut output = heard.lock().expect("nobody panics here");
            output.push_str(line);
            output.push('\n');
        })
        .await;
        Self {
            client: Client::new(address),
            database,
            directory,
            process,
            output,
        }
    }

    /// All that the process has printed so far.
    pub(crate) fn log(&self) -> String {
        let output = self.output.lock().expect("nobody panics here").clone();
        let errors = fs::read_to_string(self.directory.path().join("errors"));
        output + &errors.expect("the file of errors")
    }

    /// Asks the process to end, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        homeserver::terminate(&mut self.process).await
    }

    /// Sends a signal, and does not wait for its effect.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.process_id());
        let sent = std::process::Command::new("sh")
            .args(["-c", &command])
            .status();
        assert!(sent.expect("`sh` runs").success(), "no signal was sent");
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(BOUND, self.process.wait()).await;
        ended.expect("it ends in time").expect("an exit status")
    }

    /// Makes requests of `/health` and `/metrics`, with `--monitor`.
    pub(crate) fn monitor(&self) -> Client {
        let output = self.output.lock().expect("nobody panics here");
        let mut addresses = output
            .lines()
            .filter_map(|line| line.strip_prefix("Monitoring on http://"));
        Client::new(addresses.next().expect("a monitor").to_owned())
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id().expect("the gateway runs")
    }
}

/// The gateway's binary, which is killed when the test ends.
pub(crate) fn command() -> Command {
    let mut command = program();
    command.arg("serve");
    command
}

/// The same, for its other commands.
pub(crate) fn program() -> Command {
    let mut command = Command::new(homeserver::binary("account-status-gateway"));
    command.stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("ACCOUNT_STATUS_") {
            command.env_remove(name);
        }
    }
    command
}
