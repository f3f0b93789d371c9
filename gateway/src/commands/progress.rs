//! A line that says how far something is which takes long. It is written to the standard error
//! output where that is a terminal, and is gone in the end.

use std::{
    future::Future,
    io::{self, IsTerminal as _, Write},
    pin::pin,
    time::{Duration, Instant},
};

/// What takes less is not worth a line.
const PATIENCE: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct Progress<W: Write = io::Stderr> {
    out: Option<W>,
    what: &'static str,
    total: usize,
    next: Instant,
    is_drawn: bool,
}

impl Progress {
    /// Where the standard output is a terminal as well, its lines say how far it is.
    pub(super) fn begin(what: &'static str, total: usize) -> Self {
        let is_shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self::on(is_shown.then(io::stderr), what, total, PATIENCE)
    }
}

impl<W: Write> Progress<W> {
    fn on(out: Option<W>, what: &'static str, total: usize, patience: Duration) -> Self {
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
        // Nothing depends on it.
        let _ = write!(out, "\r\x1b[K{}: {done} of {}", self.what, self.total);
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

/// Also where it ends with an error, which comes on a line of its own.
impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Says how long something has been waited for, as bringing the tables up to date.
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
                eprint!("\r\x1b[K");
            }
            return done;
        }
        wait = INTERVAL;
        eprint!("\r\x1b[K{what} ({} s)", began.elapsed().as_secs());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Progress;

    #[test]
    fn the_line_is_gone_in_the_end_and_nowhere_but_on_a_terminal() {
        let mut text = Vec::new();
        let mut progress = Progress::on(Some(&mut text), "locking", 3, Duration::ZERO);
        progress.done(1);
        // Not more often than anybody can read.
        progress.done(2);
        drop(progress);
        assert_eq!(
            String::from_utf8(text).expect("text"),
            "\r\x1b[Klocking: 1 of 3\r\x1b[K"
        );

        let mut text = Vec::new();
        let mut progress = Progress::on(Some(&mut text), "locking", 3, Duration::from_secs(60));
        progress.done(1);
        drop(progress);
        assert!(text.is_empty(), "it does not take long");
        let mut nowhere = Progress::<Vec<u8>>::on(None, "locking", 3, Duration::ZERO);
        nowhere.done(1);
        assert!(!nowhere.is_drawn);
    }
}
