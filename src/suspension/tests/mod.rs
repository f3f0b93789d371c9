mod allocations;
mod bodies;
mod homeserver;
mod known;
mod paths;
mod settings;
mod specification;
mod spelling;
mod table;
mod ways;

use http::Method;

use super::{BodyQuestion, Judgement, SuspensionPolicy, judge};
use crate::{account::UserId, action::Action};

const USER: &str = "@alice:example.org";

fn user() -> UserId {
    UserId::from(USER)
}

/// The verdict on the user's request `METHOD path`.
fn judge_line<'p>(policy: &SuspensionPolicy, line: &'p str) -> Judgement<'p> {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let method: Method = method.parse().expect("a method");
    judge(policy, &method, path, &user())
}

#[track_caller]
fn assert_permitted(policy: &SuspensionPolicy, line: &str) {
    assert_eq!(judge_line(policy, line), Judgement::Permit, "{line}");
}

#[track_caller]
fn assert_refused(policy: &SuspensionPolicy, line: &str, action: Action) {
    assert_eq!(
        judge_line(policy, line),
        Judgement::Refuse(action),
        "{line}"
    );
}
