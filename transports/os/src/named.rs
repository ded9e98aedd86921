//! Whether names still mean what they meant: files are removed from outside, by session managers
//! and cleaners.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Operation, Result};

use crate::{Dir, FileId, is_at};

/// The time between two looks, in milliseconds.
const EVERY: u64 = 1000;

/// Lets one look through every second: a look at a name is a system call.
#[derive(Debug)]
pub struct Pace {
    start: Instant,
    /// Milliseconds from `start` to the next look.
    next: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(EVERY) }
    }
}

impl Pace {
    /// True once a second, for one of the threads that ask. The first time is a second after it was
    /// made.
    pub fn is_due(&self) -> bool {
        let now = self.start.elapsed().as_millis() as u64;
        let next = self.next.load(Relaxed);
        now >= next && self.next.compare_exchange(next, now + EVERY, Relaxed, Relaxed).is_ok()
    }
}

/// `Removed` if the file's name is gone or means another file by now. A name that cannot be looked
/// at is no news.
///
/// # Errors
/// `Removed`.
pub fn check_named(dir: &Dir, file: &str, id: FileId, operation: Operation) -> Result<()> {
    if is_at(dir, file, id).unwrap_or(true) {
        return Ok(());
    }
    Err(Error::new(operation, ErrorKind::Removed).because(format!(
        "{} was removed or replaced from outside, so nobody finds the object any more: close it and create it again. \
         Where a session manager or a cleaner removes such files, say RemoveIPC=no in logind.conf, except the \
         directory from cleaning, or choose another with ANYIPC_DIR, such as $XDG_RUNTIME_DIR",
        dir.path().join(file).display()
    )))
}
