//! Checks that names still stand for their files: session managers and cleaners remove files from
//! outside.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Operation, Result};

use crate::{Dir, FileId, is_at};

/// The time between two checks, in milliseconds.
const EVERY: u64 = 1000;

/// Lets one check through every second: a check of a name is a system call.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    /// Milliseconds from `start` to the next check.
    next: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(EVERY) }
    }
}

impl Pace {
    /// True once a second, for one of the calling threads; first one second after it was made.
    pub fn is_due(&self) -> bool {
        let now = self.start.elapsed().as_millis() as u64;
        let next = self.next.load(Relaxed);
        now >= next && self.next.compare_exchange(next, now + EVERY, Relaxed, Relaxed).is_ok()
    }
}

/// `Removed` if the file's name is gone or stands for another file. A name that cannot be read
/// counts as unchanged.
///
/// # Errors
/// `Removed`.
pub fn check_named(dir: &Dir, file: &str, id: FileId, operation: Operation) -> Result<()> {
    if is_at(dir, file, id).unwrap_or(true) {
        return Ok(());
    }
    Err(Error::new(operation, ErrorKind::Removed).because(format!(
        "{} was removed or replaced from outside, so no process finds the object any more: close \
         it and create it again. Where a session manager or a cleaner removes such files, say \
         RemoveIPC=no in logind.conf, except the directory from cleaning, or choose another with \
         ANYIPC_DIR, such as $XDG_RUNTIME_DIR",
        dir.path().join(file).display()
    )))
}
