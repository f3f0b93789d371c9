//! Which endpoint names an account in its body, as far as a path can tell.

use std::ops::Deref;

use super::{
    blocks,
    path::{
        CLIENT_API, Forgiving, has_hidden_structure, segment_is, segments_from_the_end,
        undisputed_last_segment,
    },
    version::{MAY_BE_LEFT, may_lead},
};

/// An endpoint that names an account in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamingEndpoint {
    /// `POST /login`: the account that is to be logged in.
    Login,
    /// `POST /refresh`: the owner of the refresh token.
    Refresh,
    /// `POST /account/password` and `POST /account/deactivate`: without an access token, the
    /// account that proves itself in `auth`.
    Reauthentication,
    /// `POST /register`: the guest whose account is upgraded.
    GuestUpgrade,
    /// One of them, but dot segments in the path leave it open which.
    Unclear,
}

/// A [`NamingEndpoint`], and how sure it is that the request is meant for the Matrix API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    pub(crate) endpoint: NamingEndpoint,
    /// Whether the path has `/_matrix/client` in it. Where it has not, the layer may sit in a
    /// nested router that took it off, or this may be another application's `/login`.
    pub(crate) is_matrix: bool,
}

impl Naming {
    /// Whether the body decides who is meant. Where one can also authenticate by access token, it
    /// decides unless a token in the head belongs to somebody, to every server alike.
    pub(crate) fn goes_by_body(self, is_surely_owned: bool) -> bool {
        self.endpoint != NamingEndpoint::Reauthentication || !is_surely_owned
    }
}

/// Whether the body of a `POST` with this path may name an account, whatever the path's spelling.
///
/// Wider than any router, since what it finds is only looked at.
///
/// `forgiving` is the same path.
#[inline]
pub(crate) fn naming<'p>(
    path: &str,
    forgiving: &impl Deref<Target = Forgiving<'p>>,
) -> Option<Naming> {
    if let Some(endpoint) = naming_exactly(path) {
        return Some(Naming {
            endpoint,
            is_matrix: true,
        });
    }
    match may_name_accounts(path) {
        true => naming_path(path, forgiving),
        false => None,
    }
}

/// Whether the path's last segment leaves it open that the body names an account.
///
/// It tells nearly every path apart.
#[inline(never)]
pub(crate) fn may_name_accounts(path: &str) -> bool {
    !names_nobody_as_written(path) && undisputed_last_segment(path).is_none_or(is_naming_name)
}

/// Whether the path ends differently from every path that names accounts, and is written so that every
/// server finds this end. `false` promises nothing.
///
/// It takes few instructions, because every `POST` comes here.
#[inline]
fn names_nobody_as_written(path: &str) -> bool {
    let path = path.as_bytes();
    let (Some((before, end)), Some(ending)) = (
        path.split_last_chunk::<{ blocks::BLOCK }>(),
        path.last_chunk(),
    ) else {
        return false;
    };
    // In lower case, which makes other bytes equal to letters at worst.
    let ending = u32::from_be_bytes(*ending) | 0x2020_2020;
    // The two bytes behind `before` may belong to what is encoded there. What nearly every path
    // begins with is left out, but for as much as is looked at together.
    let before = &path[..before.len() + 2];
    let start = match path.starts_with(b"/_matrix/client/v3/") {
        true => 19.min(before.len().saturating_sub(blocks::BLOCK + 2)),
        false => 0,
    };
    // No server strips a letter or a digit from an end, and nothing near this one is encoded.
    path.last().is_some_and(u8::is_ascii_alphanumeric)
        && !NAMING_ENDINGS.contains(&ending)
        && !blocks::any(end, |byte| (byte == b'%') | is_cut_as_written(byte))
        && !blocks::any_triple(&before[start..], may_end_segment)
}

/// The last segments of the paths whose bodies may name an account.
const NAMES: [&str; 5] = ["login", "refresh", "register", "password", "deactivate"];

/// The last four letters of each.
const NAMING_ENDINGS: [u32; NAMES.len()] = {
    let mut endings = [0; NAMES.len()];
    let mut at = 0;
    while at < NAMES.len() {
        let Some(ending) = NAMES[at].as_bytes().last_chunk() else {
            panic!("a name has four letters at least");
        };
        endings[at] = u32::from_be_bytes(*ending);
        at += 1;
    }
    endings
};

/// Whether some server may end a segment or the path there. Many room and event IDs have `%21`, `%24`,
/// `%3A` or `%40`. These, and some encoded letters, end nothing.
fn may_end_segment(byte: u8, high: u8, low: u8) -> bool {
    let is_mark_or_letter =
        (high.wrapping_sub(b'2') <= 5) & ((low == b'1') | (low == b'4') | (low | 0x20 == b'a'));
    let is_at_sign = (high == b'4') & (low == b'0');
    is_cut_as_written(byte) | ((byte == b'%') & !(is_mark_or_letter | is_at_sign))
}

fn is_cut_as_written(byte: u8) -> bool {
    (byte == b';') | (byte == b'\\')
}

fn naming_path<'p>(path: &str, forgiving: &impl Deref<Target = Forgiving<'p>>) -> Option<Naming> {
    // Wherever a router ends it, none of its segments is one of these.
    if !has_hidden_structure(path) && !segments_from_the_end(path).any(is_naming_name) {
        return None;
    }
    let path: &Forgiving<'_> = forgiving;
    if path.has_dots {
        return naming_somewhere(path);
    }
    let mut segments = path.segments_from_the_end();
    let last = segments.next()?;
    let endpoint = if segment_is(last, "login") {
        NamingEndpoint::Login
    } else if segment_is(last, "refresh") {
        NamingEndpoint::Refresh
    } else if segment_is(last, "register") {
        NamingEndpoint::GuestUpgrade
    } else if (segment_is(last, "password") || segment_is(last, "deactivate"))
        && segment_is(segments.next()?, "account")
    {
        NamingEndpoint::Reauthentication
    } else {
        return None;
    };
    // What stands before it, nearest first: the version, `client`, `_matrix`, and a mount point.
    let before: Vec<&str> = segments.collect();
    let is_matrix = before
        .windows(2)
        .any(|pair| segment_is(pair[0], "client") && segment_is(pair[1], "_matrix"));
    let could_be_stripped =
        before.len() <= MAY_BE_LEFT || before.last().is_some_and(|first| may_lead(first));
    (is_matrix || could_be_stripped).then_some(Naming {
        endpoint,
        is_matrix,
    })
}

/// As the specification spells them.
fn naming_exactly(path: &str) -> Option<NamingEndpoint> {
    let path = path.strip_prefix(CLIENT_API)?;
    match path
        .strip_prefix("v3/")
        .or_else(|| path.strip_prefix("r0/"))?
    {
        "login" => Some(NamingEndpoint::Login),
        "refresh" => Some(NamingEndpoint::Refresh),
        "register" => Some(NamingEndpoint::GuestUpgrade),
        "account/password" | "account/deactivate" => Some(NamingEndpoint::Reauthentication),
        _ => None,
    }
}

/// Any of them, anywhere in a path with dot segments.
fn naming_somewhere(path: &Forgiving<'_>) -> Option<Naming> {
    let is_named = path.segments_from_the_end().any(is_naming_name);
    is_named.then(|| Naming {
        endpoint: NamingEndpoint::Unclear,
        is_matrix: path
            .segments_from_the_end()
            .any(|segment| segment_is(segment, "_matrix")),
    })
}

/// Whether it is the last segment of a path whose body may name an account.
fn is_naming_name(segment: &str) -> bool {
    let Some(first) = segment.as_bytes().first() else {
        return false;
    };
    // By the first letter nearly all others are told apart, unless it is encoded.
    let may_be = |name: &str| *first == b'%' || first.eq_ignore_ascii_case(&name.as_bytes()[0]);
    NAMES
        .iter()
        .any(|name| may_be(name) && segment_is(segment, name))
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        sample::select,
        strategy::{Strategy as _, ValueTree as _},
        test_runner::TestRunner,
    };

    use super::{
        Forgiving, NamingEndpoint, is_naming_name, names_nobody_as_written, naming,
        undisputed_last_segment,
    };

    #[test]
    fn rule_10_what_is_told_by_its_end_is_told_alike_by_its_last_segment() {
        // Pieces that could make an end another one.
        const PIECES: [&str; 40] = [
            "/",
            "//",
            "\\",
            ";",
            ".",
            "..",
            "%2e",
            "%2E",
            "%2f",
            "%2F",
            "%5c",
            "%5C",
            "%3b",
            "%3B",
            "%3f",
            "%3F",
            "%23",
            "%00",
            "%20",
            "%09",
            "%25",
            "%",
            "%u002f",
            "%c0%af",
            "%21",
            "%24",
            "%3A",
            "%3a",
            "%40",
            "%6C",
            "%6e",
            "login",
            "refresh",
            "register",
            "account",
            "password",
            "deactivate",
            "ogin",
            "x",
            "abcdefghijklmnop",
        ];
        let end = select(&["", "/abcdefghijklmnop"][..]);
        let paths = (vec(select(&PIECES[..]), 1..8), end);
        let mut runner = TestRunner::deterministic();
        let mut told = 0;
        for _ in 0..100_000 {
            let (pieces, end) = paths.new_tree(&mut runner).unwrap().current();
            let path = format!("/_matrix/client/v3/{}{end}", pieces.concat());
            if names_nobody_as_written(&path) {
                told += 1;
                let last = undisputed_last_segment(&path);
                assert!(last.is_some_and(|last| !is_naming_name(last)), "{path}");
            }
        }
        assert!(told > 2_000, "{told}");
        assert!(!names_nobody_as_written(
            "/_matrix/client/v3/login/..........."
        ));
    }

    #[test]
    fn rule_10_a_body_that_names_an_account_is_found_in_any_spelling() {
        let found = |path| naming(path, &Box::new(Forgiving::read(path)));
        for path in [
            "/_matrix/client/v3/login",
            "/_matrix/client/r0/login",
            "/_matrix/client/api/v1/login",
            "/_matrix/client/unstable/org.example/login",
            "/_matrix/client/v3/login/",
            "/_matrix/client/v3//login",
            "/_matrix/client/v3/%6cOgin",
            "/_matrix/client/v3/login;x=1",
            "/_matrix%2fclient%2fv3%2flogin",
            "/_matrix/client/v3%c0%aflogin",
            "/_matrix/client/v3%u002flogin",
            "/_matrix/client/v3/login%20",
            "/_matrix/client/v3/login%c2%a0",
            "/_matrix/client/v3/login/%e2%80%8b",
            "/_matrix/client/v3/%c1%acogin",
            "/base/_matrix/client/v3/login",
        ] {
            let naming = found(path).expect(path);
            assert_eq!(naming.endpoint, NamingEndpoint::Login, "{path}");
            assert!(naming.is_matrix, "{path}");
        }
        for path in [
            "/_matrix/client/v3/x/../login",
            "/_matrix/client/%2e%2e/login",
            "/_matrix/client/v3/login/x/..",
            "/_matrix/client/v3/login/x/..%c2%a0",
            "/_matrix/client/v3/login/x/%c2%ad..",
            "/_matrix/client/v3/account/x/%e3%80%80../deactivate",
            "/_matrix/client/v3/account/..;/../deactivate",
            "/_matrix/client/v3/account/%2e%2e/../deactivate",
            "/_matrix/client/v3/login%3Fx=1",
            "/_matrix/client/v3/login%23",
            "/_matrix/client/v3/login%00.png",
            "/_matrix/client/v3/login/%23x",
            "/_matrix/client/v3/login%3Fx/x",
            "/_matrix/client/v3/login%253f/x",
            "/_matrix/client/v3/login%u003f/x/y",
            "/_matrix/client/v3/login%c0%bf/x",
            "/_matrix/client/v3/account/deactivate;%2Fx",
            "/_matrix/client/v3/account;%2Fx/deactivate",
            "/_matrix/client/v3/account;x%5cy/password",
            "/_matrix/client/v3/login%3B%252Fx",
            "/_matrix/client/r0/login\\.",
            "/_matrix/client/v3/login\\x\\..",
            "/_matrix/client/v3/login/x%5c..",
            "/_matrix/client/v3\\x/..\\login\\x\\..",
            "/_matrix/client/%c0%ae%c0%ae/login",
            "/_matrix/client/%u002e%u002e/login",
        ] {
            let naming = found(path).expect(path);
            assert_eq!(naming.endpoint, NamingEndpoint::Unclear, "{path}");
            assert!(naming.is_matrix, "{path}");
        }
        // A router may have stripped what stood before; or it is another application's, whose
        // prefix can be excluded.
        for path in [
            "/login",
            "/v3/login",
            "/client/v3/login",
            "/foo/login",
            "/admin/refresh",
        ] {
            assert!(!found(path).expect(path).is_matrix, "{path}");
        }
        assert_eq!(
            found("/_matrix/client/v3/refresh").map(|naming| naming.endpoint),
            Some(NamingEndpoint::Refresh)
        );
        for path in [
            "/_matrix/client/v3/account/password",
            "/v3/account/deactivate",
        ] {
            let naming = found(path).expect(path);
            assert_eq!(naming.endpoint, NamingEndpoint::Reauthentication, "{path}");
        }
        for path in [
            "/",
            "*",
            "/_matrix/client/v3/logins",
            "/_matrix/client/v3/password",
            "/_matrix/client/v1/login/get_token",
            "/oauth2/v/login",
            "/admin/x/refresh",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
