//! Files, errors, and the server as a process.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, header};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    REFRESH, WHOAMI,
    homeserver::{self, Homeserver, password_of},
    room_of, text,
};

#[tokio::test]
async fn a_file_comes_back_as_it_was_and_a_long_one_is_refused_on_its_head() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let content = Bytes::from_iter((0..=255_u8).cycle().take(300_000));
    for version in ["v3", "r0"] {
        let path = format!("/_matrix/media/{version}/upload?filename=a%20b.bin");
        server
            .request(Method::POST, &path, (), "")
            .await
            .error(401, "M_MISSING_TOKEN");
        let uploaded = server
            .request(Method::POST, &path, &alice, content.clone())
            .await
            .ok();
        let file = text(&uploaded["content_uri"])
            .strip_prefix("mxc://")
            .expect("a URI");

        let legacy = format!("/_matrix/media/{version}/download/{file}");
        let got = server.get(&legacy, ()).await;
        assert_eq!(got.status, 200);
        assert!(got.body == content, "{} bytes", got.body.len());
        let got = server
            .get(
                &format!("/_matrix/client/v1/media/download/{file}/c.bin"),
                &alice,
            )
            .await;
        assert!(got.body == content, "{} bytes", got.body.len());
        assert_eq!(
            got.headers[header::CONTENT_DISPOSITION],
            "attachment; filename*=utf-8''c%2Ebin"
        );
        assert_eq!(
            got.headers[header::CONTENT_TYPE],
            "application/octet-stream"
        );
        let authenticated = format!("/_matrix/client/v1/media/download/{file}");
        server
            .get(&authenticated, ())
            .await
            .error(401, "M_MISSING_TOKEN");
    }
    let elsewhere = "/_matrix/client/v1/media/download/example.org/file";
    server
        .get(elsewhere, &alice)
        .await
        .error(404, "M_NOT_FOUND");

    let mut connection = TcpStream::connect(&server.address)
        .await
        .expect("a connection");
    let head = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {alice}\r\ncontent-length: 20971521\r\n\r\n"
    );
    connection
        .write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    let mut answer = String::new();
    timeout(homeserver::BOUND, connection.read_to_string(&mut answer))
        .await
        .expect("an answer without a body sent")
        .expect("a whole answer");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("M_TOO_LARGE"), "{answer}");
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_matrix_errors() {
    let server = Homeserver::start().await;
    let alice = server.register("alice").await;
    for path in [
        "/",
        "/_matrix/client/v3/none",
        "/_matrix/client/r0/refresh",
        "/_matrix/x",
    ] {
        let answer = server.get(path, ()).await;
        answer.error(404, "M_UNRECOGNIZED");
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
    for path in [
        REFRESH,
        "/_matrix/client/v3/logout",
        "/_matrix/client/v3/createRoom",
    ] {
        server.get(path, ()).await.error(405, "M_UNRECOGNIZED");
    }
    let profile = "/_matrix/client/v3/profile/%FF/displayname";
    server.get(profile, ()).await.error(400, "M_INVALID_PARAM");
    let empty = server.request(Method::POST, REFRESH, (), "").await;
    empty.error(400, "M_BAD_JSON");
    // The layer's answers, which on this endpoint have no form that ends a session.
    for body in ["{", "[]", r#"["token"]"#] {
        let answer = server.request(Method::POST, REFRESH, (), body).await;
        assert_eq!(answer.status, 400);
        let content_type = &answer.headers[header::CONTENT_TYPE];
        assert_eq!(content_type, "text/plain; charset=utf-8");
    }
    // If an array were an object, or one of two names of an account were ignored, a layer that reads
    // the body for the account's name could read another one than the handler does.
    let names = r#""type": "m.login.password", "password": "x""#;
    let login = "/_matrix/client/v3/login";
    for (path, body) in [
        (
            login,
            format!(r#"{{ {names}, "identifier": ["m.id.user", "alice"] }}"#),
        ),
        (
            login,
            format!(r#"{{ {names}, "user": "bob", "user": "alice" }}"#),
        ),
    ] {
        let answer = server.request(Method::POST, path, (), body).await;
        answer.error(400, "M_BAD_JSON");
    }
    let preflight = server.request(Method::OPTIONS, WHOAMI, &alice, "").await;
    assert_eq!(preflight.status, 200);
    let methods = &preflight.headers[header::ACCESS_CONTROL_ALLOW_METHODS];
    assert_eq!(methods, "GET,POST,PUT,DELETE,OPTIONS");

    // Refused by its length: the server closes the connection instead of reading it, so that
    // nothing can follow.
    let long = json!({ "password": "x".repeat(64 * 1024) });
    server.post(login, (), long).await.error(413, "M_TOO_LARGE");
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let server = Homeserver::start().await;
    let versions = server.get("/_matrix/client/versions", ()).await.ok();
    assert!(versions["versions"].is_array(), "{versions}");
    let well_known = server.get("/.well-known/matrix/client", ()).await.ok();
    let base = format!("http://{}", server.address);
    assert_eq!(well_known, json!({ "m.homeserver": { "base_url": base } }));
    let version = server.get("/_matrix/federation/v1/version", ()).await.ok();
    assert_eq!(version["server"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn everything_survives_a_kill() {
    let server = Homeserver::start().await;
    let admin = server.login_admin().await;
    let alice = server.register("alice").await;
    let room = room_of(&server, &alice).await;
    let lock = "/_matrix/client/v1/admin/lock/@alice:localhost";
    server
        .put(lock, &admin, json!({ "locked": true }))
        .await
        .ok();

    let server = server.kill_and_restart().await;
    assert_eq!(
        server.get(lock, &admin).await.ok(),
        json!({ "locked": true })
    );
    server
        .put(lock, &admin, json!({ "locked": false }))
        .await
        .ok();
    let me = server.get(WHOAMI, &alice).await.ok();
    assert_eq!(me["user_id"], "@alice:localhost");
    let sync = server.get("/_matrix/client/v3/sync", &alice).await.ok();
    assert!(sync["rooms"]["join"].get(&room).is_some(), "{sync}");
    server.login_admin().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_is_told_to_stop_ends_its_waiting_syncs_and_stops() {
    let mut server = Homeserver::start().await;
    let alice = server.register("alice").await;
    let first = server.get("/_matrix/client/v3/sync", &alice).await.ok();
    let since = text(&first["next_batch"]);
    let more = json!({ "refresh_token": true });
    let login = server
        .login("alice", &password_of("alice"), more)
        .await
        .ok();
    let body = json!({ "refresh_token": login["refresh_token"] });
    let session = server.post(REFRESH, (), body).await.ok();
    let mut sync = TcpStream::connect(&server.address)
        .await
        .expect("a connection");
    let head = format!(
        "GET /_matrix/client/v3/sync?timeout=60000&since={since} HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bearer {}\r\n\r\n",
        text(&session["access_token"])
    );
    sync.write_all(head.as_bytes())
        .await
        .expect("the head is sent");
    // With the first use of the new token the handler deletes the one before.
    let database = rusqlite::Connection::open(&server.database).expect("the server's database");
    let unused = "SELECT count(*) FROM access_tokens WHERE replaces IS NOT NULL";
    let at_work = timeout(homeserver::BOUND, async {
        while database.query_row(unused, [], |row| row.get(0)) != Ok(0) {
            sleep(Duration::from_millis(1)).await;
        }
    });
    at_work.await.expect("the sync comes to its handler");
    let status = server.terminate().await;
    assert!(status.success(), "{status}");
    let mut answer = String::new();
    sync.read_to_string(&mut answer)
        .await
        .expect("a whole answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(since), "{answer}");
}
