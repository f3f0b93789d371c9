//! Unit tests of the checks and the headers. They are here, and not beside them, because the bench
//! includes those files.

mod checks {
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::Request;

    use crate::{answer::Problem, checks::problem};

    fn request(path: &str, content_type: &str, body: &'static str) -> Request<Full<Bytes>> {
        Request::post(path)
            .header("content-type", content_type)
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn a_form_in_which_a_server_may_find_a_token_is_refused_however_it_is_spelled() {
        for path in [
            "/_matrix/client/v3/sync",
            "/_matrix/media/v3/upload",
            "//%5fmatrix/client",
            "/%255F%256datrix/x/../client/v3/sync",
            "/%",
            "/_synapse/admin/v1/users",
        ] {
            for form in [
                FORM,
                "Application/X-WWW-Form-Urlencoded ; charset=utf-8",
                "multipart/form-data; boundary=x",
                "text/plain, application/x-www-form-urlencoded",
            ] {
                let problem = problem(&request(path, form, "access_token=x"), 100);
                assert_eq!(problem, Some(Problem::Form), "{path} {form}");
            }
        }
    }

    #[test]
    fn what_is_not_exactly_one_media_type_is_refused_where_a_form_is() {
        let word = "=?utf-8?q?application/x-www-form-urlencode=64?=";
        let path = "/_matrix/media/v3/upload";
        let encoded = problem(&request(path, word, "x"), 100);
        assert_eq!(encoded, Some(Problem::MediaType));
        let mut two = request(path, "text/plain", "x");
        let other = "text/plain".parse().unwrap();
        two.headers_mut().append("content-type", other);
        assert_eq!(problem(&two, 100), Some(Problem::MediaType));
        assert_eq!(problem(&request("/oauth2/token", word, "x"), 100), None);
    }

    #[test]
    fn json_and_empty_forms_and_the_forms_of_other_applications_pass() {
        for (path, content_type, body) in [
            ("/_matrix/client/v3/login", "application/json", "{}"),
            ("/_matrix/client/v3/logout", FORM, ""),
            ("/_synapse/client/pick_username/submit", FORM, "username=x"),
            ("/oauth2/token", FORM, "grant_type=refresh_token"),
            ("/_matrix/consent", FORM, "x=y"),
        ] {
            let problem = problem(&request(path, content_type, body), 100);
            assert_eq!(problem, None, "{path}");
        }
    }

    #[test]
    fn what_is_no_request_for_a_path_and_what_is_too_long_is_refused() {
        let mut asterisk = request("/", "text/plain", "");
        *asterisk.uri_mut() = "*".parse().unwrap();
        assert!(matches!(
            problem(&asterisk, 100),
            Some(Problem::BadRequest(_))
        ));
        let mut hosts = request("/", "text/plain", "");
        for host in ["a", "b"] {
            hosts.headers_mut().append("host", host.parse().unwrap());
        }
        assert!(matches!(problem(&hosts, 100), Some(Problem::BadRequest(_))));
        let long = request("/", "text/plain", "12345");
        assert_eq!(problem(&long, 4), Some(Problem::TooLarge));
        assert_eq!(problem(&long, 5), None);
    }
}

mod headers {
    use hyper::{HeaderMap, Request, http};

    use crate::headers::{Peer, rebuild};

    fn rebuilt(request: http::request::Builder, is_trusted: bool) -> HeaderMap {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let peer = Peer {
            address: "192.0.2.7".parse().unwrap(),
            is_trusted,
        };
        rebuild(&mut parts, Some(peer));
        parts.headers
    }

    fn text(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn hop_by_hop_headers_are_taken_off_and_the_others_kept() {
        let request = Request::get("/")
            .header("host", "matrix.example.org")
            .header("connection", "close, X-Secret-Hop")
            .header("x-secret-hop", "1")
            .header("x-http-method-override", "PUT")
            .header("x-http-method", "PUT")
            .header("x-method-override", "PUT")
            .header("x-original-url", "/other")
            .header("x-rewrite-url", "/other")
            .header("x_http_method_override", "PUT")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("trailer", "authorization")
            .header("expect", "100-continue")
            .header("upgrade", "websocket")
            .header("proxy-authorization", "Basic eA==")
            .header("authorization", "Bearer token")
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        assert_eq!(
            text(&rebuilt(request, false)),
            [
                ("authorization", "Bearer token"),
                ("cookie", "a=1; b=2"),
                ("host", "matrix.example.org"),
                ("via", "1.1 account-gateway"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-host", "matrix.example.org"),
                ("x-forwarded-proto", "http"),
            ]
        );
    }

    #[test]
    fn what_a_client_says_of_its_origin_counts_only_behind_a_proxy() {
        let request = || {
            Request::get("/")
                .header("x-forwarded-for", "198.51.100.1")
                .header("x-forwarded-for", "198.51.100.2")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "example.org")
                .header("forwarded", "for=198.51.100.1")
                .header("x-real-ip", "198.51.100.1")
        };
        let alone = rebuilt(request(), false);
        assert_eq!(alone["x-forwarded-for"], "192.0.2.7");
        assert_eq!(alone["x-forwarded-proto"], "http");
        assert!(!alone.contains_key("forwarded") && !alone.contains_key("x-real-ip"));
        assert!(!alone.contains_key("x-forwarded-host"));
        let behind = rebuilt(request(), true);
        let all = "198.51.100.1, 198.51.100.2, 192.0.2.7";
        assert_eq!(behind["x-forwarded-for"], all);
        assert_eq!(behind["x-forwarded-proto"], "https");
        assert_eq!(behind["x-forwarded-host"], "example.org");
    }

    #[test]
    fn an_absolute_request_target_counts_before_the_host_header() {
        let request = Request::get("http://real.example.org/x").header("host", "other");
        assert_eq!(rebuilt(request, false)["host"], "real.example.org");
    }
}

mod waiting {
    use hyper::{Method, Request};

    use crate::waiting::waits;

    fn is_ended(method: Method, path: &str) -> bool {
        let request = Request::builder().method(method).uri(path).body(());
        waits(&request.unwrap())
    }

    #[test]
    fn a_stopping_gateway_ends_syncs_and_nothing_else() {
        for path in [
            "/_matrix/client/v3/sync?since=s1&timeout=30000",
            "/_matrix/client/r0/events",
            "/_matrix/client/api/v1/events",
            "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        ] {
            assert!(is_ended(Method::GET, path), "{path}");
        }
        let sliding = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
        assert!(is_ended(Method::POST, sliding));
        for path in [
            "/_matrix/client/v3/rooms/!r:x/state/m.type/sync",
            "/_matrix/client/v3/rooms/!r:x/events",
            "/_matrix/client/v3/events/$event",
            "/sync",
        ] {
            assert!(!is_ended(Method::GET, path), "{path}");
        }
        assert!(!is_ended(Method::PUT, "/_matrix/client/v3/sync"));
    }
}

mod args {
    use clap::Parser;
    use proptest::prelude::*;
    use tower_account_status::{AccountStatusLayer, MemoryStore};

    use crate::args::{Args, Cli, Command};

    fn parse(option: &str, value: &str) -> Result<Box<Args>, clap::Error> {
        let option = format!("--{option}={value}");
        let program = ["program", "serve", &option];
        let needed = ["--upstream", "http://localhost"].into_iter();
        let needed = needed.take(if option.starts_with("--upstream") {
            0
        } else {
            2
        });
        match Cli::try_parse_from(program.into_iter().chain(needed))?.command {
            Command::Serve(args) => Ok(args),
            _ => panic!("`serve` is what was asked for"),
        }
    }

    #[test]
    fn an_upstream_that_cannot_be_reached_is_not_accepted() {
        for wrong in ["http://:80", "http://h:65536", "http://u@h", "http://h/x"] {
            assert!(parse("upstream", wrong).is_err(), "{wrong}");
        }
        for right in ["http://h", "http://h:80/", "http://[::1]:80"] {
            assert!(parse("upstream", right).is_ok(), "{right}");
        }
    }

    proptest! {
        /// The layer panics on others.
        #[test]
        fn what_may_be_excluded_the_layer_takes(value in "/?.{0,4}|/[a-z?#{}/%.<` ]{0,8}") {
            if let Ok(args) = parse("exclude", &value) {
                let layer = AccountStatusLayer::new(MemoryStore::new());
                for prefix in args.exclude {
                    let _ = layer.clone().add_excluded_prefix(prefix);
                }
            }
        }
    }
}
