use std::fs::{read_link, read_to_string};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU64};

use anyipc_os::generation;
use rustix::time::{ClockId, clock_gettime};

/// A monotonic clock in ticks of about a millisecond. Its resolution is a few ticks, and reading it
/// costs a few nanoseconds. It jumps by 71 ticks at each full second, so it never shows less time
/// than has passed.
#[inline]
pub fn coarse_ticks() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    // 2^20 ns are a tick; the nanoseconds have 30 bits.
    (now.tv_sec as u64) << 10 | (now.tv_nsec as u64) >> 20
}

/// Nanoseconds since the machine started, with the time that it slept. The same in all processes,
/// also in those of other time namespaces, and no change of the day's time changes it.
pub fn boot_nanos() -> u64 {
    // First: it may take system calls, and the time is not to be old.
    let ahead = ahead();
    let now = clock_gettime(ClockId::Boottime);
    let nanos =
        (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64);
    nanos.saturating_add_signed(ahead.saturating_neg())
}

/// How far the clock of this process's time namespace is ahead of the machine's, in nanoseconds.
fn ahead() -> i64 {
    static AHEAD: AtomicI64 = AtomicI64::new(0);
    /// The fork generation in which it was read, and 1: a child may be in another namespace.
    static READ_IN: AtomicU64 = AtomicU64::new(0);
    let now = u64::from(generation()) + 1;
    if READ_IN.load(Acquire) != now {
        AHEAD.store(read_ahead().unwrap_or(0), Relaxed);
        READ_IN.store(now, Release);
    }
    AHEAD.load(Relaxed)
}

/// The same from the kernel. `None` where it has no time namespaces, or no `/proc`.
fn read_ahead() -> Option<i64> {
    let namespace = |name| read_link(format!("/proc/self/ns/{name}")).ok();
    // The file is about the children; a process that made a namespace for them is not in it.
    if namespace("time") != namespace("time_for_children") {
        return None;
    }
    parse_ahead(&read_to_string("/proc/self/timens_offsets").ok()?)
}

fn parse_ahead(offsets: &str) -> Option<i64> {
    let line = offsets.lines().find_map(|line| line.strip_prefix("boottime"))?;
    let mut words = line.split_whitespace().map(|word| word.parse::<i64>().ok());
    let (seconds, nanos) = (words.next()??, words.next()??);
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_tells_what_it_is_ahead() {
        let text = "monotonic           0         0\nboottime       -86400         5\n";
        assert_eq!(parse_ahead(text), Some(-86_400_000_000_000 + 5));
        assert_eq!(parse_ahead("boottime 1"), None);
        assert_eq!(parse_ahead(""), None);
    }
}
