use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result};

/// The first and the longest pause between two looks for an object or its owner.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// Waiting for something that is not there yet: pauses, and the error at the deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Absence {
    /// The next pause, within [`PAUSE`].
    pause: Duration,
    /// The last try found no object or no owner.
    pub(crate) absent: bool,
}

impl Absence {
    pub(crate) fn new() -> Self {
        Self { pause: PAUSE.0, absent: false }
    }

    /// Turns "nothing there yet" into `WouldBlock`.
    pub(crate) fn defer<T>(&mut self, result: Result<T>, operation: Operation) -> Result<T> {
        match result {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NoOwner) => {
                self.absent = true;
                Err(Error::new(operation, ErrorKind::WouldBlock))
            }
            // Also `WouldBlock`: there is an owner that has not answered yet.
            other => {
                self.absent = false;
                other
            }
        }
    }

    /// How to wait for the next try if nothing was there.
    pub(crate) fn pause(&mut self) -> Option<Armed> {
        self.absent.then(|| Armed::After(self.next_pause()))
    }

    /// The next pause, longer each time.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        pause
    }

    /// Turns `TimedOut` into `NoOwner`, for this reason, if the last try found none.
    pub(crate) fn explain(&mut self, error: Error, why: impl FnOnce() -> String) -> Error {
        if !std::mem::take(&mut self.absent) || error.kind() != ErrorKind::TimedOut {
            return error;
        }
        Error::new(Operation::Connect, ErrorKind::NoOwner).because(why())
    }
}

/// The reason of a name without an owner. `held` is a remark on what holds it.
pub(crate) fn no_owner(held: &str) -> String {
    format!("no owner accepts there{held}; start the owner first, or raise timeout=")
}
