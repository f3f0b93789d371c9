//! `SqliteStore` under SIGKILL: acknowledged changes are there afterwards, another process that holds
//! the set in memory gives the same answer, and the log has a change if and only if it was made.
//!
//! It has no test harness, because it starts itself as the process that it kills. 200 kills, or
//! as many as `SQLITE_KILLS` says.

use std::{
    collections::BTreeMap,
    env,
    hash::{BuildHasher as _, RandomState},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use tower_account_status::{
    AccountState, Restriction, RestrictionKind, RestrictionRecord, RestrictionStore as _, UserId,
    store::{
        AuditAction, AuditEntry, AuditLog as _, AuditPosition, AuditQuery, ChangeRecord, Channel,
        SqliteOptions, SqliteStore,
    },
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

/// Change number `n` gives the lock of user `n % USERS` the reason `n`, and says so as its note. Some
/// come with a suspension that is set before and lifted.
async fn write_until_killed(path: &Path, first: u64) -> ! {
    let store = SqliteStore::open(path).await.expect("the file opens");
    let mut stdout = std::io::stdout();
    let mut number = first;
    loop {
        let user = user(number);
        let change = ChangeRecord::through(Channel::SERVER).with_note(number.to_string());
        if number % 5 == 0 {
            let suspension = RestrictionKind::Suspended;
            let set = store.set_restriction(&user, suspension.into()).await;
            set.expect("the change is made");
            let lifted = store.lift_restriction(&user, suspension, &change).await;
            lifted.expect("the change is made");
        }
        let lock = Restriction::new(RestrictionKind::Locked).with_reason(number.to_string());
        let lock = RestrictionRecord::new(lock).with_change(change);
        store
            .set_restriction(&user, lock)
            .await
            .expect("the change is made");
        writeln!(stdout, "{number}")
            .and_then(|()| stdout.flush())
            .expect("it is heard");
        number += 1;
    }
}

/// The number of the change that gave an account its lock.
fn lock_number(state: &AccountState) -> Option<u64> {
    let lock = state.restriction(RestrictionKind::Locked)?;
    lock.reason()?.parse().ok()
}

async fn survive(kills: u32) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("restrictions.db");
    let watching = SqliteOptions::new().with_restricted_set_in_memory();
    let watching = watching.open(&path).await.expect("the file opens");
    let mut acknowledged = 0;
    let mut next = 1;
    let mut replay = Replay::default();
    for kill in 0..kills {
        let last = acknowledged_before_kill(&path, next, kill);
        acknowledged += last + 1 - next;

        let store = SqliteStore::open(&path)
            .await
            .expect("the file opens after a kill");
        // The change after the last acknowledged one may or may not have been made.
        let extra = user(last + 1);
        let state = store.state_of(&extra).await.expect("the state is read");
        let is_made = lock_number(&state) == Some(last + 1);
        if is_made {
            until_seen(&watching, &extra, &state).await;
        }
        for number in last.saturating_sub(USERS - 1).max(1)..=last {
            let user = user(number);
            let state = store.state_of(&user).await.expect("the state is read");
            let expected = if is_made && user == extra {
                last + 1
            } else {
                number
            };
            assert_eq!(
                lock_number(&state),
                Some(expected),
                "kill {kill}: {last} changes were acknowledged, and the file says {state:?}"
            );
            until_seen(&watching, &user, &state).await;
        }
        next = last + 1 + u64::from(is_made);
        replay.follow(&store, next, kill).await;
    }
    acknowledged
}

/// What the table holds if the log is right.
#[derive(Default)]
struct Replay {
    table: BTreeMap<(UserId, RestrictionKind), Restriction>,
    end: Option<AuditPosition>,
    locks: u64,
}

impl Replay {
    /// Reads the log on, and compares the table with it. All changes before `next` were made.
    async fn follow(&mut self, store: &SqliteStore, next: u64, kill: u32) {
        let mut new = Vec::new();
        let mut query = AuditQuery::new().with_limit(1000);
        loop {
            let page = store.audit(&query).await.expect("the log is read");
            let is_last = page.len() < 1000;
            let known = page
                .iter()
                .position(|entry| Some(entry.position()) <= self.end);
            let count = known.unwrap_or(page.len());
            new.extend(page.into_iter().take(count));
            match new.last() {
                Some(last) if known.is_none() && !is_last => query = query.behind(last.position()),
                _ => break,
            }
        }
        self.end = new.first().map(AuditEntry::position).max(self.end);
        for entry in new.into_iter().rev() {
            let key = (entry.user().clone(), entry.kind());
            match entry.action() {
                AuditAction::Set => self.table.insert(key, entry.restriction().clone()),
                _ => self.table.remove(&key),
            };
            if entry.kind() == RestrictionKind::Locked {
                self.locks += 1;
                let number = self.locks.to_string();
                assert_eq!(entry.restriction().reason(), Some(&*number), "kill {kill}");
                assert_eq!(entry.change().note(), Some(&*number), "kill {kill}");
            }
        }
        assert_eq!(self.locks + 1, next, "kill {kill}");
        let accounts = store
            .restricted(None, 1000)
            .await
            .expect("the table is read");
        let of_account = |(user, records): (UserId, Vec<RestrictionRecord>)| {
            let key = move |record: RestrictionRecord| {
                ((user.clone(), record.kind()), record.restriction().clone())
            };
            records.into_iter().map(key)
        };
        let table: BTreeMap<_, _> = accounts.into_iter().flat_map(of_account).collect();
        assert_eq!(table, self.table, "kill {kill}");
    }
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

async fn until_seen(store: &SqliteStore, user: &UserId, expected: &AccountState) {
    let mut news = store
        .restriction_changes()
        .expect("it announces")
        .subscribe(user);
    let seen = tokio::time::timeout(Duration::from_secs(20), async {
        while store.peek_state_of(user).as_ref() != Some(expected) {
            // After a stall the set is believed again with the next look at the file, without an announcement.
            let _ = tokio::time::timeout(Duration::from_millis(100), news.changed()).await;
        }
    });
    if seen.await.is_err() {
        panic!(
            "the other process answers {:?}, and the file {expected:?}",
            store.peek_state_of(user)
        );
    }
}
