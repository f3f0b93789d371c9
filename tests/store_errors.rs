//! The errors of stores that cannot start: the cause, what to do, and no secret (rule 15).

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/postgres_store.rs"]
mod postgres_store;

use std::fs;

use postgres::Cluster;
use postgres_store::chain;
use proptest::prelude::*;
use tower_account_status::store::{PostgresOptions, PostgresStore, SqliteStore};

#[tokio::test]
async fn a_postgresql_that_cannot_be_used_says_why() {
    let cluster = Cluster::shared();
    let url = cluster.database().await;
    let client = cluster.client(&url).await;
    let role = format!("nobody_{}", url.rsplit_once('_').unwrap().1);
    let create = format!("CREATE ROLE {role} LOGIN");
    client.batch_execute(&create).await.unwrap();
    let (_nobody, closed) = postgres::reserved_port();
    let port = format!("port={}", cluster.port());
    let cases = [
        (
            url.replace("dbname=test", "dbname=missing"),
            "does not exist: create it",
            "database",
        ),
        (
            url.replace("user=postgres", "user=stranger"),
            "refuses the user or the password",
            "role \"…\" does not exist",
        ),
        (
            url.replace("user=postgres", &format!("user={role}")),
            "migration_sql",
            "permission denied",
        ),
        (
            url.replace(&port, &format!("port={closed}")),
            "does it run",
            "refused",
        ),
    ];
    for (url, advice, cause) in cases {
        let error = PostgresStore::connect(&url).await.unwrap_err();
        assert!(error.to_string().contains(advice), "{}", chain(&error));
        assert!(chain(&error).contains(cause), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    fs::write(&garbage, vec![b'x'; 10_000]).unwrap();
    let missing = folder.path().join("missing").join("restrictions.db");
    for (path, expected) in [
        ("".into(), "open_in_memory"),
        (":memory:".into(), "open_in_memory"),
        (garbage, "no SQLite database"),
        (missing, "does its folder exist"),
        (folder.path().to_owned(), "cannot open the file"),
    ] {
        let error = SqliteStore::open(&path).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{path:?}: {text}");
        let is_named = text.contains(&format!("{}", path.display()));
        assert!(is_named, "{path:?}: {text}");
    }
}

/// A secret without special characters, so that the whole of it can be looked for.
const SECRET: &str = "hunTer2";

/// Passwords that contain the secret, with characters in any place that split a string.
fn password() -> impl Strategy<Value = String> {
    let odd = "[@:/?#%&= '\"\\\\+,\\[\\]a]{0,3}";
    (odd, odd, odd)
        .prop_map(|(before, middle, behind)| format!("{before}{SECRET}{middle}{SECRET}{behind}"))
}

fn connection_string() -> impl Strategy<Value = String> {
    let places = [
        "postgres://me:{}@127.0.0.1:1/db",
        "postgresql://{}@127.0.0.1:1/db",
        "postgres://{}",
        "postgres://me@127.0.0.1:1/db?password={}",
        "postgres://me@127.0.0.1:1/db?{}",
        "postgres://me:{}@host@127.0.0.1/db",
        "host=127.0.0.1 port=1 user=me password={}",
        "host=127.0.0.1 port=1 user=me password='{}'",
        "password={} host=127.0.0.1 port=1",
        "host=127.0.0.1 port=1 password=x {}",
        "host=127.0.0.1 port=1 {}=x",
        "host={} port=1",
        "host=127.0.0.1 port={}",
        "host=127.0.0.1 port=1 sslmode={}",
        "{}",
    ];
    (prop::sample::select(places.to_vec()), password())
        .prop_map(|(place, password)| place.replace("{}", &password))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn rule_15_no_piece_of_a_connection_string_is_shown(string in connection_string()) {
        let shown = match PostgresOptions::new(&string) {
            Ok(options) => format!("{options:?}"),
            Err(error) => format!("{error:?} {}", chain(&error)),
        };
        prop_assert!(!shown.contains(SECRET), "{string:?}: {shown}");
    }
}

#[tokio::test]
async fn rule_15_no_piece_of_a_password_is_shown_where_connecting_fails() {
    for string in [
        "postgres://me:hunTer2@127.0.0.1:1/db",
        "postgres://me@127.0.0.1:1/db?password=hunTer2&connect_timeout=1",
        "host=127.0.0.1 port=1 password='hunTer2 host=hunTer2'",
        "host=127.0.0.1,hunTer2.invalid port=1 password=a,hunTer2",
    ] {
        let error = PostgresStore::connect(string).await.unwrap_err();
        let shown = format!("{error:?} {}", chain(&error));
        assert!(!shown.contains(SECRET), "{string:?}: {shown}");
    }
}

#[tokio::test]
async fn rule_12_of_several_hosts_each_ones_cause_is_named() {
    let cluster = Cluster::shared();
    let (_nobody, closed) = postgres::reserved_port();
    let port = cluster.port();
    let options = "user=postgres dbname=missing";
    for (hosts, expected) in [
        (format!("host=127.0.0.1,127.0.0.1 port={port},{closed}"), 2),
        (format!("host=127.0.0.1,127.0.0.1 port={closed},{port}"), 2),
        // The same cause is named once.
        (format!("host=127.0.0.1,127.0.0.1 port={port},{port}"), 0),
    ] {
        let error = PostgresStore::connect(&format!("{hosts} {options}")).await;
        let error = chain(&error.unwrap_err());
        assert_eq!(error.matches("address").count(), expected, "{error}");
        assert!(error.contains("does not exist: create it"), "{error}");
        assert_eq!(error.contains("refused"), expected > 0, "{error}");
    }
}

/// A server repeats the names that it does not know.
#[tokio::test]
async fn rule_15_no_piece_of_a_connection_string_is_shown_where_a_server_refuses_it() {
    let cluster = Cluster::shared();
    let at = format!("127.0.0.1:{}", cluster.port());
    let keys = format!("host=127.0.0.1 port={}", cluster.port());
    let long = SECRET.repeat(12);
    for string in [
        format!("postgresql://{SECRET}@{at}/postgres"),
        format!("postgresql://{SECRET}@{at}/"),
        format!("postgresql://postgres:x@{at}/{SECRET}@127.0.0.1/db"),
        format!("{keys} user={SECRET} dbname=postgres"),
        format!("{keys} user='me {SECRET}' dbname=postgres"),
        format!("{keys} user='\"{SECRET}' dbname=postgres"),
        format!("{keys} user={long} dbname=postgres"),
        format!("{keys} user=postgres dbname={long}"),
        format!("{keys} user=postgres dbname=postgres options={SECRET}"),
        format!("{keys} user=postgres dbname=postgres options='-c {SECRET}=x'"),
    ] {
        let error = PostgresStore::connect(&string).await.unwrap_err();
        let shown = format!("{error:?} {}", chain(&error));
        assert!(!shown.contains(SECRET), "{string:?}: {shown}");
        assert!(shown.contains("FATAL"), "{string:?}: {shown}");
    }
}

#[test]
fn a_connection_string_that_cannot_be_read_says_what_is_wrong_with_it() {
    for (string, expected) in [
        ("postgres://pw:p@ss@127.0.0.1/db", "percent-encoded"),
        (
            "host=x password=hunter2 secretpart=x",
            "an option that does not exist",
        ),
        ("host=x port=many", "`port` cannot have"),
        (
            "host=x connect_timeout=soon",
            "`connect_timeout` cannot have",
        ),
        ("dbname=x", "names no host"),
        ("host=x password='open", "single quotes"),
    ] {
        let error = PostgresOptions::new(string).unwrap_err();
        assert!(error.to_string().contains(expected), "{string}: {error}");
    }
}
