//! What a reader of the repository finds: links that lead somewhere, commands that name what exists,
//! pages that docs.rs shows, pictures that are up to date, and the words of the field.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

const DOCS_RS: &str = "https://docs.rs/tower-account-status/latest/tower_account_status/";

/// Phrases that stop a reader, and what to write instead.
const PHRASES: [(&str, &str); 23] = [
    ("stands in", "is in, is returned in"),
    ("stand in", "are in, are returned in"),
    ("the news", "announcements, changes, notifications"),
    ("news are", "announcements are"),
    ("whose front", "whose prefix"),
    ("is nobody's", "is unknown"),
    ("are nobody's", "are unknown"),
    ("nobody's token", "an unknown token"),
    ("nobody's tokens", "unknown tokens"),
    ("to be had", "available"),
    ("for clients answer", "because clients answer"),
    ("for nobody has", "because nobody has"),
    ("the hook", "the observer"),
    ("is come by", "is found"),
    ("there are news", "something was announced"),
    ("news come", "announcements arrive"),
    ("for who", "because who"),
    ("in place of", "instead of, replaces"),
    ("made anew", "made again"),
    ("where there is none", "if there is none"),
    ("where there are none", "if there are none"),
    ("where it is not", "if it is not"),
    ("where that is not", "if that is not"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below the root with one of these extensions, without what is built.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.expect("a name");
            if path.is_dir() {
                if !["target", ".git", "corpus", "artifacts"].contains(&name) {
                    collect(&path, extensions, found);
                }
            } else if extensions
                .iter()
                .any(|extension| path.extension().is_some_and(|own| own == *extension))
            {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(root(), extensions, &mut found);
    found.sort();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// The text without what is in fences and in backticks.
fn prose(markdown: &str) -> String {
    let mut prose = String::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            let parts = line.split('`').step_by(2);
            prose.push_str(&parts.collect::<Vec<_>>().join("`"));
            prose.push('\n');
        }
    }
    prose
}

/// A definition `[label]: target`.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
    (!label.contains(']')).then_some((label, target.trim()))
}

fn definitions(markdown: &str) -> BTreeMap<String, String> {
    let pairs = markdown.lines().filter_map(definition);
    pairs
        .map(|(label, target)| (label.to_lowercase(), target.to_owned()))
        .collect()
}

fn is_relative(target: &str) -> bool {
    let outside = ["http://", "https://", "data:", "mailto:", "crate::"];
    !outside.iter().any(|scheme| target.starts_with(scheme))
}

/// The targets of `[text](target)`.
fn inline_targets(prose: &str) -> Vec<String> {
    let ends = prose.match_indices("](");
    ends.filter_map(|(at, _)| prose[at + 2..].split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchor that GitHub and rustdoc make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn every_relative_link_leads_to_what_is_there() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for file in files(&["md"]) {
        if file.ends_with("src/guide/links.md") || file.ends_with("src/suspension/table.md") {
            continue;
        }
        let text = read(&file);
        let mut targets = inline_targets(&prose(&text));
        targets.extend(definitions(&text).into_values());
        for target in targets.into_iter().filter(|target| is_relative(target)) {
            checked += 1;
            let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let to = match path {
                "" => file.clone(),
                path => normal(&file.parent().expect("a folder").join(path)),
            };
            let has_anchor = || {
                let headings = read(&to);
                let mut headings = headings.lines().filter(|line| line.starts_with('#'));
                headings.any(|line| anchor(line.trim_start_matches('#')) == fragment)
            };
            if !to.exists() || (!fragment.is_empty() && !has_anchor()) {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
    assert!(checked > 40, "{checked}");
}

/// The pages that `src/guide.rs` and `src/lib.rs` show, and that of the rules.
fn shown_pages() -> Vec<PathBuf> {
    let guide = read(&root().join("src/guide.rs"));
    let mut pages: Vec<PathBuf> = guide
        .split('"')
        .filter(|part| part.ends_with(".md"))
        .map(|page| root().join(page.trim_start_matches("../")))
        .filter(|page| !page.ends_with("guide/links.md") && !page.ends_with("inline.md"))
        .collect();
    pages.extend(["README.md", "docs/rules.md"].map(|page| root().join(page)));
    assert!(pages.len() > 12, "{pages:?}");
    pages
}

#[test]
fn what_a_page_links_to_rustdoc_links_to_as_well() {
    let mut known = definitions(&read(&root().join("src/guide/links.md")));
    known.extend(definitions(&read(&root().join("docs/pictures/inline.md"))));
    let mut wrong = Vec::new();
    for page in shown_pages() {
        let text = read(&page);
        let name = page.display();
        let inline = inline_targets(&prose(&text)).into_iter();
        let inline = inline.filter(|target| is_relative(target) && !target.starts_with('#'));
        wrong.extend(inline.map(|target| format!("{name}: {target} needs a definition")));
        for (label, target) in definitions(&text) {
            let item = target.strip_prefix(DOCS_RS);
            if item.is_none() && !is_relative(&target) {
                continue;
            }
            let Some(path) = known.get(&label) else {
                wrong.push(format!("{name}: [{label}] is not in src/guide/links.md"));
                continue;
            };
            if let Some(item) = item {
                // `store/struct.SqliteStore.html#method.open`
                let file = item.rsplit('/').next().unwrap_or_default();
                let mut expected = file.split('.').nth(1).unwrap_or_default().to_owned();
                if let Some((_, method)) = item.split_once("#method.") {
                    expected = format!("{expected}::{method}");
                }
                if !path.ends_with(&format!("::{expected}")) {
                    wrong.push(format!("{name}: [{label}] is {target} and {path}"));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_guide_has_every_page_of_the_folder() {
    let shown: BTreeSet<PathBuf> = shown_pages()
        .into_iter()
        .map(|page| normal(&page))
        .collect();
    let apart = ["docs/trust.md", "docs/pictures/inline.md"].map(|page| root().join(page));
    let mut pages = files(&["md"]);
    pages.retain(|page| page.starts_with(root().join("docs")));
    pages.retain(|page| !apart.contains(page) && !page.starts_with(root().join("docs/pictures")));
    let missing: Vec<_> = pages.iter().filter(|page| !shown.contains(*page)).collect();
    assert!(missing.is_empty(), "add to src/guide.rs: {missing:?}");
}

/// rustdoc compiles what it shows; the changes in other servers need those servers.
#[test]
fn every_fence_of_rust_is_compiled() {
    let shown = shown_pages();
    let mut wrong = Vec::new();
    for file in files(&["md"]) {
        let is_shown = shown.contains(&file);
        let may_be_ignored = file.starts_with(root().join("docs/adopting"));
        for line in read(&file).lines() {
            let is_compiled = is_shown && (may_be_ignored || !line.contains("ignore"));
            if line.trim_start().starts_with("```rust") && !is_compiled {
                wrong.push(format!("{}: {line}", file.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn the_readme_is_short() {
    let lines = read(&root().join("README.md")).lines().count();
    assert!(lines < 150, "{lines} lines");
}

#[test]
fn the_pictures_are_what_their_source_draws() {
    let python = Command::new("python3")
        .arg(root().join("docs/pictures/draw.py"))
        .arg("--check")
        .output()
        .expect("python3");
    assert!(
        python.status.success(),
        "{}",
        String::from_utf8_lossy(&python.stderr)
    );
}

/// Lines, or texts in backticks, that begin with the name of a program.
fn commands(markdown: &str) -> Vec<String> {
    let lines = markdown.lines().map(str::trim).map(str::to_owned);
    let quoted = markdown.split('`').skip(1).step_by(2).map(str::to_owned);
    let programs = ["cargo ", "scripts/", ".ci/"];
    lines
        .chain(quoted)
        .map(|command| command.trim_start_matches("(cd fuzz && ").to_owned())
        .map(|command| {
            // Variables in front of it.
            let words: Vec<&str> = command.split_whitespace().collect();
            let first = words
                .iter()
                .position(|word| !word.contains('='))
                .unwrap_or(0);
            words[first..].join(" ")
        })
        .filter(|command| programs.iter().any(|program| command.starts_with(program)))
        .collect()
}

#[test]
fn every_command_names_what_is_there() {
    let mut packages = BTreeSet::new();
    for manifest in files(&["toml"]) {
        let text = read(&manifest);
        let name = text.lines().find_map(|line| line.strip_prefix("name = \""));
        packages.extend(name.map(|name| name.trim_end_matches('"').to_owned()));
    }
    let exists = |path: &str| root().join(path).exists();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in files(&["md"]) {
        for command in commands(&read(&file)) {
            let words: Vec<&str> = command
                .split_whitespace()
                .map(|word| word.trim_end_matches([')', ',', ';', '.']))
                .collect();
            if !words[0].is_empty() && words[0] != "cargo" && !exists(words[0]) {
                wrong.push(format!("{}: {command}", file.display()));
            }
            for pair in words.windows(2) {
                let is_there = match *pair {
                    ["--bench", name] => {
                        let package = words.iter().skip_while(|word| **word != "-p").nth(1);
                        package.is_some()
                            || exists(&format!("benches/{name}.rs"))
                            || exists(&format!("benches/{name}/main.rs"))
                    }
                    ["--test", name] => ["", "examples/homeserver/", "gateway/"].iter().any(|at| {
                        exists(&format!("{at}tests/{name}.rs"))
                            || exists(&format!("{at}tests/{name}/main.rs"))
                    }),
                    ["run", name] if command.contains(" fuzz run") => {
                        name.starts_with('<') || exists(&format!("fuzz/fuzz_targets/{name}.rs"))
                    }
                    ["-p", name] => packages.contains(name) || words.contains(&"update"),
                    ["--path" | "--manifest-path", path] => exists(path),
                    _ => continue,
                };
                checked += 1;
                if !is_there && !pair[1].contains("NAME") {
                    wrong.push(format!("{}: {command}: {}", file.display(), pair[1]));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(checked > 30, "{checked}");
}

/// The words of a file in lower case, one blank between them, without the marks of comments.
fn words(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim_start();
        let marks = ["//!", "///", "//", "#"];
        let mark = marks.iter().find(|mark| line.starts_with(**mark));
        mark.map_or(line, |mark| &line[mark.len()..])
    });
    let text = lines.collect::<Vec<_>>().join(" ").to_lowercase();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_words_are_those_of_the_field() {
    let ends = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let mut wrong = Vec::new();
    for file in files(&["md", "rs"]) {
        let place = file.strip_prefix(root()).expect("below the root");
        // Users of the crate do not read tests and benches.
        let is_code = place.extension().is_some_and(|extension| extension == "rs");
        if is_code && !place.iter().any(|part| part == "src") {
            continue;
        }
        let text = words(&read(&file));
        for (phrase, instead) in PHRASES {
            for (at, _) in text.match_indices(phrase) {
                let after = &text[at + phrase.len()..];
                if ends(text[..at].chars().next_back()) && ends(after.chars().next()) {
                    let around = text[at..].chars().take(60).collect::<String>();
                    wrong.push(format!("{}: {around:?}; write: {instead}", place.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
