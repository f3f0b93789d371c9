//! The endpoints that today's servers and clients know beside those of the specification.

use super::{Judgement, SuspensionPolicy, judge_line, table::instance};
use crate::action::Action;

const KNOWN: &str = include_str!("../../../tests/data/known-endpoints.tsv");

/// An endpoint, as it is served under one of its versions.
struct Known {
    line: String,
    action: Action,
    /// Why the table has no row for it, if so.
    why: &'static str,
}

fn known() -> Vec<Known> {
    let rows = KNOWN.lines().skip(1).flat_map(|row| {
        let cells: Vec<_> = row.split('\t').collect();
        let [method, path, versions, _known_to, action, why] = cells[..] else {
            panic!("not an endpoint: {row}");
        };
        let action = Action::ALL.iter().find(|a| a.as_str() == action);
        versions.split(',').map(move |version| Known {
            line: format!("{method} {}", instance(&path.replace("{version}", version))),
            action: *action.expect("an action"),
            why,
        })
    });
    rows.collect()
}

#[test]
fn rule_22_every_endpoint_that_is_known_is_its_action_and_no_other() {
    let own_is_permitted = [Action::RedactEvent, Action::SendMessage, Action::SendState];
    for Known { line, action, .. } in known() {
        let judged = |policy: &SuspensionPolicy| judge_line(policy, &line);
        let default = judged(&SuspensionPolicy::new());
        if action.is_permitted_by_default() {
            assert_eq!(default, Judgement::Permit, "{line}");
            let refused = judged(&SuspensionPolicy::new().refuse(action));
            assert_eq!(refused, Judgement::Refuse(action), "{line}");
        } else {
            let refused = default == Judgement::Refuse(action);
            let asks = default != Judgement::Permit && own_is_permitted.contains(&action);
            let own = line.contains("/redact/user/");
            assert!(refused || asks || own, "{line}: {default:?}");
        }
        // The setting for unknown endpoints changes nothing, unless the endpoint is unknown.
        for unknown in [Action::Unknown, Action::UnknownRead] {
            let turned = match unknown.is_permitted_by_default() {
                true => SuspensionPolicy::new().refuse(unknown),
                false => SuspensionPolicy::new().permit(unknown),
            };
            assert_eq!(judged(&turned) == default, action != unknown, "{line}");
        }
    }
}

#[test]
fn whatever_synapse_and_ruma_serve_was_looked_at() {
    let of = |who: &str| {
        let known_to = KNOWN.lines().filter_map(|row| row.split('\t').nth(3));
        known_to
            .filter(|all| all.split(',').any(|one| one == who))
            .count()
    };
    // As many as were found; `tests/data/README.md` says how.
    assert_eq!((of("synapse"), of("ruma")), (349, 193));
    for Known {
        line, action, why, ..
    } in known()
    {
        let is_unknown = matches!(action, Action::Unknown | Action::UnknownRead);
        assert_eq!(is_unknown, why != "-", "{line}: no reason");
    }
}
