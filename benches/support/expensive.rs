//! Requests that are made to be as expensive as they can be, each of some 60 KB.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use super::accounts::{Standing, token, user};

/// The length of a head or a body; hyper takes heads of 400 KB with up to 100 headers.
const LARGE: usize = 60_000;

/// What a request is made of.
#[derive(Clone)]
pub struct Expensive {
    pub name: &'static str,
    pub group: Group,
    method: &'static str,
    /// Path and query, behind `/_matrix/client/v3/`.
    endpoint: String,
    credentials: Vec<String>,
    body: String,
    /// How the layer refuses it if it does.
    pub refusal: Option<StatusCode>,
}

/// Where a request is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Headers,
    Query,
    Path,
    Body,
}

impl Expensive {
    fn get(name: &'static str, group: Group) -> Self {
        Self {
            name,
            group,
            method: "GET",
            endpoint: "joined_rooms".into(),
            credentials: Vec::new(),
            body: String::new(),
            refusal: None,
        }
    }

    fn headers(name: &'static str, credentials: Vec<String>) -> Self {
        Self {
            credentials,
            ..Self::get(name, Group::Headers)
        }
    }

    fn query(name: &'static str, query: &str) -> Self {
        Self {
            endpoint: format!("joined_rooms?{query}"),
            ..Self::get(name, Group::Query)
        }
    }

    fn path(name: &'static str, path: &str) -> Self {
        Self {
            method: "POST",
            endpoint: path.into(),
            ..Self::get(name, Group::Path)
        }
    }

    fn post(name: &'static str, endpoint: &str, body: String) -> Self {
        Self {
            method: "POST",
            endpoint: endpoint.into(),
            body,
            ..Self::get(name, Group::Body)
        }
    }

    fn login(name: &'static str, body: String) -> Self {
        Self::post(name, "login", body)
    }

    fn refused(mut self) -> Self {
        self.refusal = Some(StatusCode::BAD_REQUEST);
        self
    }

    pub fn request(&self) -> Request<Full<Bytes>> {
        let uri = format!("http://127.0.0.1/_matrix/client/v3/{}", self.endpoint);
        let mut request = Request::builder().method(self.method).uri(uri);
        request = request.header("host", "127.0.0.1");
        for credential in &self.credentials {
            request = request.header("authorization", credential);
        }
        request
            .body(Full::from(self.body.clone()))
            .expect("a request")
    }

    /// As a client of HTTP/1.1 writes it.
    pub fn wire(&self) -> Bytes {
        let mut wire = format!(
            "{} /_matrix/client/v3/{} HTTP/1.1\r\nhost: 127.0.0.1\r\n",
            self.method, self.endpoint
        );
        for credential in &self.credentials {
            wire += &format!("authorization: {credential}\r\n");
        }
        if self.method == "POST" {
            wire += &format!("content-length: {}\r\n", self.body.len());
        }
        (wire + "\r\n" + &self.body).into()
    }
}

/// All of them.
pub fn all() -> Vec<Expensive> {
    [headers(), queries(), paths(), logins(), other_bodies()].concat()
}

fn full_of(piece: &str) -> String {
    piece.repeat(LARGE / piece.len())
}

fn headers() -> Vec<Expensive> {
    let long = |start: &str, scheme: &str| {
        let token = start.repeat(LARGE / 4 / start.len());
        format!("{scheme} {token}")
    };
    // The scheme in any case, with any white space.
    let four = [
        long("a", "Bearer"),
        long("b~", "bEaReR  \t"),
        long("%63", "  BEARER\t"),
        long("d/+", "bearer"),
    ];
    let known = token(Standing::Active.number(0));
    let padding = " \t".repeat((LARGE / 90 - known.len()) / 2);
    let ninety = (0..90).map(|_| format!("bearer{padding}{known}"));
    let five = (0..5).map(|n| long(&n.to_string(), "Bearer"));
    let one = |scheme: &str, piece: &str| vec![format!("{scheme}{}", full_of(piece))];
    // As many as are looked at, and one long word behind them.
    let padded = |start: &str| vec![format!("{start}{}", "x".repeat(LARGE - start.len()))];
    vec![
        Expensive::headers("nothing large", vec![format!("Bearer {known}")]),
        Expensive::headers("four tokens", four.into()),
        Expensive::headers("one token ninety times", ninety.collect()),
        Expensive::headers("five tokens", five.collect()).refused(),
        Expensive::headers("a token of commas", one("Bearer ", "a,")).refused(),
        Expensive::headers("60 commas", padded(&format!("Bearer {}", "a,".repeat(60)))),
        Expensive::headers("a token of quotation marks", one("Bearer ", "\"")).refused(),
        Expensive::headers("the word bearer", one("Basic ", "bearer")).refused(),
        Expensive::headers("its beginning", one("Basic ", "beare")),
        Expensive::headers("its first letter", one("Basic ", "b")),
        Expensive::headers("bearer and a token", one("Basic ", "bearer a ")).refused(),
        Expensive::headers(
            "60 bearers",
            padded(&format!("Basic {}", "bearer a ".repeat(60))),
        ),
        Expensive::headers("a signature of commas", one("X-Matrix ", ",")),
        Expensive::headers("bearers in a signature", one("X-Matrix ", ",bearer a")).refused(),
        Expensive::headers("a bearer in a signature", padded("X-Matrix a,bearer a,")),
    ]
}

fn queries() -> Vec<Expensive> {
    let encoded = "%61ccess%5Ftoken=%73%79%74;user%5fid=%40&";
    let token_of =
        |piece: &str, len: usize| format!("access_token={}", piece.repeat(len / piece.len()));
    // As many as are looked at, and one plain pair behind them.
    let padded = |query: String| {
        let rest = LARGE - query.len();
        format!("{query}&x={}", "x".repeat(rest))
    };
    let pairs = |piece: &str| padded(piece.repeat(1_000));
    let refused = |name, query: &str| Expensive::query(name, query).refused();
    vec![
        refused("a credential, encoded", &full_of(encoded)),
        refused("a token, encoded", &token_of("%61", LARGE)),
        Expensive::query("a plain token", &token_of("a", LARGE)),
        Expensive::query(
            "16 KB of a token, encoded",
            &padded(token_of("%61", 16_000)),
        ),
        Expensive::query("16 KB, encoded twice", &padded(token_of("%2561", 16_000))),
        Expensive::query("16 KB of plus signs", &padded(token_of("%2b+", 16_000))),
        Expensive::query("16 KB of spaces", &padded(token_of("%20", 16_000) + "a")),
        Expensive::query(
            "32 readings",
            &padded(vec![token_of("%61", 450); 32].join("&")),
        ),
        Expensive::query(
            "16 KB of a user",
            &padded(format!("user_id=@{}", "%61".repeat(5_000))),
        ),
        refused("`access_token=`", &full_of("access_token=&")),
        Expensive::query("1,000 `access_token=`", &pairs("access_token=&")),
        Expensive::query("the same, encoded", &pairs("%61ccess%5ftoken=&")),
        refused("semicolons", &(full_of(";") + "&user_id=")),
        refused("empty pairs", &(full_of("&") + "user_id=")),
        refused("pairs `a=`", &(full_of("a=&") + "user_id=")),
        Expensive::query("1,000 names nearly right", &pairs("%61ccess%5ftokex=1&")),
        Expensive::query("the same by semicolons", &pairs("%61ccess%5ftokex=1;")),
        Expensive::query("a name of plus signs", &(full_of("+") + "%=1")),
        Expensive::query("a name of spaces", &(full_of("%20") + "=1")),
        Expensive::query("a name, encoded", &(full_of("%61") + "=1")),
        refused("`user_id=@a:b`", &full_of("user_id=@a:b&")),
        Expensive::query(
            "a user and 8 KB",
            &format!("user_id=@a:b&x={}", "%61".repeat(2_700)),
        ),
        Expensive::query(
            "a user and 60 KB",
            &format!("user_id=@a:b&x={}", full_of("%61")),
        ),
    ]
}

fn paths() -> Vec<Expensive> {
    vec![
        Expensive::path("slashes", &full_of("/")),
        Expensive::path("dot segments", &full_of("%2e/")),
        Expensive::path("encoded letters", &full_of("%6c")),
        Expensive::path("segments `login`", &full_of("login/")),
        Expensive::path("semicolons", &full_of("login;")),
    ]
}

fn logins() -> Vec<Expensive> {
    let user = user(Standing::Active.number(0));
    let named = format!(r#""identifier":{{"type":"m.id.user","user":"{user}"}}"#);
    let entries = |piece: &str| {
        let entries = vec![piece; LARGE / (piece.len() + 1)].join(",");
        format!("{{{entries}}}")
    };
    let items = |piece: &str| {
        let items = vec![piece; LARGE / (piece.len() + 1)].join(",");
        format!(r#"{{{named},"x":[{items}]}}"#)
    };
    // As many as are looked at, and a plain text behind them.
    let some = |piece: &str, number: usize| {
        let entries = vec![piece; number].join(",");
        let rest = "x".repeat(LARGE - entries.len());
        format!(r#"{{{entries},"x":"{rest}"}}"#)
    };
    let text = |key: &str, piece: &str| format!(r#"{{"{key}":"{}"}}"#, full_of(piece));
    let many = (0..LARGE / 24).map(|n| format!(r#""user":"@u{n:06}:x.org""#));
    let many = format!("{{{}}}", many.collect::<Vec<_>>().join(","));
    let level = format!(r#"{{{named},"x":"#);
    let depth = LARGE / (level.len() + 1);
    let nested = format!("{}1{}", level.repeat(depth), "}".repeat(depth));
    let brackets = LARGE / 2;
    let brackets = format!("{}1{}", "[".repeat(brackets), "]".repeat(brackets));
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    vec![
        Expensive::login("nested objects", nested).refused(),
        Expensive::login("brackets", format!("{{{named},\"x\":{brackets}}}")).refused(),
        Expensive::login("120 brackets each", items(&deep)),
        Expensive::login("repeated identifiers", entries(&named)).refused(),
        Expensive::login("empty identifiers", entries(r#""identifier":{}"#)).refused(),
        Expensive::login("one user again", entries(&format!(r#""user":"{user}""#))).refused(),
        Expensive::login("users", many).refused(),
        Expensive::login("short keys", entries(r#""a":1"#)),
        Expensive::login("keys of four letters", entries(r#""usex":1"#)),
        Expensive::login("keys, escaped", entries(r#""\u0075sex":1"#)),
        Expensive::login("keys `user`, escaped", entries(r#""\u0075ser":"a""#)).refused(),
        Expensive::login("20 identifiers", some(&named, 20)),
        Expensive::login("60 empty identifiers", some(r#""identifier":{}"#, 60)),
        Expensive::login("60 users, escaped", some(r#""\u0075ser":"\u0061""#, 60)),
        Expensive::login(
            "a user escaped 60 times",
            some(&format!(r#""user":"{}""#, r"\u0061".repeat(160)), 60),
        ),
        Expensive::login("keys beyond ASCII", entries(r#""üüüüüü":1"#)),
        Expensive::login("a user, escaped", text("user", r"\u0061")),
        Expensive::login("a user of pairs", text("user", r"\ud83d\ude00")),
        Expensive::login("a user of `\\n`", text("user", r"\n")),
        Expensive::login("a user beyond ASCII", text("user", "ü")),
        Expensive::login("a plain user", text("user", "a")),
        Expensive::login("a password, escaped", text("password", r"\u0061")),
        Expensive::login("a password of `\\n`", text("password", r"\n")),
        Expensive::login(
            "a key, escaped",
            format!(r#"{{"{}":1}}"#, full_of(r"\u0061")),
        ),
        Expensive::login("a plain password", text("password", "a")),
        Expensive::login("numbers", items("1")),
        Expensive::login("a long number", items(&"1".repeat(LARGE / 3))),
        Expensive::login("fractions", items("-1.5e+10")),
        Expensive::login("empty strings", items(r#""""#)),
        Expensive::login("white space", format!("{{{named}{}}}", full_of(" "))),
        Expensive::login("literals", items("null")),
        Expensive::login(
            "a JWT",
            format!(
                r#"{{"type":"org.matrix.login.jwt","token":"{}"}}"#,
                full_of("eyJhbGciOi.")
            ),
        ),
        Expensive::login(
            "a JWT, escaped",
            format!(
                r#"{{"type":"org.matrix.login.jwt","token":"{}"}}"#,
                full_of(r"e\u0079JhbGciOi.")
            ),
        ),
    ]
}

fn other_bodies() -> Vec<Expensive> {
    let entries = |piece: &str| {
        let entries = vec![piece; LARGE / (piece.len() + 1)].join(",");
        format!("{{{entries}}}")
    };
    let text = |key: &str, piece: &str| format!(r#"{{"{key}":"{}"}}"#, full_of(piece));
    let auth = r#""auth":{"type":"m.login.password","identifier":{"user":"@a:b"}}"#;
    let password = "account/password";
    vec![
        Expensive::post("a refresh token", "refresh", text("refresh_token", "a")),
        Expensive::post(
            "a refresh token, escaped",
            "refresh",
            text("refresh_token", r"\u0061"),
        ),
        Expensive::post(
            "refresh tokens",
            "refresh",
            entries(r#""refresh_token":"a""#),
        )
        .refused(),
        Expensive::post(
            "guests' tokens",
            "register",
            entries(r#""guest_access_token":"a""#),
        )
        .refused(),
        Expensive::post("registers", "register", entries(r#""username":"a""#)),
        Expensive::post("`auth` objects", password, entries(auth)).refused(),
        Expensive::post("empty `auth` objects", password, entries(r#""auth":{}"#)).refused(),
    ]
}
