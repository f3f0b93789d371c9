//! `SqliteStore` under SIGKILL: what was acknowledged is there afterwards, and another process
//! that holds the set in memory comes to the same answer.
//!
//! Not under the test harness, since it starts itself as the process that it kills. 200 kills, or
//! as many as `SQLITE_KILLS` says.

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use tower_account_status::{
    Restriction, RestrictionKind, RestrictionStore as _, UserId,
    store::{SqliteOptions, SqliteStore},
};

const USERS: u64 = 20;
const WRITER: &str = "write-until-killed";
const NAME: &str = "acknowledged_changes_survive_sigkill";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if let [WRITER, path, first] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        runtime.block_on(write_until_killed(
            Path::new(path),
            first.parse().expect("a number"),
        ));
    }
    // What test runners ask of a test program.
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let kills = env::var("SQLITE_KILLS").map_or(200, |kills| kills.parse().expect("a number"));
    let began = Instant::now();
    let changes = runtime.block_on(survive(kills));
    println!(
        "test {NAME} ... ok ({kills} kills, {changes} acknowledged changes, {:?})",
        began.elapsed()
    );
    ExitCode::SUCCESS
}

fn user(number: u64) -> UserId {
    format!("@{}:example.org", number % USERS).into()
}

/// Change number `n` gives the lock of user `n % USERS` the reason `n`.
async fn write_until_killed(path: &Path, first: u64) -> ! {
    let store = SqliteStore::open(path).await.expect("the file opens");
    let mut stdout = std::io::stdout();
    let mut number = first;
    loop {
        let lock = Restriction::new(RestrictionKind::Locked).with_reason(number.to_string());
        store
            .set_restriction(&user(number), lock.into())
            .await
            .expect("the change is made");
        writeln!(stdout, "{number}")
            .and_then(|()| stdout.flush())
            .expect("it is heard");
        number += 1;
    }
}

async fn survive(kills: u32) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("restrictions.db");
    let watching = SqliteOptions::new().with_restricted_set_in_memory();
    let watching = watching.open(&path).await.expect("the file opens");
    let mut acknowledged = 0;
    let mut next = 1;
    for kill in 0..kills {
        let last = acknowledged_before_kill(&path, next, kill);
        acknowledged += last + 1 - next;

        let store = SqliteStore::open(&path)
            .await
            .expect("the file opens after a kill");
        let mut unacknowledged = 0;
        for number in last.saturating_sub(USERS - 1).max(1)..=last {
            let state = store
                .state_of(&user(number))
                .await
                .expect("the state is read");
            let lock = state.restriction(RestrictionKind::Locked);
            let found = lock.and_then(Restriction::reason).map(str::parse::<u64>);
            match found {
                Some(Ok(found)) if found == number => {}
                // The change after the last acknowledged one may or may not have been made.
                Some(Ok(found)) if found == last + 1 && found % USERS == number % USERS => {
                    unacknowledged = 1;
                }
                _ => panic!(
                    "kill {kill}: change {number} of {last} was acknowledged, and the file says \
                     {state:?}"
                ),
            }
            until_seen(&watching, &user(number), &state).await;
        }
        next = last + 1 + unacknowledged;
    }
    acknowledged
}

/// Starts the writer, kills it after a random time, and says what it acknowledged last.
fn acknowledged_before_kill(path: &Path, first: u64, kill: u32) -> u64 {
    let mut writer = Command::new(env::current_exe().expect("this program"))
        .args([
            WRITER.as_ref(),
            path.as_os_str(),
            first.to_string().as_ref(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let mut lines = BufReader::new(writer.stdout.take().expect("it is piped")).lines();
    // Some are killed while they open the file.
    let is_early = kill % 10 == 9;
    let mut last = first - 1;
    if !is_early {
        let line = lines.next().expect("the writer writes").expect("a line");
        last = line.parse().expect("a number");
    }
    let random = RandomState::new().hash_one(kill);
    // Not a wait for something: the moment of the kill is what is random.
    thread::sleep(Duration::from_micros(random % 25_000));
    writer.kill().expect("the writer is killed");
    for line in lines.map_while(Result::ok) {
        // A line is written whole or, cut off by the kill, is no next number.
        match line.parse() {
            Ok(number) if number == last + 1 => last = number,
            _ => break,
        }
    }
    writer.wait().expect("the writer has ended");
    last
}

async fn until_seen(
    store: &SqliteStore,
    user: &UserId,
    expected: &tower_account_status::AccountState,
) {
    let mut news = store
        .restriction_changes()
        .expect("it announces")
        .subscribe(user);
    let seen = tokio::time::timeout(Duration::from_secs(20), async {
        while store.peek_state_of(user).as_ref() != Some(expected) {
            news.changed().await;
        }
    });
    if seen.await.is_err() {
        panic!(
            "the other process answers {:?}, and the file {expected:?}",
            store.peek_state_of(user)
        );
    }
}
