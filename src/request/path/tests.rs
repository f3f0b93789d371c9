use proptest::{
    collection::vec,
    sample::select,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};

use super::{
    Forgiving, decode_fully, is_one_plain_segment, is_plain, lenient_text, segment_is,
    undisputed_last_segment,
};

#[test]
fn rule_6_a_plain_rest_has_no_hidden_structure() {
    for plain in [
        "",
        "v1/version",
        "token",
        "v1/event/%24abc%3Aserver",
        "a.b/..c",
        "...",
        "a%c2%a0../b",
    ] {
        assert!(is_plain(plain), "{plain}");
    }
    for odd in [
        "/",
        "a//b",
        "a/",
        "../client",
        "%2e%2e/client",
        "%252E./x",
        "a/%2F/b",
        "a\\b",
        "a%5Cb",
        "a%5c..",
        "./x",
        "a/..;/b",
        "%2525252e",
        // What only some decoders understand.
        "%c0%ae%c0%ae/x",
        "a%c0%afb",
        "%e0%80%ae./x",
        "%ff",
        "%u002e%u002e/x",
        "100%",
        "a%25zz",
        "%ef%bc%8e./x",
        "a%ef%bc%8fb",
        "%e2%80%a5/x",
        "..%20/x",
        "..%23/x",
        "..%3Fa/x",
        "..%c2%a0/x",
        "%20../x",
        ".%e2%80%8b.",
        "a/%c2%ad/b",
    ] {
        assert!(!is_plain(odd), "{odd}");
    }
}

#[test]
fn rule_6_a_single_segment() {
    for one in ["oidc", "oidc%3A1", "a%2Eb", "a.b", "a;b"] {
        assert!(is_one_plain_segment(one), "{one}");
    }
    for odd in [
        "", "..", "%2e%2e", "a/b", "a%2fb", "a%252Fb", ";a", "a%5Cb", "a%09b",
    ] {
        assert!(!is_one_plain_segment(odd), "{odd}");
    }
}

#[test]
fn rule_10_a_forgiving_reading_finds_the_endpoint() {
    for odd in [
        "/a/login",
        "/a//login",
        "/a%2flogin",
        "\\a\\login",
        "/a%5Clogin",
        "/a%252Flogin",
        "/a%252flogin//",
        "/a%%32flogin",
        "/a/;/login/;x",
        "/a%c0%aflogin",
        "/a%e0%80%aflogin",
        "/a%c0%af%c1%acogin",
        "/a%u002flogin",
        "/a%25u005clogin",
    ] {
        let path = Forgiving::read(odd);
        let segments: Vec<&str> = path.segments_from_the_end().collect();
        assert_eq!(segments, ["login", "a"], "{odd}");
        assert!(!path.has_dots, "{odd}");
    }
    for odd in [
        "/a/./login",
        "/a/b/../login",
        "/%252e%252e/login",
        "/login/..;x",
        "/a/%c0%ae%c0%ae/login",
        "/a/%u002e%u002e/login",
        "/a/login%3Fx",
        "/login/%23x",
        "/login%00.png",
        "/a/..%20/login",
        "/a/..%c2%a0/login",
        "/a/%e2%80%8b../login",
        "/a/.\u{ad}./login",
        // To some, `login` and `a/login`.
        "/login;%2Fx",
        "/a;%2Fx/login",
        "/a%3b%2Fx/login",
    ] {
        assert!(Forgiving::read(odd).has_dots, "{odd}");
    }
    for login in [
        "login",
        "%6cOgin",
        "login;x=1",
        "login%20",
        "login%3Fx",
        "login ",
        "login%c2%a0",
        "login%c2%ad%e3%80%80;x",
        "login\u{a0}",
    ] {
        assert!(segment_is(login, "login"), "{login}");
    }
    assert!(!segment_is("login%c2%a0s", "login"));
    assert!(!segment_is("login\u{e9}", "login"));
    assert!(!segment_is("logins", "login"));
    assert!(!segment_is("logi", "login"));
}

#[test]
fn rule_6_decoding_goes_on_until_nothing_is_left_to_decode() {
    for (encoded, decoded) in [
        ("", ""),
        ("%", "%"),
        ("%2", "%2"),
        ("%zz%41", "%zzA"),
        ("%2%35%35", "%5"),
        ("%%32%35%32%65", "."),
        ("%25252e", "."),
        ("a%2525zz", "a%zz"),
    ] {
        assert_eq!(
            *decode_fully(encoded.as_bytes()),
            *decoded.as_bytes(),
            "{encoded}"
        );
    }
}

#[test]
fn an_encoding_of_an_encoding_of_an_encoding_costs_no_more_than_its_length() {
    let nested = format!("%{}2e", "25".repeat(32_000));
    // Decoding it again and again took several seconds. Something else may take the processor away,
    // but not each time.
    let is_fast = (0..10).any(|_| {
        let started = std::time::Instant::now();
        assert_eq!(*decode_fully(nested.as_bytes()), *b".");
        started.elapsed() < std::time::Duration::from_millis(500)
    });
    assert!(is_fast);
}

#[test]
fn rule_10_a_last_segment_that_no_router_disputes() {
    for (path, last) in [
        ("/a/b", "b"),
        ("b", "b"),
        ("/a/../b", "b"),
        ("/a;x/b", "b"),
        ("/a%2fb/%21c%3Ad", "%21c%3Ad"),
        ("/a/...", "..."),
    ] {
        assert_eq!(undisputed_last_segment(path), Some(last), "{path}");
    }
    for path in [
        "",
        "/",
        "/a/",
        "/a/.",
        "/a/..",
        "/a/b;x",
        "/a/;",
        "/a/b\\c",
        "/a/b%2Fc",
        "/a/%2e%2e",
        "/a/b%3bx",
        "/a/%252e",
        "/a/b%",
        "/a/%6",
        "/a/%%32f",
        "/a/b%3Fx",
        "/a/b%23x",
        "/a/b%00",
        "/a/b%20",
        "/a/b%c0%afc",
        "/a/b%u002fc",
        "/a/..%c2%a0",
        "/a/%c2%ad..",
        "/a/%e3%80%80",
        "/a/\u{a0}.",
        "/a/..%ff",
        // An end before the end.
        "/a%3Fx/b",
        "/a%23/b",
        "/a%00/b",
        "/a%253Fx/b",
        "/a%%33fx/b",
        "/a%c0%bfx/b",
        "/a%u003fx/b",
    ] {
        assert_eq!(undisputed_last_segment(path), None, "{path}");
    }
}

#[test]
fn lenient_decoders_are_followed_and_nothing_else_changes() {
    for (bytes, text) in [
        (&b"a\xc0\xaeb"[..], "a.b"),
        (b"\xe0\x80\xaf\xf0\x80\x80\xaf", "//"),
        (b"%u002E%u00e4", ".\u{e4}"),
        (b"%u12", "%u12"),
        (b"%", "%"),
        (b"\xc0", "\u{fffd}"),
        (b"\xc0a", "\u{fffd}a"),
        (
            "\u{905}\u{1f600}a\u{e4}".as_bytes(),
            "\u{905}\u{1f600}a\u{e4}",
        ),
    ] {
        assert_eq!(lenient_text(bytes), text, "{bytes:?}");
    }
}

/// What is left of a segment where a server cuts it, without what nobody sees.
fn seen(segment: &str) -> String {
    let end = segment.find([';', '?', '#', '\0']);
    let is_seen = |letter: &char| {
        !letter.is_whitespace()
            && !letter.is_control()
            && !matches!(letter, '\u{ad}' | '\u{200b}' | '\u{fffd}')
    };
    segment[..end.unwrap_or(segment.len())]
        .chars()
        .filter(is_seen)
        .collect()
}

/// The same reading, written as it is meant.
#[test]
fn rule_10_the_fast_reading_is_the_plain_one() {
    const PIECES: [&str; 31] = [
        "%c2%a0",
        "%e2%80%8b",
        "%c2%ad",
        "\u{a0}",
        "\u{3000}",
        "/",
        "//",
        "\\",
        ";",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2f",
        "%5c",
        "%5C",
        "%3b",
        "%3f",
        "%23",
        "%00",
        "%20",
        "%09",
        "%25",
        "%",
        "%u002f",
        "%u002e",
        "%c0%af",
        "%c0%ae",
        "a",
        "login",
        "é",
    ];
    let paths = vec(select(&PIECES[..]), 1..9);
    let mut runner = TestRunner::deterministic();
    let (mut dots, mut decoded) = (0, 0);
    for _ in 0..100_000 {
        let pieces = paths.new_tree(&mut runner).unwrap().current();
        let path = format!("/{}", pieces.concat());
        let found = Forgiving::read(&path);
        let text = match found.is_decoded() {
            true => lenient_text(&decode_fully(path.as_bytes())).replace('\\', "/"),
            false => path.clone(),
        };
        let is_dots = |segment: &str| matches!(&*seen(segment), "." | "..");
        let is_cut = |letter| matches!(letter, ';' | '?' | '#' | '\0');
        let has_dots = text.split('/').any(is_dots) || text.contains(is_cut);
        assert_eq!(found.has_dots, found.is_decoded() && has_dots, "{path}");
        // Dot segments are no endpoint's, so it does not matter whether they are there.
        let is_name = |segment: &&str| !seen(segment).is_empty() && !matches!(*segment, "." | "..");
        let segments: Vec<&str> = found.segments_from_the_end().filter(is_name).collect();
        let plain: Vec<&str> = text.rsplit('/').filter(is_name).collect();
        assert_eq!(segments, plain, "{path}");
        dots += u32::from(found.has_dots);
        decoded += u32::from(found.is_decoded());
    }
    assert!(dots > 25_000 && decoded > dots, "{dots} of {decoded}");
}
