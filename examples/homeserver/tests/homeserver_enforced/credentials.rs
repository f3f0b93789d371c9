//! Rules 7 and 9: every credential in a request counts, wherever it is and however it is spelled.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header::AUTHORIZATION};

use crate::{Scene, WHOAMI, assert_locked, homeserver::Answer};

impl Scene {
    /// Sends a request with exactly these `Authorization` headers and this query.
    async fn send(&self, headers: &[&str], query: &str) -> Answer {
        let mut request =
            Request::builder().uri(format!("http://{}{WHOAMI}{query}", self.server.address));
        for &header in headers {
            request = request.header(AUTHORIZATION, header);
        }
        let request = request.body(Full::<Bytes>::default());
        let mut answer = self.server.send(request.expect("a request")).await;
        answer.what = format!("{headers:?} {query:?}");
        answer
    }

    /// `L` is the locked account's token, `U` that of one that is not, in headers and query.
    async fn send_as(&self, headers: &[&str], query: &str) -> Answer {
        let token = |letter: char| match letter {
            'L' => self.alice.clone(),
            'U' => self.bob.clone(),
            other => other.into(),
        };
        let put_in = |text: &str| text.chars().map(token).collect::<String>();
        let headers: Vec<_> = headers.iter().map(|header| put_in(header)).collect();
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        self.send(&headers, &put_in(query)).await
    }
}

/// Spellings in a header and in a query, without any capital L or U but the two tokens'.
const HEADERS: [&[&str]; 12] = [
    &["Bearer L"],
    &["bearer L"],
    &["BEARER L"],
    &["bEaReR L"],
    &["Bearer  L"],
    &["Bearer\tL"],
    &["Bearer L "],
    &["Bearer L", "Bearer L"],
    &["Bearer L", "Bearer U"],
    &["Bearer U", "Bearer L"],
    &["Basic eDp5", "Bearer L"],
    &["Bearer U", "bearer U", "Bearer L"],
];

const QUERIES: [&str; 14] = [
    "?access_token=L",
    "?access%5Ftoken=L",
    "?access%5ftoken=L",
    "?%61ccess_token=L",
    "?a=b&access_token=L",
    "?access_token=L&a=b",
    "?a=b;access_token=L",
    "?access_token=&access_token=L",
    "?access_token=L&access_token=L",
    "?access_token=L&access_token=U",
    "?access_token=U&access_token=L",
    "?access_token=nobodys&access%5Ftoken=L",
    "?user_id=@bob:localhost&access_token=L",
    "?access_token=U&x&access%5Ftoken=L;y",
];

#[tokio::test]
async fn a_locked_accounts_token_counts_in_every_place_and_spelling() {
    let scene = Scene::locked().await;
    for headers in HEADERS {
        assert_locked(&scene.send_as(headers, "").await);
    }
    for query in QUERIES {
        assert_locked(&scene.send_as(&[], query).await);
    }
}

#[tokio::test]
async fn it_counts_beside_an_unlocked_accounts_token_and_in_both_places() {
    let scene = Scene::locked().await;
    for query in QUERIES {
        assert_locked(&scene.send_as(&["Bearer U"], query).await);
        assert_locked(&scene.send_as(&["Bearer L"], query).await);
    }
    for headers in HEADERS {
        assert_locked(&scene.send_as(headers, "?access_token=U").await);
    }
}

#[tokio::test]
async fn the_token_itself_may_be_percent_encoded_in_the_query() {
    let scene = Scene::locked().await;
    let encoded: String = scene.alice.bytes().map(|b| format!("%{b:02X}")).collect();
    for query in [
        format!("?access_token={encoded}"),
        format!("?access%5Ftoken={encoded}"),
    ] {
        assert_locked(&scene.send(&[], &query).await);
    }
}

#[tokio::test]
async fn after_unlocking_the_same_tokens_work_in_the_same_places() {
    let scene = Scene::locked().await;
    assert_locked(&scene.send_as(&["Bearer L"], "").await);
    scene.unlock("alice").await;
    for (headers, query) in [
        (&["Bearer L"][..], ""),
        (&["bearer L"], ""),
        (&[], "?access_token=L"),
        (&[], "?access%5Ftoken=L"),
    ] {
        let me = scene.send_as(headers, query).await.ok();
        assert_eq!(me["user_id"], "@alice:localhost", "{headers:?} {query:?}");
    }
}

#[tokio::test]
async fn no_token_or_nobodys_is_answered_by_the_handler() {
    let scene = Scene::locked().await;
    let answer = scene.send(&[], "").await;
    answer.error(401, "M_MISSING_TOKEN");
    let answer = scene.send(&["Bearer nobodys"], "").await;
    let body = answer.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(body["soft_logout"], false);
    // More distinct tokens than the layer looks up: it does not guess.
    let query = "?access_token=1&access_token=2&access_token=3&access_token=4";
    let answer = scene.send_as(&["Bearer U"], query).await;
    answer.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn an_expired_token_of_a_locked_account_is_answered_the_lock() {
    let mut scene = Scene::start().await;
    scene.server = crate::homeserver::Homeserver::start_with(&["--token-lifetime", "0"]).await;
    scene.admin = scene.server.login_admin().await;
    scene.server.register("alice").await;
    let login = scene.log_in("alice").await;
    let token = crate::text(&login["access_token"]);
    let expired = scene.whoami(token).await;
    assert_eq!(expired.error(401, "M_UNKNOWN_TOKEN")["soft_logout"], true);
    scene.lock("alice").await;
    assert_locked(&scene.whoami(token).await);
    scene.unlock("alice").await;
    scene.whoami(token).await.error(401, "M_UNKNOWN_TOKEN");
}
