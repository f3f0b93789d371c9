//! What the layer costs per request: the tables of `benches/README.md`.
//!
//! `cargo bench --bench layer` measures time and allocations in this process, counts instructions in
//! that of the bench `instructions`, and prints all of it as Markdown. The standard error output shows
//! the progress, a line a cell. `-- --svg FILE` draws the times. `-- --time-only` leaves the
//! instructions out; `-- --quick` does so, too, and measures five rounds. Other arguments choose rows
//! by words in the names of stack and row.

mod support;

use std::{env, fs, hint::black_box, ops::Range, process::ExitCode, time::Instant};

use support::{
    cells::{self, Place, Run},
    report::{Measured, Report},
};

/// Requests of one round of one cell: as many as there are accounts in turn.
const REQUESTS: usize = 2_000;
/// Of these, so few at a time that they stay in the processor's caches.
const SLICE: usize = 200;
const ROUNDS: usize = 40;
const QUICK_ROUNDS: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).cloned()
    };
    let svg = after("--svg");
    let words: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--") && Some(*argument) != svg.as_ref())
        .collect();
    let is_chosen = |place: Place| {
        let name = format!("{} {}", place.stack, place.row);
        words.iter().all(|word| name.contains(word.as_str()))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    // Without `--bench`, `cargo test` runs this and checks that every cell answers as it should.
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let (is_bench, is_quick) = (has("--bench"), has("--quick"));
    let rounds = match (is_bench, is_quick) {
        (false, _) => 1,
        (true, false) => ROUNDS,
        (true, true) => QUICK_ROUNDS,
    };
    let mut measured = measure(&is_chosen, rounds);
    if is_bench && !is_quick && !has("--time-only") {
        add_instructions(&mut measured, &words);
    }
    let report = Report::new(measured);
    print!("{}", report.markdown());
    if let Some(path) = svg {
        if let Err(error) = fs::write(&path, report.svg()) {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// All cells of one row of one stack exist at once, and take turns, so that other load on the machine
/// affects all of them.
fn measure(is_chosen: &dyn Fn(Place) -> bool, rounds: usize) -> Vec<Measured> {
    let mut measured = Vec::new();
    cells::each_row(is_chosen, &mut |cells| {
        let mut times: Vec<_> = cells.iter().map(|_| Times::default()).collect();
        for (place, cell) in cells.iter_mut() {
            check(*place, &mut **cell);
        }
        for round in 0..rounds {
            for turn in 0..cells.len() {
                let index = (round + turn) % cells.len();
                times[index].add_round(&mut *cells[index].1);
            }
        }
        for ((place, cell), times) in cells.iter_mut().zip(times) {
            let (allocations, bytes) = allocations(&mut **cell);
            let cell = Measured {
                place: *place,
                minimum: times.minimum(),
                median: times.median(),
                allocations,
                bytes,
                instructions: None,
            };
            eprintln!("{cell}");
            measured.push(cell);
        }
    });
    measured
}

/// The times of one cell, in seconds.
#[derive(Default)]
struct Times {
    /// The shortest time of each slice in any round. An interruption takes longer than a slice and
    /// occurs less often.
    of_slices: Vec<f64>,
    of_rounds: Vec<f64>,
}

impl Times {
    fn add_round(&mut self, cell: &mut dyn Run) {
        // The accounts come back into the caches, from which other cells' have driven them.
        cell.prepare(REQUESTS);
        cell.run_keeping();
        drop(cell.statuses());
        let slices = (0..REQUESTS).step_by(SLICE);
        let times: Vec<f64> = slices.map(|from| time(cell, from..from + SLICE)).collect();
        self.of_rounds.push(times.iter().sum());
        if self.of_slices.is_empty() {
            self.of_slices = vec![f64::INFINITY; times.len()];
        }
        for (shortest, time) in self.of_slices.iter_mut().zip(times) {
            *shortest = shortest.min(time);
        }
    }

    fn minimum(&self) -> f64 {
        nanoseconds_per_request(self.of_slices.iter().sum())
    }

    fn median(mut self) -> f64 {
        self.of_rounds.sort_by(f64::total_cmp);
        nanoseconds_per_request(self.of_rounds[self.of_rounds.len() / 2])
    }
}

fn nanoseconds_per_request(seconds: f64) -> f64 {
    seconds * 1e9 / REQUESTS as f64
}

fn time(cell: &mut dyn Run, slice: Range<usize>) -> f64 {
    cell.prepare_slice(slice);
    let started = Instant::now();
    cell.run_keeping();
    let elapsed = started.elapsed();
    black_box(cell.statuses());
    elapsed.as_secs_f64()
}

fn allocations(cell: &mut dyn Run) -> (f64, f64) {
    cell.prepare(REQUESTS);
    let counted = allocation_counter::measure(|| cell.run_keeping());
    drop(cell.statuses());
    let each = |total: u64| total as f64 / REQUESTS as f64;
    (each(counted.count_total), each(counted.bytes_total))
}

/// # Panics
///
/// If the cell does not answer what its row expects: then it would not be the same check.
fn check(place: Place, cell: &mut dyn Run) {
    cell.prepare(REQUESTS);
    cell.run_keeping();
    let statuses = cell.statuses();
    assert_eq!(statuses.len(), REQUESTS, "{place:?}");
    let enforces = !matches!(place.column, "bare service" | "identity layer");
    for status in statuses {
        assert!(
            !enforces || status == cell.expected(),
            "{place:?}: {status}"
        );
    }
}

/// Counted in another program, which has no counter of allocations in its allocator.
fn add_instructions(measured: &mut [Measured], words: &[&String]) {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["bench", "--quiet", "--bench", "instructions", "--"])
        .args(words)
        .output();
    let lines = match output {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            return eprintln!("without instructions: {error}");
        }
        Err(error) => return eprintln!("without instructions: {error}"),
    };
    for line in String::from_utf8_lossy(&lines).lines() {
        let count = line.split('\t').nth(COLUMN_OF_COUNT);
        let count = count.and_then(|count| count.parse().ok());
        for cell in measured.iter_mut() {
            if cells::place(line) == Some(cell.place) {
                cell.instructions = count;
            }
        }
    }
}

/// Behind stack, row and column.
const COLUMN_OF_COUNT: usize = 3;
