//! The endpoints of the Client-Server API, as a client would call them.

use std::collections::BTreeSet;

use hyper::Method;

/// An endpoint of `tests/data/cs-endpoints.tsv`, under one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub(crate) method: String,
    /// With the parameters in braces.
    pub(crate) template: String,
}

impl Endpoint {
    pub(crate) fn method(&self) -> Method {
        self.method.parse().expect("a method")
    }

    /// The path with something for each parameter.
    pub(crate) fn path(&self) -> String {
        fill(&self.template)
    }
}

/// How many rows the table has.
const ROWS: usize = 168;

/// Every endpoint in its newest version, in those that r0 had, and with `r0` instead of `v3`, whether
/// or not that ever existed.
pub(crate) fn endpoints() -> BTreeSet<Endpoint> {
    let mut rows = include_str!("../../../../tests/data/cs-endpoints.tsv").lines();
    assert_eq!(rows.next(), Some("method\tpath\tauth\tr0"));
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), ROWS);

    let mut endpoints = BTreeSet::new();
    for row in rows {
        let columns: Vec<_> = row.split('\t').collect();
        let [method, path, _, r0] = columns[..] else {
            panic!("four columns, not {row:?}");
        };
        let listed = r0.split(',').filter(|&path| path != "-");
        let respelled = path.replacen("/v3/", "/r0/", 1);
        for template in [path, &respelled].into_iter().chain(listed) {
            endpoints.insert(Endpoint {
                method: method.to_owned(),
                template: template.to_owned(),
            });
        }
    }
    endpoints
}

pub(crate) fn fill(template: &str) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, parameter)) = rest.split_once('{') {
        let (name, after) = parameter.split_once('}').expect("a closing brace");
        path.push_str(before);
        path.push_str(match name {
            "userId" => "%40alice%3Alocalhost",
            "roomId" | "roomIdOrAlias" => "!room%3Alocalhost",
            "roomAlias" => "%23tea%3Alocalhost",
            "eventId" => "$event",
            "eventType" | "type" => "m.room.message",
            "keyName" => "displayname",
            "serverName" => "localhost",
            "scope" => "global",
            "version" => "v3",
            _ => "x",
        });
        rest = after;
    }
    path + rest
}
