//! Stopping the process: the first signal lets requests end, the second one ends it at once.

use std::io;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Running,
    /// No new connection and no waiting sync. Running requests may end.
    Stopping,
    /// The process waits for nothing.
    Hurried,
}

/// Whether the process has been told to stop. A clone hears the same.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<Phase>);

impl Stop {
    /// Listens for ctrl-c and, on Unix, SIGTERM, from now on.
    ///
    /// # Errors
    ///
    /// If the system does not let the process listen.
    pub(crate) fn on_signal() -> io::Result<Self> {
        let mut signals = Signals::new()?;
        let (phase, receiver) = watch::channel(Phase::Running);
        tokio::spawn(async move {
            for next in [Phase::Stopping, Phase::Hurried] {
                signals.next().await;
                phase.send_replace(next);
            }
            phase.closed().await;
        });
        Ok(Self(receiver))
    }

    /// Never told to stop.
    #[allow(dead_code, reason = "the bench uses it")]
    pub(crate) fn never() -> Self {
        Self(watch::channel(Phase::Running).1)
    }

    /// Whether it was told to.
    pub(crate) fn has_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Stopping
    }

    /// Waits until it is told to.
    pub(crate) async fn begun(&self) {
        self.reached(Phase::Stopping).await;
    }

    /// Waits until it is told a second time.
    pub(crate) async fn hurried(&self) {
        self.reached(Phase::Hurried).await;
    }

    async fn reached(&self, phase: Phase) {
        let mut receiver = self.0.clone();
        let reached = receiver.wait_for(|now| *now >= phase).await.is_ok();
        if !reached {
            // The sender is gone, so the phase never changes.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
