//! `curl` waits in a sync at one process of the example homeserver, the account is locked through
//! another or the same, and the 401 arrives.

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command as AsyncCommand,
    time::sleep,
};

use crate::{homeserver::Homeserver, postgres::Cluster, report, runtime};

const TRIALS: usize = 1000;
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const SYNC: &str = "/_matrix/client/v3/sync";

/// How long curl has to start and to send its request. A trial in which that was not enough is
/// noticed, and made again.
const HEAD_START: Duration = Duration::from_millis(30);

pub(crate) fn run() {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "-p", "homeserver"]);
    cargo.args(["--features", "postgres"]);
    // With the variables that cargo sets for this bench it would build other packages again.
    for (name, _) in env::vars_os() {
        let is_of_package =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_package) {
            cargo.env_remove(name);
        }
    }
    let built = cargo.status().expect("cargo runs");
    assert!(built.success(), "the example homeserver is built");
    runtime().block_on(async {
        let cluster = Cluster::start();
        let states = cluster.database().await;

        let alone = Homeserver::start().await;
        measure("one process, its own tables", &alone, &alone).await;
        drop(alone);
        let one = Homeserver::start_with(&["--states", &states]).await;
        measure("one process, PostgreSQL", &one, &one).await;
        let other = one.start_beside(&["--states", &states]).await;
        measure("two processes, one PostgreSQL", &one, &other).await;
    });
}

/// One that waits at `waited_on` and is locked through `setter`.
struct Measurement<'a> {
    waited_on: &'a Homeserver,
    setter: &'a Homeserver,
    token: String,
    admin: String,
    lock: String,
    sync: String,
}

struct Trial {
    from_request: Duration,
    from_acknowledgement: Duration,
}

async fn measure(what: &str, waited_on: &Homeserver, setter: &Homeserver) {
    // Every measurement has an account of its own.
    let name = what.replace([' ', ','], "-").to_lowercase();
    let token = waited_on.register(&name).await;
    let since = waited_on.get(SYNC, &token).await.ok()["next_batch"].clone();
    let since = since.as_str().unwrap();
    let measurement = Measurement {
        lock: format!("/_matrix/client/v1/admin/lock/@{name}:localhost"),
        sync: format!(
            "http://{}{SYNC}?timeout=30000&since={since}",
            waited_on.address
        ),
        admin: setter.login_admin().await,
        waited_on,
        setter,
        token,
    };
    let mut from_request = Vec::with_capacity(TRIALS);
    let mut from_acknowledgement = Vec::with_capacity(TRIALS);
    let mut again = 0;
    while from_request.len() < TRIALS {
        match measurement.trial().await {
            Some(trial) => {
                from_request.push(trial.from_request);
                from_acknowledgement.push(trial.from_acknowledgement);
            }
            None => again += 1,
        }
        assert!(again < TRIALS, "curl needs longer to start");
    }
    println!("\n{what}");
    report("  from the lock's request to the 401 at curl", from_request);
    report(
        "  from the lock's acknowledgement to the 401",
        from_acknowledgement,
    );
    if again > 0 {
        println!("  ({again} trials made again: curl had not begun to wait)");
    }
}

impl Measurement<'_> {
    /// `None` if curl had not begun to wait when the lock was set.
    async fn trial(&self) -> Option<Trial> {
        let mut curl = AsyncCommand::new("curl")
            .args(["--silent", "--show-error", "--no-buffer", "--include"])
            .args(["--header", &format!("Authorization: Bearer {}", self.token)])
            .args(["--write-out", "\n%{time_pretransfer} %{time_total}\n"])
            .arg(&self.sync)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this benchmark needs `curl`");
        let mut output = BufReader::new(curl.stdout.take().unwrap());
        let answered = tokio::spawn(async move {
            let (mut status, mut rest) = (String::new(), String::new());
            output.read_line(&mut status).await.unwrap();
            let arrived = Instant::now();
            output.read_to_string(&mut rest).await.unwrap();
            (status, arrived, rest)
        });
        sleep(HEAD_START).await;

        let requested = Instant::now();
        self.set_lock(true).await;
        let acknowledged = Instant::now();
        let (status, arrived, rest) = answered.await.unwrap();
        assert!(status.starts_with("HTTP/1.1 401"), "{status}");
        assert!(rest.contains("M_USER_LOCKED"), "{rest}");
        curl.wait().await.unwrap();

        self.set_lock(false).await;
        // The announcement takes some time to the other process.
        while self.waited_on.get(WHOAMI, &self.token).await.status != 200 {
            sleep(Duration::from_millis(1)).await;
        }
        let times = rest.lines().last().unwrap().split_once(' ').unwrap();
        let seconds = |text: &str| Duration::from_secs_f64(text.trim().parse().unwrap());
        let waited = seconds(times.1).saturating_sub(seconds(times.0));
        let from_request = arrived.duration_since(requested);
        (waited > from_request + Duration::from_millis(2)).then(|| Trial {
            from_request,
            from_acknowledgement: arrived.saturating_duration_since(acknowledged),
        })
    }

    async fn set_lock(&self, locked: bool) {
        let body = json!({ "locked": locked });
        self.setter.put(&self.lock, &self.admin, body).await.ok();
    }
}
