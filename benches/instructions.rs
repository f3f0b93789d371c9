//! Instructions per request, in every stack and column, as callgrind counts them.
//!
//! `cargo bench --bench instructions` prints them. `-- --check` compares what this layer adds
//! with the committed baseline and fails where it is more; `-- --update` writes the baseline.
//! Other arguments choose rows: those with all of the words in the name of stack and row.

mod support;

use std::{collections::HashMap, env, fs, process::ExitCode};

use support::{
    callgrind::{self, Count},
    cells::{self, COLUMNS, Place},
};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.baseline");
/// What the layer may add beyond the baseline: seeds of hashers and the C library's version
/// differ between runs and machines.
const TOLERANCE: f64 = 1.05;
const TOLERANCE_INSTRUCTIONS: f64 = 15.0;

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
    if callgrind::run_if_child(&|place| is_chosen(place, &filter)) {
        return ExitCode::SUCCESS;
    }
    let counts = match callgrind::count(&filter) {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("instructions are counted by valgrind: {error}");
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

fn update(over_identity: &HashMap<String, f64>) -> ExitCode {
    let mut lines = String::from("# stack, row, column, instructions over the identity layer\n");
    for place in cells::places().filter(|place| is_ours(*place)) {
        if let Some(instructions) = over_identity.get(&name(place)) {
            lines += &format!("{}\t{instructions:.0}\n", name(place));
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

fn check(over_identity: &HashMap<String, f64>) -> ExitCode {
    let baseline = fs::read_to_string(BASELINE).unwrap_or_default();
    let mut compared = 0;
    let mut failed = 0;
    for line in baseline.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, before)) = line.rsplit_once('\t') else {
            continue;
        };
        let Some(now) = over_identity.get(name) else {
            continue;
        };
        let before: f64 = before.parse().unwrap_or(f64::NAN);
        let limit = before * TOLERANCE + TOLERANCE_INSTRUCTIONS;
        compared += 1;
        if *now <= limit {
            println!("ok      {name}: {now:.0} (baseline {before:.0})");
        } else {
            failed += 1;
            println!("MORE    {name}: {now:.0} (baseline {before:.0}, limit {limit:.0})");
        }
    }
    println!("{} passed, {failed} failed", compared - failed);
    match compared > 0 && failed == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
