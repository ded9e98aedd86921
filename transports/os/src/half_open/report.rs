use std::io;
use std::time::{Duration, Instant};

use anyipc_core::{Error, Rejections};

/// The time in which at most [`MAX_LOGGED`] events are logged.
const LOG_EVERY: Duration = Duration::from_secs(1);
const MAX_LOGGED: u32 = 8;

/// Counts rejections and logs some of them: connectors must not fill the log.
#[derive(Debug)]
pub(super) struct Report {
    rejections: Rejections,
    /// When the present interval of logging began.
    since: Instant,
    /// Events logged since then.
    pub(super) logged: u32,
    /// Rejections that were counted and not logged since the last one that was.
    pub(super) omitted: u64,
}

impl Default for Report {
    fn default() -> Self {
        Self { rejections: Rejections::default(), since: Instant::now(), logged: 0, omitted: 0 }
    }
}

impl Report {
    /// Counts and logs a rejection.
    pub(super) fn reject(&mut self, error: &Error) {
        if self.may_log() {
            let omitted = std::mem::take(&mut self.omitted);
            tracing::warn!(%error, omitted, "connector rejected");
        } else {
            self.omitted += 1;
        }
        self.rejections.count += 1;
        self.rejections.last = Some(error.to_string());
    }

    /// Logs that connectors have to wait.
    pub(super) fn warn_of_shortage(&mut self, error: &io::Error) {
        if self.may_log() {
            tracing::warn!(%error, "connectors have to wait");
        }
    }

    /// How many connectors were rejected, and why the last one was.
    pub(super) fn rejections(&self) -> Rejections {
        self.rejections.clone()
    }

    fn may_log(&mut self) -> bool {
        if self.since.elapsed() >= LOG_EVERY {
            (self.since, self.logged) = (Instant::now(), 0);
        }
        self.logged += 1;
        self.logged <= MAX_LOGGED
    }
}
