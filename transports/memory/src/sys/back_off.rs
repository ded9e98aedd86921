//! What takes the place of a shared futex where there is none: no thread sleeps on a word that
//! processes share. Messages wake by the doorbell; only a thread that contends for a lock, which is
//! held for microseconds, looks at the word again and again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The first pause of a thread that looks at a word again and again; each is twice as long as the
/// one before.
const FIRST: Duration = Duration::from_micros(50);
/// The longest.
const LONGEST: Duration = Duration::from_millis(1);

/// True if a thread can sleep on a word that processes share: here never.
#[cfg(not(target_os = "macos"))]
pub const fn parks() -> bool {
    false
}

/// Waits while `word` is `expected`, for at most `timeout`, by looking.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    let end = Instant::now().checked_add(timeout);
    let mut pause = FIRST;
    while word.load(Ordering::Relaxed) == expected {
        let left = end.map_or(LONGEST, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST);
    }
}

/// Nothing: the thread looks by itself.
pub(crate) fn futex_wake(_word: &AtomicU32, _most: u32) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_by_a_change_or_by_the_timeout() {
        let word = AtomicU32::new(7);
        futex_wait(&word, 7, Duration::from_millis(3));
        std::thread::scope(|scope| {
            scope.spawn(|| word.store(8, Ordering::Relaxed));
            futex_wait(&word, 7, Duration::from_secs(600));
        });
        futex_wait(&word, 7, Duration::from_secs(600));
    }
}
