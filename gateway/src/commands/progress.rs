//! A line that shows the progress of long work. It is written to the standard error output if that is
//! a terminal, and is erased at the end.

use std::{
    future::Future,
    io::{self, IsTerminal as _, Write},
    pin::pin,
    time::{Duration, Instant},
};

/// Shorter work shows no line.
const PATIENCE: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct Progress<W: Write = io::Stderr> {
    out: Option<W>,
    what: &'static str,
    /// `None` if it is not known.
    total: Option<usize>,
    next: Instant,
    is_drawn: bool,
}

impl Progress {
    /// Draws nothing if the standard output is a terminal, too, because its lines show the progress.
    pub(super) fn begin(what: &'static str, total: impl Into<Option<usize>>) -> Self {
        let is_shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self::on(is_shown.then(io::stderr), what, total.into(), PATIENCE)
    }
}

impl<W: Write> Progress<W> {
    fn on(out: Option<W>, what: &'static str, total: Option<usize>, patience: Duration) -> Self {
        Self {
            out,
            what,
            total,
            next: Instant::now() + patience,
            is_drawn: false,
        }
    }

    pub(super) fn done(&mut self, done: usize) {
        let now = Instant::now();
        let Some(out) = &mut self.out else { return };
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        self.is_drawn = true;
        // A failure to draw does not matter.
        let _ = match self.total {
            Some(total) => write!(out, "\r\x1b[K{}: {done} of {total}", self.what),
            None => write!(out, "\r\x1b[K{}: {done}", self.what),
        };
        let _ = out.flush();
    }

    pub(super) fn end(&mut self) {
        if let (Some(out), true) = (&mut self.out, self.is_drawn) {
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
        self.is_drawn = false;
    }
}

/// Erases the line if the work ends with an error, too. The error then has a line of its own.
impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Shows how long the command has waited, for example until the tables are upgraded.
pub(super) async fn while_waiting<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if !io::stderr().is_terminal() {
        return work.await;
    }
    let began = Instant::now();
    let mut wait = PATIENCE;
    loop {
        if let Ok(done) = tokio::time::timeout(wait, &mut work).await {
            if wait == INTERVAL {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
            return done;
        }
        wait = INTERVAL;
        let seconds = began.elapsed().as_secs();
        let _ = write!(io::stderr(), "\r\x1b[K{what} ({seconds} s)");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Progress;

    #[test]
    fn the_line_is_gone_in_the_end_and_nowhere_but_on_a_terminal() {
        let mut text = Vec::new();
        let mut progress = Progress::on(Some(&mut text), "locking", Some(3), Duration::ZERO);
        progress.done(1);
        // Not more often than anybody can read.
        progress.done(2);
        drop(progress);
        assert_eq!(
            String::from_utf8(text).expect("text"),
            "\r\x1b[Klocking: 1 of 3\r\x1b[K"
        );

        let mut text = Vec::new();
        let mut progress = Progress::on(Some(&mut text), "listing", None, Duration::ZERO);
        progress.done(500);
        drop(progress);
        assert_eq!(
            String::from_utf8(text).expect("text"),
            "\r\x1b[Klisting: 500\r\x1b[K"
        );

        let mut text = Vec::new();
        let mut progress =
            Progress::on(Some(&mut text), "locking", Some(3), Duration::from_secs(60));
        progress.done(1);
        drop(progress);
        assert!(text.is_empty(), "it does not take long");
        let mut nowhere = Progress::<Vec<u8>>::on(None, "locking", Some(3), Duration::ZERO);
        nowhere.done(1);
        assert!(!nowhere.is_drawn);
    }
}
