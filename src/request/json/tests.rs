use proptest::{collection::vec, prelude::*, sample::select};
use serde::de::IgnoredAny;

use super::{Json, JsonError, MAX_DEPTH, Value};

/// Reads all of it.
fn read(body: &[u8]) -> Result<(), JsonError> {
    let mut json = Json::new(body)?;
    let value = json.value()?;
    json.skip(value)?;
    json.end()
}

#[test]
fn what_is_json_is_read_to_its_end() {
    for json in [
        "null",
        " true ",
        "-0.5e+10",
        "0",
        r#""""#,
        r#""\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00""#,
        "[]",
        "[1,[],{}]",
        "{}",
        r#"{"a":{"b":[]},"a":null}"#,
        "\r\n\t{ \"a\" : 1 , \"b\" : [ ] }",
        r#"{"cut":"\ud83d"}"#,
    ] {
        assert_eq!(read(json.as_bytes()), Ok(()), "{json}");
    }
    for other in [
        "",
        " ",
        "{",
        "}",
        "[",
        "[1",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{]",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1 "b":2}"#,
        "{a:1}",
        "{'a':1}",
        r#"{"a" 1}"#,
        "{1:2}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "NaN",
        "nul",
        "truefalse",
        "1 2",
        "{}{}",
        r#"""#,
        "\"\n\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\u+123""#,
        r#""\"#,
        r#"{"\ud83d":1}"#,
        "\u{feff}{}",
        "{}\0",
        "/**/{}",
        "\u{a0}1",
    ] {
        assert_eq!(read(other.as_bytes()), Err(JsonError::NotJson), "{other}");
    }
    assert_eq!(read(b"\"\xff\""), Err(JsonError::NotJson));
}

#[test]
fn rule_10_keys_by_which_a_parser_changes_a_value_are_refused_wherever_they_are() {
    for key in [
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        r"\u0024serde_json::pr\u0069vate::RawValue",
        "$sonic_rs::private::JsonNumber",
        "$sonic_rs::private::Value",
        "$sonic_rs::LazyValue",
        "$sonic::OwnedLv",
        "$ron::private::RawValue",
        "$__toml_private_datetime",
        "$__serde_spanned_private_value",
        "$__bson_private_human_readable",
        "$symbol",
        "$ref",
        "$values",
        "__proto__",
        r"__pr\u006fto__",
        r"user\u0000",
    ] {
        for body in [
            format!(r#"{{"{key}":1}}"#),
            format!(r#"{{"a":[1,{{"b":{{"{key}":"x"}}}}],"c":2}}"#),
            format!(r#"[{{"{key}":"x"}}]"#),
        ] {
            assert_eq!(read(body.as_bytes()), Err(JsonError::Refused), "{body}");
        }
    }
    for body in [
        r#"{"serde_json::private::RawValue":"$symbol"}"#,
        r#"{"a$b":1,"":2,"__proto":3}"#,
    ] {
        assert_eq!(read(body.as_bytes()), Ok(()), "{body}");
    }
    // What is no JSON is no JSON, whatever its keys.
    assert_eq!(read(br#"{"$a":1"#), Err(JsonError::NotJson));
}

#[test]
fn values_may_be_nested_as_deep_as_other_parsers_read_them() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let max = MAX_DEPTH as usize;
    assert_eq!(read(nested(max).as_bytes()), Ok(()));
    assert_eq!(read(nested(max + 1).as_bytes()), Err(JsonError::Refused));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(max), "}".repeat(max));
    assert_eq!(read(objects.as_bytes()), Ok(()));
    assert_eq!(read("[".repeat(60_000).as_bytes()), Err(JsonError::Refused));
}

#[test]
fn a_text_is_what_its_escapes_say() {
    let text = |body: &'static str| match Json::new(body.as_bytes()).unwrap().value() {
        Ok(Value::Text(text)) => text,
        other => panic!("{body}: {other:?}"),
    };
    let plain = text(r#""user""#);
    assert_eq!(plain.plain(), Some("user"));
    let escaped = text(r#""\u0075s\u0065r""#);
    assert_eq!(escaped.plain(), None);
    assert_eq!(escaped.unescaped().as_deref(), Some("user"));
    assert!(escaped.says("user") && escaped.is_key("user") && plain.says_what(escaped));
    assert!(!escaped.says("use") && !escaped.says("users") && !escaped.says("User"));
    assert!(text(r#""U\u017fer""#).is_key("user"));
    assert_eq!(
        text(r#""\ud83d\ude00\n""#).unescaped().as_deref(),
        Some("\u{1f600}\n")
    );
    for cut in [
        r#""a\ud83d""#,
        r#""\ude00""#,
        r#""\ud83d\ud83d\ude00""#,
        r#""\ud83dx""#,
    ] {
        assert_eq!(text(cut).unescaped(), None, "{cut}");
        assert!(
            !text(cut).says("a\u{fffd}") && !text(cut).says_what(text(cut)),
            "{cut}"
        );
    }
    assert!(text(r#""a\u0000""#).has_nul() && !plain.has_nul());
}

fn almost_json() -> impl Strategy<Value = String> {
    let piece = select(
        &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\u00e4\"",
            "\"\\ud83d\\ude00\"",
            "\"\"",
            "1",
            "-",
            "0",
            ".",
            "e",
            "+",
            "true",
            "false",
            "null",
            " ",
            "\n",
            "\"",
            "\\",
            "\"b\":",
            "a",
            "\u{7f}",
            "\u{e4}",
            "{\"a\":",
            "[1,",
            "\\u0041",
            "1.5e3",
        ][..],
    );
    vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Another parser, which has no features that matter for what it ignores, agrees on what JSON
    /// is.
    #[test]
    fn what_is_json_here_is_json_elsewhere(body in almost_json()) {
        let elsewhere = serde_json::from_str::<IgnoredAny>(&body).is_ok();
        prop_assert_eq!(read(body.as_bytes()).is_ok(), elsewhere, "{}", body);
    }
}

/// Whatever an escape follows, and whatever follows it.
#[test]
fn a_long_text_is_what_it_says() {
    for len in 0..40 {
        let x = "x".repeat(len);
        for (escape, letter) in [
            (r"\n", "\n"),
            (r"\\\u00e4\\", "\\\u{e4}\\"),
            (r"\ud83d\ude00\u0041", "\u{1f600}A"),
            ("\u{fc}", "\u{fc}"),
        ] {
            let body = format!("\"{x}{escape}{x}{escape}{escape}\"");
            let Ok(Value::Text(text)) = Json::new(body.as_bytes()).unwrap().value() else {
                panic!("{body} is a text");
            };
            let said = format!("{x}{letter}{x}{letter}{letter}");
            assert_eq!(text.unescaped().as_deref(), Some(&*said), "{body}");
            assert!(text.says(&said), "{body}");
            assert!(!text.has_nul(), "{body}");
        }
    }
}
