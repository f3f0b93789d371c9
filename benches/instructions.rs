//! Instructions per request, in every stack and column, as callgrind counts them.
//!
//! `cargo bench --bench instructions` prints them. `-- --check` compares what this layer adds
//! with the committed baseline and fails if it is more; `-- --update` writes the baseline.
//! Other arguments choose rows: those with all of the words in the name of stack and row.

mod support;

use std::{collections::HashMap, env, fs, process::ExitCode};

use support::{
    callgrind::{self, Count},
    cells::{self, COLUMNS, Place},
    rows::ROWS,
};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.baseline");
/// Of the baseline: seeds of hashers and the C library's version differ between runs and machines.
const TOLERANCE: f64 = 0.05;
/// Of a row whose requests are all there at once, so that the allocator is in another state in
/// each run.
const TOLERANCE_AT_ONCE: f64 = 0.1;
const TOLERANCE_INSTRUCTIONS: f64 = 15.0;
/// Leaves out the columns that are not in the baseline.
const OURS_ONLY: &str = "--ours-only";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filter: Vec<String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .cloned()
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let is_wanted = |place: Place| {
        is_chosen(place, &filter)
            && (!has(OURS_ONLY) || is_ours(place) || place.column == COLUMNS[1])
    };
    if callgrind::run_if_child(&is_wanted) {
        return ExitCode::SUCCESS;
    }
    let mut child_arguments = filter.clone();
    let is_compared = has("--check") || has("--update");
    if is_compared {
        child_arguments.push(OURS_ONLY.into());
    }
    let counts = match callgrind::count(&child_arguments, is_compared) {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("the instructions could not be counted: {error}");
            return ExitCode::FAILURE;
        }
    };
    let over_identity = over_identity(&counts);
    if has("--check") {
        return check(&over_identity);
    }
    if has("--update") {
        return update(&over_identity);
    }
    for Count {
        place,
        instructions,
    } in &counts
    {
        let Place { stack, row, column } = place;
        let over = over_identity
            .get(&name(*place))
            .copied()
            .unwrap_or_default();
        println!("{stack}\t{row}\t{column}\t{instructions:.0}\t{over:.0}");
    }
    ExitCode::SUCCESS
}

fn is_chosen(place: Place, filter: &[String]) -> bool {
    let name = format!("{} {}", place.stack, place.row);
    filter.iter().all(|word| name.contains(word.as_str()))
}

fn name(place: Place) -> String {
    format!("{}\t{}\t{}", place.stack, place.row, place.column)
}

/// What each cell has beyond the identity layer in its row.
fn over_identity(counts: &[Count]) -> HashMap<String, f64> {
    let identity = |place: Place| {
        let same = |count: &&Count| {
            count.place
                == Place {
                    column: COLUMNS[1],
                    ..place
                }
        };
        counts
            .iter()
            .find(same)
            .map_or(f64::NAN, |count| count.instructions)
    };
    counts
        .iter()
        .map(|count| {
            (
                name(count.place),
                count.instructions - identity(count.place),
            )
        })
        .collect()
}

fn is_ours(place: Place) -> bool {
    place.column.starts_with("this layer")
}

/// Lines that are not measured in this run stay as they are.
fn update(over_identity: &HashMap<String, f64>) -> ExitCode {
    let before = fs::read_to_string(BASELINE).unwrap_or_default();
    let mut lines = String::from("# stack, row, column, instructions over the identity layer\n");
    for place in cells::places().filter(|place| is_ours(*place)) {
        let name = name(place);
        let instructions = over_identity.get(&name).copied();
        if let Some(instructions) = instructions.or_else(|| baseline_of(&before, &name)) {
            lines += &format!("{name}\t{instructions:.0}\n");
        }
    }
    match fs::write(BASELINE, lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{BASELINE}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn baseline_of(baseline: &str, name: &str) -> Option<f64> {
    let mut values = baseline.lines().filter_map(|line| line.rsplit_once('\t'));
    let (_, value) = values.find(|(there, _)| *there == name)?;
    value.parse().ok()
}

fn check(over_identity: &HashMap<String, f64>) -> ExitCode {
    let baseline = match fs::read_to_string(BASELINE) {
        Ok(baseline) => baseline,
        Err(error) => {
            eprintln!("{BASELINE}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut passed, mut failed) = (0, 0);
    for place in cells::places().filter(|place| is_ours(*place)) {
        let name = name(place);
        let Some(now) = over_identity.get(&name) else {
            continue;
        };
        let Some(before) = baseline_of(&baseline, &name) else {
            failed += 1;
            println!("NEW     {name}: {now:.0} (not in the baseline)");
            continue;
        };
        let tolerance = match place.row == ROWS[ROWS.len() - 1].name {
            true => TOLERANCE_AT_ONCE,
            false => TOLERANCE,
        };
        // What the layer spares an axum router is negative.
        let limit = before + before.abs() * tolerance + TOLERANCE_INSTRUCTIONS;
        if *now <= limit {
            passed += 1;
            println!("ok      {name}: {now:.0} (baseline {before:.0})");
        } else {
            failed += 1;
            println!("MORE    {name}: {now:.0} (baseline {before:.0}, limit {limit:.0})");
        }
    }
    println!("{passed} passed, {failed} failed");
    match passed > 0 && failed == 0 {
        true => ExitCode::SUCCESS,
        false => {
            eprintln!(
                "more instructions than in {BASELINE}. If they are worth it: `cargo bench --bench instructions -- --update`"
            );
            ExitCode::FAILURE
        }
    }
}
