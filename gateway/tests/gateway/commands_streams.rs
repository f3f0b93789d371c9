//! The standard streams of a command: what is read from them and written to them may fail at any time.

use std::{
    fs::{File, OpenOptions},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::Child,
    time::timeout,
};
use tower_account_status::{RestrictionStore as _, store::SqliteStore};

use crate::{
    commands::{database, run},
    gateway::{command, program},
    homeserver::{BOUND, Client},
};

/// More lines than a pipe holds.
const MANY: usize = 3000;

fn full() -> Stdio {
    let full = OpenOptions::new().write(true).open("/dev/full");
    full.expect("a device that is always full").into()
}

async fn ended(mut process: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    if let Some(mut errors) = process.stderr.take() {
        errors.read_to_string(&mut said).await.expect("text");
    }
    let status = timeout(BOUND, process.wait()).await;
    (
        status.expect("it ends in time").expect("a status").code(),
        said,
    )
}

/// A change of many users, whose ids it reads from its standard input.
async fn change(
    what: &str,
    database: &str,
    output: Stdio,
    is_one_line_read: bool,
) -> (Option<i32>, String) {
    let mut process = program()
        .args([what, "-", "--database", database])
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let users: String = (0..MANY).map(|user| format!("@user-{user}:x\n")).collect();
    let mut stdin = process.stdin.take().expect("it is piped");
    stdin
        .write_all(users.as_bytes())
        .await
        .expect("it reads all");
    drop(stdin);
    if is_one_line_read {
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        output.read_line(&mut String::new()).await.expect("a line");
    }
    ended(process).await
}

async fn restricted(store: &SqliteStore) -> usize {
    let page = store.restricted(None, MANY + 1).await;
    page.expect("a page").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_many_goes_on_where_nobody_reads_its_output_any_more() {
    let (_folder, path, store) = database().await;
    let (code, errors) = change("lock", &path, Stdio::piped(), true).await;
    assert_eq!(restricted(&store).await, MANY, "all are locked");
    assert_eq!((code, &*errors), (Some(0), ""));
    let (code, errors) = change("unlock", &path, Stdio::piped(), true).await;
    assert_eq!(restricted(&store).await, 0, "all are unlocked");
    assert_eq!((code, &*errors), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_many_goes_on_where_its_output_cannot_be_written_and_says_so() {
    let (_folder, path, store) = database().await;
    for (what, expected) in [("lock", MANY), ("unlock", 0)] {
        let (code, errors) = change(what, &path, full(), false).await;
        assert_eq!(restricted(&store).await, expected, "{what}");
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("every user was changed"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_on_the_error_output_changes_nothing_else() {
    let (_folder, path, store) = database().await;
    for (arguments, expected) in [
        // A warning, because of the capitals.
        (&["lock", "@A:x"][..], 0),
        (&["lock", "@b:x", "--database", "./missing.db"], 1),
    ] {
        let place = ["--database", &path];
        let place = if arguments.len() == 2 {
            &place[..]
        } else {
            &[]
        };
        let process = program().args(arguments).args(place).stderr(full()).spawn();
        let (code, _) = ended(process.expect("it starts")).await;
        assert_eq!(code, Some(expected), "{arguments:?}");
    }
    assert_eq!(restricted(&store).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_locked_where_the_list_of_users_cannot_be_read_to_its_end() {
    let (folder, path, store) = database().await;
    let list = folder.path().join("users");
    std::fs::write(&list, b"@a:x\n@b\xff:x\n").expect("a file");
    // The second fails at the first byte, as a disk may in the middle.
    for input in [&*list, folder.path()] {
        let process = program()
            .args(["lock", "-", "--database", &path])
            .stdin(File::open(input).expect("an input"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let (code, errors) = ended(process.expect("it starts")).await;
        assert_eq!(code, Some(1));
        assert!(errors.contains("the standard input"), "{errors}");
    }
    assert_eq!(restricted(&store).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_read_in_part_is_no_failure_and_one_that_is_lost_is_one() {
    let (_folder, path, _store) = database().await;
    change("lock", &path, Stdio::null(), false).await;
    let list = |output| {
        let process = program()
            .args(["list", "--database", &path])
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn();
        process.expect("it starts")
    };
    let mut process = list(Stdio::piped());
    let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
    output.read_line(&mut String::new()).await.expect("a line");
    drop(output);
    assert_eq!(ended(process).await, (Some(0), String::new()));
    let (code, errors) = ended(list(full())).await;
    assert_eq!(code, Some(1));
    assert!(errors.contains("the standard output"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_output_cannot_be_written_serves() {
    let (_folder, path, _store) = database().await;
    let mut process = command()
        .args(["--listen", "127.0.0.1:0", "--admin", "@admin:localhost"])
        .args(["--upstream", "http://127.0.0.1:1", "--database", &path])
        .stdout(full())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let errors = BufReader::new(process.stderr.take().expect("it is piped"));
    let mut lines = errors.lines();
    let address = loop {
        let line = timeout(BOUND, lines.next_line())
            .await
            .expect("a line in time");
        let line = line.expect("its output").expect("it goes on");
        if let Some((_, rest)) = line.split_once("address=") {
            break rest.split(' ').next().expect("an address").to_owned();
        }
    };
    let answer = Client::new(address)
        .get("/_matrix/client/versions", ())
        .await;
    answer.error(502, "M_UNKNOWN");
}

#[tokio::test]
async fn a_name_that_restricts_nobody_is_warned_of() {
    let (_folder, path, store) = database().await;
    let said = run(&path, &["lock", "@ALICE:x", "@bob:x"]).await;
    assert_eq!(said.errors.lines().count(), 1, "{}", said.errors);
    assert!(
        said.errors.starts_with("warning: @ALICE:x "),
        "{}",
        said.errors
    );
    said.ended_with(0);
    assert_eq!(restricted(&store).await, 2);
    let said = run(&path, &["unlock", "@ALICE:x"]).await;
    assert_eq!(said.errors, "");
    said.ended_with(0);
}
