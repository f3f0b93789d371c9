//! How `src/` is built (`CONTRIBUTING.md`, "How the crate is built"): a module imports only from those
//! below it, no circle of modules is left, nothing is imported through the crate's root, and no file
//! is too long to be read in one go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rooms, from the bottom to the top. A module may import from its own room and from those
/// before it.
const ROOMS: [&str; 29] = [
    "locks",
    "panics",
    "account",
    "credential",
    "action",
    "changes",
    "store",
    "request",
    "suspension",
    "denial",
    "outcome",
    "body",
    "settings",
    "common",
    "shared",
    "judge",
    "check",
    "checked_accounts",
    "guard",
    "future",
    "service",
    "layer",
    "axum",
    "moderation",
    "conformance",
    // The models of the checker use whatever they like.
    "model",
    "guide",
    "lib",
    "",
];

/// A module as its path (`check::watch`), and what its file says, without comments and tests.
type Sources = BTreeMap<String, String>;

fn sources() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut sources = Sources::new();
    for file in files {
        let relative = file.strip_prefix(&root).expect("below src");
        let path = relative.with_extension("");
        let mut names: Vec<&str> = path.iter().filter_map(|name| name.to_str()).collect();
        if names
            .iter()
            .any(|name| ["tests", "model", "plain_token"].contains(name))
        {
            continue;
        }
        if names.last() == Some(&"mod") {
            names.pop();
        }
        let text = fs::read_to_string(&file).expect("a source file");
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let lines = code
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        sources.insert(names.join("::"), lines.collect::<Vec<_>>().join("\n"));
    }
    assert!(sources.len() > 60, "{}", sources.len());
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A path that a module names, from the crate's root, and whether it only hands it on.
struct Named {
    path: Vec<String>,
    is_reexport: bool,
}

/// Every path of this crate that a module names: in `use`, or in its code.
fn named(module: &str, code: &str, sources: &Sources) -> Vec<Named> {
    let mut all = Vec::new();
    let statements = code.split_inclusive(';').map(str::trim);
    for statement in statements {
        let import = statement
            .lines()
            .find_map(|line| use_of(line.trim()).map(|(is_public, _)| is_public));
        for (at, start) in starts(statement, module, sources) {
            let mut paths = Vec::new();
            expand(&statement[at..], &start, &mut paths);
            all.extend(paths.into_iter().map(|path| Named {
                path,
                is_reexport: import == Some(true),
            }));
        }
    }
    all
}

/// Whether a line begins an import, a public one, and what it imports.
fn use_of(line: &str) -> Option<(bool, &str)> {
    match line.split_once("use ")? {
        ("", rest) => Some((false, rest)),
        (visibility, rest) if visibility.starts_with("pub") => Some((true, rest)),
        _ => None,
    }
}

/// Where paths of this crate begin in a statement, and with which module.
fn starts(statement: &str, module: &str, sources: &Sources) -> Vec<(usize, Vec<String>)> {
    let own: Vec<String> = segments(module);
    let parent = own[..own.len().saturating_sub(1)].to_vec();
    let mut found = Vec::new();
    for (keyword, base) in [
        ("crate::", Vec::new()),
        ("super::", parent),
        ("self::", own.clone()),
    ] {
        for (at, _) in statement.match_indices(keyword) {
            let before = statement[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '$' && c != ':') {
                found.push((at + keyword.len(), base.clone()));
            }
        }
    }
    // A child by its name, with nothing before it.
    let prefix = match module {
        "lib" => String::new(),
        _ => format!("{module}::"),
    };
    let children = sources
        .keys()
        .filter_map(|other| other.strip_prefix(&prefix));
    for child in children.filter(|child| !child.contains("::") && !module.is_empty()) {
        let path = format!("{child}::");
        for (at, _) in statement.match_indices(&path) {
            let before = statement[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                found.push((at, own.clone()));
            }
        }
    }
    found
}

fn segments(path: &str) -> Vec<String> {
    let names = path.split("::").filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Reads a path, or a tree of them in braces, and gives back what is left of the text.
fn expand<'t>(text: &'t str, base: &[String], paths: &mut Vec<Vec<String>>) -> &'t str {
    let mut path = base.to_vec();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(mut inner) = rest.strip_prefix('{') {
            loop {
                inner = inner.trim_start();
                if let Some(after) = inner.strip_prefix('}') {
                    return after;
                }
                let before = inner.len();
                inner = expand(inner, &path, paths).trim_start();
                if inner.starts_with("as ") {
                    inner = &inner[inner.find([',', '}']).unwrap_or(inner.len())..];
                }
                inner = inner.strip_prefix(',').unwrap_or(inner);
                assert!(inner.len() < before, "a tree that cannot be read: {text}");
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*');
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        if !name.is_empty() && name != "self" {
            path.push(name.to_owned());
        }
        match after.strip_prefix("::") {
            Some(after) => rest = after,
            None => {
                paths.push(path);
                return after;
            }
        }
    }
}

/// The module that a path leads to, through whatever hands it on; and what is named in it.
fn target(
    path: &[String],
    reexports: &BTreeMap<String, Vec<Vec<String>>>,
    sources: &Sources,
) -> Option<String> {
    let mut len = path.len();
    while len > 0 && !sources.contains_key(&path[..len].join("::")) {
        len -= 1;
    }
    let module = path[..len].join("::");
    let Some(name) = path.get(len) else {
        return Some(module);
    };
    let handed_on = reexports
        .get(&module)
        .and_then(|paths| paths.iter().find(|path| path.last() == Some(name)));
    match handed_on {
        Some(further) => target(further, reexports, sources),
        None => Some(module),
    }
}

/// From each module to those that it imports from.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let mut reexports: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for (module, code) in &sources {
        let paths = named(module, code, &sources).into_iter();
        let handed_on = paths
            .filter(|named| named.is_reexport)
            .map(|named| named.path);
        reexports.insert(module.clone(), handed_on.collect());
    }
    let mut arrows = BTreeMap::new();
    for (module, code) in &sources {
        let used = named(module, code, &sources).into_iter();
        let targets = used
            .filter(|named| !named.is_reexport)
            .filter_map(|named| target(&named.path, &reexports, &sources))
            .filter(|to| to != module && !to.is_empty());
        arrows.insert(module.clone(), targets.collect());
    }
    arrows
}

fn room(module: &str) -> usize {
    let name = module.split("::").next().unwrap_or_default();
    ROOMS
        .iter()
        .position(|room| *room == name)
        .unwrap_or_else(|| panic!("{name} is in no list of rooms"))
}

#[test]
fn no_arrow_runs_up() {
    let mut wrong = Vec::new();
    for (from, targets) in arrows() {
        for to in targets {
            if room(&to) > room(&from) {
                wrong.push(format!("{from} imports from {to}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn no_circle_of_modules_is_left() {
    let mut arrows = arrows();
    // Modules that import from no module that is left are removed, until only circles are left.
    loop {
        let left: BTreeSet<String> = arrows.keys().cloned().collect();
        let before = arrows.len();
        arrows.retain(|_, targets| {
            targets.retain(|to| left.contains(to));
            !targets.is_empty()
        });
        if arrows.len() == before {
            break;
        }
    }
    // Nor does it matter who only leads to one.
    loop {
        let reached: BTreeSet<String> = arrows.values().flatten().cloned().collect();
        let before = arrows.len();
        arrows.retain(|from, _| reached.contains(from));
        if arrows.len() == before {
            break;
        }
    }
    assert!(arrows.is_empty(), "{arrows:#?}");
}

#[test]
fn every_file_can_be_read_in_one_go() {
    let mut files = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    files.retain(|file| {
        let text = fs::read_to_string(file).expect("a source file");
        text.lines().count() > 450
    });
    assert!(files.is_empty(), "above 450 lines: {files:?}");
}

#[test]
fn nothing_is_imported_through_the_root() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (module, code) in &sources {
        for named in named(module, code, &sources) {
            let first = named.path.first().map_or("", String::as_str);
            // `super::` in a module within the file is not the root.
            if first.starts_with(char::is_uppercase) && module != "lib" && module != "body" {
                wrong.push(format!("{module}: {first}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_table_of_the_house_is_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).expect("a text");
    // The names in the first column.
    let listed: BTreeSet<String> = text
        .lines()
        .skip_while(|line| *line != "| module | concern |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .flat_map(|row| row.split('|').nth(1).unwrap_or_default().split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect();
    let there: BTreeSet<String> = sources()
        .keys()
        .filter_map(|module| module.split("::").next())
        .filter(|room| !["", "lib"].contains(room))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn the_ways_of_four_requests_are_as_they_are_described() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).expect("a text");
    let section = text
        .split_once("## The way of four requests")
        .expect("it is there")
        .1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let ways: Vec<&str> = section.split("\n### ").skip(1).collect();
    assert_eq!(ways.len(), 4);
    for way in ways {
        let (heading, steps) = way.split_once('\n').expect("a heading");
        let (mut calls, mut files) = (0, BTreeSet::new());
        for step in steps.lines().filter(|line| line.starts_with("- ")) {
            let mut names = step.split('`').skip(1).step_by(2);
            let file = names.next().expect("a file");
            let code = fs::read_to_string(root.join("src").join(file)).expect(file);
            for name in names {
                let is_there = [format!("fn {name}("), format!("fn {name}<")]
                    .iter()
                    .any(|start| code.contains(start));
                assert!(is_there, "{file} has no function {name}");
                calls += 1;
            }
            files.insert(file);
        }
        let counted = format!(": {calls} calls in {} files", files.len());
        assert!(heading.ends_with(&counted), "{heading}, and not{counted}");
    }
}
