//! What the example's README tells an adopter to try is what the server prints.

#[path = "../../src/walkthrough.rs"]
#[allow(unreachable_pub, reason = "a module of the example")]
mod commands;

fn commands_in(text: &str) -> Vec<&str> {
    let is_command = |line: &&str| {
        [
            "base=", "value()", "login", "user=", "admin=", "since=", "curl ",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    text.lines().map(str::trim).filter(is_command).collect()
}

#[test]
fn the_readme_has_the_commands_that_the_server_prints() {
    let printed = commands::commands("http://127.0.0.1:8008", "admin", "PASSWORD");
    let readme = include_str!("../../README.md");
    let walkthrough = readme.split("## A walk-through").nth(1);
    let walkthrough = walkthrough.and_then(|rest| rest.split("\n## ").next());
    let walkthrough = walkthrough.expect("the README has the section");
    let printed = commands_in(&printed);
    assert!(printed.len() > 16, "{printed:?}");
    assert_eq!(commands_in(walkthrough), printed);
}
