//! Which database a command opens, and what it says where it cannot.

use std::{fs, path::Path};

use tokio::time::timeout;
use tower_account_status::{
    RestrictionStore as _,
    store::{PostgresOptions, PostgresStore},
};

use crate::{
    commands::{postgresql, run},
    gateway::{command, program},
    homeserver::BOUND,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_creates_no_database() {
    let (cluster, settings, url) = postgresql().await;
    let client = cluster.client(&settings).await;
    let commands = [
        &["lock", "@a:x"][..],
        &["unlock", "@a:x"],
        &["show", "@a:x"],
        &["list"],
        &["log"],
    ];
    for command in commands {
        let said = run(&url, command).await;
        said.failed_with(1, "start the server first");
    }
    drop(PostgresStore::connect(&settings).await.expect("a database"));
    for command in commands {
        let misspelled = [command, &["--schema", "acount_status"]].concat();
        let said = run(&url, &misspelled).await;
        said.failed_with(1, "acount_status");
    }
    let schemas = "SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname LIKE 'a%count%'";
    let schemas: String = client.query_one(schemas, &[]).await.expect("a row").get(0);
    assert_eq!(schemas, "account_status");

    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.db");
    fs::write(&empty, "").expect("a file");
    let empty_path = empty.to_str().expect("text");
    for command in commands {
        let said = run(empty_path, command).await;
        said.failed_with(1, "start the server first");
    }
    assert_eq!(fs::read(&empty).expect("the file"), b"");
}

/// What `list` and `serve` say, in an empty folder, which stays empty.
async fn said(database: &str) -> [String; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let mut serve = command();
    serve.args(["--listen", "127.0.0.1:0", "--admin", "@admin:localhost"]);
    serve.args(["--upstream", "http://127.0.0.1:1"]);
    let mut list = program();
    list.arg("list");
    let mut all = [String::new(), String::new()];
    for (said, command) in all.iter_mut().zip([&mut list, &mut serve]) {
        command.args(["--database", database]);
        let output = timeout(BOUND, command.current_dir(folder.path()).output()).await;
        let output = output.expect("it ends in time").expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{database}");
        *said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    }
    let files = fs::read_dir(folder.path()).expect("the folder");
    assert_eq!(files.count(), 0, "{database} makes no file");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_is_said_where_the_database_cannot_be_opened() {
    let (cluster, settings, _) = postgresql().await;
    let port = cluster.port();
    for (database, causes) in [
        (
            "postgres://u:hunTer2@127.0.0.1:1/d".to_owned(),
            &["cannot open the database", "cannot be reached", "refused"][..],
        ),
        (
            "host=nowhere.invalid user=u".to_owned(),
            &["cannot be reached", "lookup"],
        ),
        (
            format!("{settings} sslmode=require"),
            &["does not support TLS"],
        ),
        (
            format!("postgres://stranger@127.0.0.1:{port}/postgres"),
            &["refuses the user", "role \"…\" does not exist"],
        ),
        ("none/x.db".to_owned(), &["cannot open /"]),
    ] {
        for said in said(&database).await {
            for cause in causes {
                assert_eq!(said.matches(cause).count(), 1, "{cause}: {said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_15_a_connection_string_with_a_mistake_is_neither_shown_nor_made_a_file() {
    for database in [
        "postgres:/u:hunTer2@127.0.0.1:1/d",
        "postgresql:u:hunTer2@127.0.0.1:1/d",
        "POSTGRES://u:hunTer2@127.0.0.1:1/d",
        "mysql://u:hunTer2@127.0.0.1:1/d",
        "u:hunTer2@127.0.0.1:1/d",
        "host=127.0.0.1 port=1 user=u password=hunTer2",
        "host=127.0.0.1 prt=1 user=u password=hunTer2",
        "password=hunTer2",
        "user=u password='hunTer2",
    ] {
        for said in said(database).await {
            assert!(!said.contains("hunTer2"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_postgresql_and_files_are_told_apart() {
    let (_cluster, settings, url) = postgresql().await;
    let options = PostgresOptions::new(&settings).expect("settings");
    let store = options.connect().await.expect("a database");
    run(&settings, &["lock", "@a:x"]).await.ended_with(0);
    run(&url, &["lock", "@b:x"]).await.ended_with(0);
    for user in ["@a:x", "@b:x"] {
        let state = store.state_of(user).await.expect("a state");
        assert!(!state.is_active(), "{user}");
    }
    // With its folder it is a file, whatever its name.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a=b:c@d.db");
    let opened = tower_account_status::store::SqliteStore::open(&path).await;
    let path = path.to_str().expect("text");
    run(path, &["lock", "@a:x"]).await.ended_with(0);
    assert!(Path::new(path).exists());
    let state = opened.expect("a database").state_of("@a:x").await;
    assert!(!state.expect("a state").is_active());
}
