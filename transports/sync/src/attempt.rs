use std::time::{Duration, Instant};

use anyipc_core::{Result, Wait};

use crate::lock_word::STARVES_AFTER;

/// The longest sleep before a waiter looks whether a holder has died: at first, and after a second
/// of waiting.
const SLICES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(50)];

/// A waiter for an object: it tries, and arms and sleeps until the next try is worth it.
pub trait Attempt: Wait {
    /// What a try gets.
    type Got;

    /// Tries once.
    ///
    /// # Errors
    /// `WouldBlock` if it has to wait; those of the object.
    fn attempt(&mut self) -> Result<Self::Got>;

    /// The longest sleep before the next try.
    fn slice(&self) -> Duration;

    /// The name of the memory that the object lies in, for errors.
    fn memory_name(&self) -> &str;
}

/// The slice of a waiter for a lock word: at first until it starves. A waiter that was woken and is
/// not scheduled holds up those behind it, which note then that they starve.
pub(crate) fn word_slice(since: Option<Instant>) -> Duration {
    match since {
        Some(since) if since.elapsed() > STARVES_AFTER => lock_slice(Some(since)),
        _ => STARVES_AFTER,
    }
}

/// The slice of a waiter for what a dead holder may have. `since`: when it first armed.
pub(crate) fn lock_slice(since: Option<Instant>) -> Duration {
    let is_late = since.is_some_and(|since| since.elapsed() > Duration::from_secs(1));
    SLICES[usize::from(is_late)]
}
