//! Counts instructions: the program runs itself once more under callgrind, which writes down what
//! it has counted, and counts from zero again, whenever the C library's `getppid` is called. That
//! is a name which callgrind knows whatever linker made the program.

use std::{
    env, fs,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::cells::{self, Place};

const CHILD: &str = "--under-callgrind";
/// How many requests are measured, after as many that warm up.
const REQUESTS: usize = 1_000;

/// Room for more, and for larger pieces, than any row has at a time.
const STEADY: &str = "glibc.malloc.tcache_count=2000:glibc.malloc.tcache_max=65536";

/// Instructions per request.
pub struct Count {
    pub place: Place,
    pub instructions: f64,
}

/// Runs the cells instead of the bench if this is the child. To be called first in `main`.
pub fn run_if_child(wanted: &dyn Fn(Place) -> bool) -> bool {
    if !is_child() {
        return false;
    }
    cells::each_row(wanted, &mut |cells| {
        for (place, cell) in cells {
            cell.prepare(REQUESTS);
            cell.run_dropping();
            cell.prepare(REQUESTS);
            mark();
            cell.run_dropping();
            mark();
            println!("{}\t{}\t{}", place.stack, place.row, place.column);
        }
    });
    true
}

/// Whether this is the program that runs under callgrind.
pub fn is_child() -> bool {
    env::args().any(|argument| argument == CHILD)
}

/// Begins or ends what is counted.
pub fn mark() {
    std::hint::black_box(std::os::unix::process::parent_id());
}

/// Counts the instructions of the cells that the child chooses by `arguments`.
///
/// # Errors
///
/// If valgrind is missing or fails.
pub fn count(arguments: &[String], steady: bool) -> io::Result<Vec<Count>> {
    let place = |line: &str| {
        cells::place(line).ok_or_else(|| io::Error::other(format!("not a cell: {line}")))
    };
    let lines = count_lines(arguments, steady)?;
    let counts = lines.into_iter().map(|(line, instructions)| {
        Ok(Count {
            place: place(&line)?,
            instructions: instructions / REQUESTS as f64,
        })
    });
    counts.collect()
}

/// Runs this program with `arguments` under callgrind. For each line that it prints, it has
/// called [`mark`] before and after what is counted.
///
/// # Errors
///
/// If valgrind is missing or fails.
///
/// With `steady` the C library's allocator keeps whatever is freed at hand: what it does then no
/// longer depends on the state of the heap, and so not on the length of a path or a variable.
pub fn count_lines(arguments: &[String], steady: bool) -> io::Result<Vec<(String, f64)>> {
    let directory = env::temp_dir().join(format!("callgrind-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let mut valgrind = Command::new("valgrind");
    if steady {
        valgrind.env("GLIBC_TUNABLES", STEADY);
    }
    let output = valgrind
        .args(["--tool=callgrind", "--quiet", "--compress-strings=no"])
        .arg("--dump-before=getppid")
        .arg(format!("--callgrind-out-file={}/out", directory.display()))
        .arg(env::current_exe()?)
        .arg(CHILD)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other(
                "valgrind is missing, which counts them. Please install it (Debian: `apt-get install valgrind`).",
            ),
            _ => error,
        })?;
    if !output.status.success() {
        return Err(io::Error::other(format!("valgrind: {}", output.status)));
    }
    let mut counts = Vec::new();
    for (line, number) in String::from_utf8_lossy(&output.stdout).lines().zip(1..) {
        // Two marks a line: before the first of them is what is made and warmed up.
        let dump = fs::read_to_string(directory.join(format!("out.{}", 2 * number)))?;
        counts.push((line.to_owned(), total(&dump)));
    }
    keep_or_remove(&directory)?;
    Ok(counts)
}

fn total(dump: &str) -> f64 {
    let total = dump.lines().find_map(|line| line.strip_prefix("totals: "));
    total
        .and_then(|total| total.trim().parse().ok())
        .unwrap_or(f64::NAN)
}

/// The profiles stay where they are if `CALLGRIND_KEEP` is set, for `callgrind_annotate`.
fn keep_or_remove(directory: &Path) -> io::Result<()> {
    match env::var_os("CALLGRIND_KEEP") {
        Some(_) => writeln!(io::stderr(), "profiles: {}", directory.display()),
        None => fs::remove_dir_all(directory),
    }
}
