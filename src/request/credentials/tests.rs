use http::{Request, header::AUTHORIZATION};

use crate::credential::AccessToken;
use crate::request::{few::TooMany, head::HeadCredentials};

type Found = Result<Vec<(String, Option<String>)>, TooMany>;

fn read(uri: &str, headers: &[&[u8]]) -> Found {
    let mut request = Request::builder().uri(uri);
    for &header in headers {
        request = request.header(AUTHORIZATION, header);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let found = HeadCredentials::read(&head.headers, &head.uri)?;
    let text = |access: AccessToken<'_>| {
        (
            String::from_utf8_lossy(access.token().expose()).into_owned(),
            access.asserted_user().map(str::to_owned),
        )
    };
    Ok(found.iter().map(text).collect())
}

fn tokens(uri: &str, headers: &[&[u8]]) -> Vec<String> {
    let found = read(uri, headers).expect("not too many");
    found.into_iter().map(|(token, _)| token).collect()
}

#[test]
fn rule_7_a_bearer_header_in_any_case_with_any_white_space() {
    for header in [
        "Bearer t",
        "bearer t",
        "BEARER t",
        "bEaReR \t  t",
        "Bearer\tt",
        "  Bearer t  ",
        "\u{a0}Bearer t",
        "Basic dXNlcjpw, Bearer t",
        "Basic dXNlcjpw Bearer t",
        "Digest x=\"Bearer t",
        "xBearer t",
        "X-Matrix origin=a,sig=\"b\", Bearer t",
        "X-Matrixy Bearer t",
        "x-matrixBearer t",
        "Bearert",
    ] {
        assert_eq!(tokens("/", &[header.as_bytes()]), ["t"], "{header:?}");
    }
}

#[test]
fn rule_9_no_token() {
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Bear t",
        "Basic dXNlcjpw",
        "Digest x",
        "t",
        "X-Matrix origin=a, key=\"b\",sig=\"Bearer t\"",
        "x-matrix origin=a,sig=\"b, Bearer t\"",
        "X-Matrix Bearer t",
        "Basic xBearer",
        "Basic Bearer",
        "Basic Bearert",
    ] {
        assert!(tokens("/", &[header.as_bytes()]).is_empty(), "{header:?}");
    }
    for uri in [
        "/",
        "/?",
        "/?access_token",
        "/?access_token=",
        "/?Access_token=t",
        "*",
    ] {
        assert!(tokens(uri, &[]).is_empty(), "{uri}");
    }
}

#[test]
fn rule_7_names_and_values_of_the_query_are_percent_decoded() {
    for uri in [
        "/?access_token=a%2Db",
        "/?access%5Ftoken=a-b",
        "/?%61%63%63%65%73%73%5f%74%6F%6b%65%6e=%61%2d%62",
        "/?x=y&access_token=a-b&z",
        "/?x=y;access_token=a-b",
        "http://example.org/sync?access_token=a-b",
    ] {
        assert_eq!(tokens(uri, &[]), ["a-b"], "{uri}");
    }
}

#[test]
fn rule_7_every_reading_of_an_odd_spelling_counts() {
    assert_eq!(tokens("/?access_token=a+b", &[]), ["a+b", "a b"]);
    assert_eq!(tokens("/?access_token=a;b", &[]), ["a;b", "a"]);
    // A second question mark, which a proxy may drop, or take for the first.
    assert_eq!(tokens("/??access_token=a", &[]), ["a"]);
    assert_eq!(tokens("/?x?access_token=a&y", &[]), ["a"]);
    assert_eq!(tokens("/?x=1?y;access_token=a?z", &[]), ["a?z", "a"]);
    assert_eq!(tokens("/", &[b"Bearer a b"]), ["a b", "a", "b"]);
    assert_eq!(
        tokens("/", &[b"Bearer a, Bearer b"]),
        ["a, Bearer b", "a", "Bearer", "b"]
    );
    assert_eq!(tokens("/", &["Bearer a\u{a0}".as_bytes()])[1], "a");
}

#[test]
fn rule_7_all_headers_and_parameters_together() {
    let found = tokens(
        "/?access_token=c&access_token=d",
        &[b"Bearer a", b"Basic x", b"bearer b"],
    );
    assert_eq!(found, ["a", "b", "c", "d"]);
    let same = tokens(
        "/?access_token=a&access_token=%61",
        &[b"Bearer a", b"Bearer a"],
    );
    assert_eq!(same, ["a"]);
}

#[test]
fn rule_7_more_than_four_distinct_ones_are_too_many() {
    let found = read(
        "/?access_token=c&access_token=d&access_token=e",
        &[b"Bearer a", b"Bearer b"],
    );
    assert_eq!(found, Err(TooMany));
    let pairs = "/?access_token=c&user_id=1&user_id=2&user_id=3";
    assert_eq!(read(pairs, &[b"Bearer a"]), Err(TooMany));
}

/// What is looked at closely is bounded, whether or not all of it says the same.
#[test]
fn rule_7_a_query_full_of_readings_is_refused() {
    let full = |pair: &str, times: usize| format!("/?{}", vec![pair; times].join("&"));
    let found = read(&full("access_token=%61", 32), &[]);
    assert_eq!(found, Ok(vec![("a".to_owned(), None)]));
    assert_eq!(read(&full("access_token=%61", 33), &[]), Err(TooMany));
    // As a token and without its white space.
    assert!(read(&full("access_token=%20a", 16), &[]).is_ok());
    assert_eq!(read(&full("access_token=%20a", 17), &[]), Err(TooMany));
    for pair in ["a=", "access_token", "access_token=", "user%5fid="] {
        let pairs = |number| format!("{}&access_token=t", full(pair, number));
        assert_eq!(tokens(&pairs(1023), &[]), ["t"], "{pair}");
        assert_eq!(read(&pairs(1024), &[]), Err(TooMany), "{pair}");
    }
    // A pair and its pieces.
    let pieces = |number| format!("/?{}access_token=t", "a=;".repeat(number));
    assert_eq!(tokens(&pieces(1022), &[]), ["t"]);
    assert_eq!(read(&pieces(1023), &[]), Err(TooMany));
    // Where no name can be one of the two there is nothing to look at.
    assert_eq!(read(&full("a=b", 5000), &[]), Ok(vec![]));
}

#[test]
fn rule_7_what_has_to_be_decoded_of_a_query_is_bounded() {
    let token = |piece: &str, len: usize| format!("/?access_token={}", piece.repeat(len));
    let bound = 16 * 1024;
    assert_eq!(tokens(&token("a", 3 * bound), &[])[0].len(), 3 * bound);
    for (piece, name) in [
        ("%61", "access_token"),
        ("+a+", "access_token"),
        ("%61", "user_id"),
    ] {
        let uri = |len| format!("/?{name}={}", piece.repeat(len));
        let credentials = |len| read(&uri(len), &[b"Bearer t"]);
        assert!(credentials(bound / 3).is_ok(), "{name}={piece}");
        assert_eq!(credentials(bound / 3 + 1), Err(TooMany), "{name}={piece}");
        let half = uri(bound / 6 + 1);
        let twice = format!("{half}&{}", &half[2..]);
        assert_eq!(read(&twice, &[b"Bearer t"]), Err(TooMany), "{name}={piece}");
    }
}

#[test]
fn rule_7_a_header_full_of_marks_is_refused() {
    for (start, mark, end) in [
        ("Bearer ", ",", "t"),
        ("Bearer t", "\"", "t"),
        ("Bearer ", "t;", "t"),
        ("Basic ", "bearer", ""),
        ("Basic ", "bearer t ", ""),
        ("X-Matrix bearer ", ",", ""),
        ("X-Matrix ", "\"", ",bearer t"),
        ("X-Matrix ", ",bearer t", ""),
    ] {
        let marks = |number: usize| format!("{start}{}{end}", mark.repeat(number));
        let found = |number| read("/", &[marks(number).as_bytes()]);
        assert!(found(60).is_ok(), "{start}{mark}: {:?}", found(60));
        assert_eq!(found(65), Err(TooMany), "{start}{mark}");
    }
    // Nothing in it can be a token.
    for (scheme, mark) in [("Basic", "beare"), ("Basic", ","), ("X-Matrix", ",")] {
        let header = format!("{scheme} {}", mark.repeat(10_000));
        assert!(
            tokens("/", &[header.as_bytes()]).is_empty(),
            "{scheme} {mark}"
        );
    }
}

/// Whatever the length of the value in which it is.
#[test]
fn rule_7_a_token_is_found_behind_much_that_is_none() {
    for len in [0, 1, 15, 16, 255, 256, 257, 1000] {
        let x = "x".repeat(len);
        for header in [
            format!("Basic {x} Bearer t"),
            format!("Basic {x}bEaReR\t t {x}"),
            format!("X-Matrix a=\"{x},\",{x}, Bearer  t"),
            format!("{}Bearer t", "\u{a0}".repeat(len)),
            format!("Bearer{}t", " ".repeat(len)),
        ] {
            assert_eq!(tokens("/", &[header.as_bytes()]), ["t"], "{header}");
        }
        for query in [
            format!("{x}=&access_token=t"),
            format!("{}access_token=t", "+".repeat(len)),
            format!("{}access_token=t", "%20".repeat(len)),
            format!("{x}={x};%0A+access_token=t;{x}"),
        ] {
            assert_eq!(tokens(&format!("/?{query}"), &[]), ["t"], "{query}");
        }
    }
}

#[test]
fn rule_7_what_a_server_may_trim_or_cut_off_counts_without_it() {
    for (uri, token) in [
        ("/?access_token=%20t", "t"),
        ("/?access_token=t%09%0d%0a", "t"),
        ("/?access_token=%c2%a0t", "t"),
        ("/?access_token=t%00x", "t"),
        ("/?access_token=t+", "t"),
    ] {
        let found = tokens(uri, &[]);
        assert!(found.iter().any(|found| found == token), "{uri}: {found:?}");
        assert!(found.len() <= 3, "{uri}: {found:?}");
    }
    for uri in [
        "/?access_token=%20",
        "/?access_token=+",
        "/?access_token=%00t",
    ] {
        let found = tokens(uri, &[]);
        assert!(
            found.iter().all(|found| !found.is_empty()),
            "{uri}: {found:?}"
        );
    }
    assert_eq!(tokens("/", &[b"Bearer \"t\""]), ["\"t\"", "t"]);
}

#[test]
fn rule_8_an_assertion_that_some_server_may_drop_counts_as_none_too() {
    let is_alone = |query: &str| {
        let found = read(&format!("/?{query}"), &[b"Bearer t"]).unwrap();
        found.iter().any(|(_, user)| user.is_none())
    };
    for plain in [
        "user_id=@a:b",
        "user_id=%40a%3Ab",
        "user_id=%40a%3ab&since=s1&x=",
        "user_id=@a%2Bb:b%3A8448",
        "user_id=@a:b&user_id=@a:b",
        "filter=%7B%22x%22:%22%C3%A4%22%7D&user_id=@a:[::1]",
    ] {
        assert!(!is_alone(plain), "{plain}");
    }
    let long = format!("user_id=@{}:b", "a".repeat(255));
    let many = format!("{}user_id=@a:b", "x&".repeat(300));
    for odd in [
        "user_id=%zz",
        "user_id=@a:b%",
        "user_id=@a:b%4",
        "user_id=@a:b%+4",
        "user_id=%ff",
        "user_id=@a%ff:b",
        "user_id=@a:b%00",
        "user_id=%20@a:b",
        "user_id=@a+b:b",
        "user_id=@a%2561:b",
        "user_id=a",
        "user_id=@a",
        "user_id=a:b",
        "user_id=@:b",
        "user_id=@a:",
        "user_id=@a:b&user_id=@c:b",
        "user_id=@a:b&user_id=",
        "user_id=@a:b&user_id",
        "user_id=@a:b&user%5Fid=@a:b",
        "user_id=@a:b&User_Id=@c:b",
        "user_id=@a:b&user_id[]=x",
        "user_id=@a:b&user_id%5B%5D=x",
        "user_id=@a:b&+user_id=x",
        "user_id=@a:b&since=%zz",
        "user_id=@a:b&",
        "x&user_id=@a:b",
        "user_id=@a:b;x",
        "x=1;user_id=@a:b",
        "user_id=@a:b&x=1;y",
        &long,
        &many,
    ] {
        assert!(is_alone(odd), "{odd}");
    }
}

#[test]
fn rule_8_an_asserted_user_goes_with_every_token() {
    let found = read("/?user_id=%40a%3Ab&access_token=u", &[b"Bearer t"]).unwrap();
    let user = Some("@a:b".to_owned());
    assert_eq!(
        found,
        [("t".to_owned(), user.clone()), ("u".to_owned(), user)]
    );
    assert_eq!(read("/?user_id=@a:b", &[]), Ok(vec![]));
}

#[test]
fn bytes_of_any_kind_have_a_defined_answer() {
    let long = [b"Bearer ".as_slice(), &[b'x'; 65536]].concat();
    assert_eq!(tokens("/", &[&long])[0].len(), 65536);
    assert_eq!(tokens("/?access_token=%ff%00%zz%", &[])[1], "%zz%");
    assert_eq!(
        read("/?user_id=%ff", &[b"Bearer \xff\xfe"]).unwrap().len(),
        2
    );
}
