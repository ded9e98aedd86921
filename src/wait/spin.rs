//! Spinning before a sleep, and learning whether it pays.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::Waitable;
use crate::address::settings::WaitMode;

/// About the cost of a wake-up: a longer spin did not pay.
const SPIN: Duration = Duration::from_micros(50);
/// The longest spin, for the largest messages.
const MAX_SPIN: Duration = Duration::from_micros(200);
/// Spinning stops at this balance. A miss adds two and a hit takes one away, since a futile spin
/// costs more than a wake-up.
const STOP: u8 = 6;
/// Upper limit of the balance, so that a few hits are enough to spin again.
const WORST: u8 = 8;
/// Waits without a spin between two probes, at first. Doubled after each probe that did not pay: on
/// a shared core a probe costs as much as ten wake-ups.
const PROBE_AFTER: u16 = 32;
/// Upper limit of the waits between two probes.
const PROBE_LATEST: u16 = 256;
/// A spin longer than this yields the core after each look at the clock.
const YIELD: Duration = Duration::from_micros(2);
/// Spin-loop hints between two looks at the clock.
const HINTS: u32 = 64;

/// Learns whether results come quickly enough to spin for them.
///
/// On a single core, or when the peer shares this core, they never do, and spinning stops after a
/// few misses. The number of cores says less: a pinned process sees one, and its peer may run on
/// another.
#[derive(Debug)]
pub(crate) struct Spinner {
    /// `Spin` always spins, `Block` never, `Adaptive` by the balance.
    mode: WaitMode,
    /// Misses against hits, 0 to [`WORST`]. From [`STOP`] on, only probes spin.
    balance: u8,
    /// Waits without a spin since the last probe, less than `probe_interval`.
    skipped: u16,
    /// Waits from one probe to the next, [`PROBE_AFTER`] to [`PROBE_LATEST`].
    probe_interval: u16,
    /// A spin has begun and not ended. Still true at the next one if the deadline came first or the
    /// future was dropped: then it did not pay.
    spinning: bool,
    /// Length of the last message in bytes; the next one is assumed to have it, too.
    pub(crate) last_len: usize,
    /// Calls that had to wait.
    pub(crate) waits: u64,
}

impl Spinner {
    pub(crate) fn new(mode: WaitMode) -> Self {
        Self {
            mode,
            balance: 0,
            skipped: 0,
            probe_interval: PROBE_AFTER,
            spinning: false,
            last_len: 0,
            waits: 0,
        }
    }

    /// False if it never spins.
    pub(crate) fn may_spin(&self) -> bool {
        self.mode != WaitMode::Block
    }

    /// From now on: adaptive if `allowed`, else never.
    pub(crate) fn set_allowed(&mut self, allowed: bool) {
        self.mode = if allowed { WaitMode::Adaptive } else { WaitMode::Block };
    }

    /// True if the next wait spins, unless it is a probe.
    #[cfg(feature = "tokio")]
    pub(crate) fn expects_to_spin(&self) -> bool {
        match self.mode {
            WaitMode::Spin => true,
            WaitMode::Block => false,
            WaitMode::Adaptive => self.balance < STOP,
        }
    }

    /// Begins a spin and returns its longest duration; zero means not to spin.
    pub(crate) fn begin(&mut self) -> Duration {
        if self.spinning {
            self.end(false);
        }
        let budget = self.budget();
        self.spinning = !budget.is_zero();
        budget
    }

    /// Ends the spin and learns from it.
    pub(crate) fn end(&mut self, paid: bool) {
        self.spinning = false;
        if paid {
            self.balance = self.balance.saturating_sub(1);
            self.probe_interval = PROBE_AFTER;
            return;
        }
        if self.balance >= STOP {
            self.probe_interval = (self.probe_interval * 2).min(PROBE_LATEST);
        }
        self.balance = (self.balance + 2).min(WORST);
    }

    fn budget(&mut self) -> Duration {
        match self.mode {
            WaitMode::Spin => return Duration::MAX,
            WaitMode::Block => return Duration::ZERO,
            WaitMode::Adaptive => {}
        }
        if self.balance >= STOP {
            self.skipped += 1;
            if self.skipped < self.probe_interval {
                return Duration::ZERO;
            }
            self.skipped = 0;
        }
        // A wake-up, and copying the message at 4 bytes per ns.
        (SPIN + Duration::from_nanos(self.last_len as u64 / 4)).min(MAX_SPIN)
    }
}

/// Tries for as long as the spinner of `on` allows. `None` if nothing came.
///
/// # Errors
/// `TimedOut` at the deadline, `Stopped`, and those of `attempt`.
pub(super) fn spin<W: Waitable + ?Sized, R>(
    on: &mut W,
    operation: Operation,
    deadline: Option<Instant>,
    attempt: &mut impl FnMut(&mut W) -> Option<Result<R>>,
) -> Option<Result<R>> {
    let budget = on.spinner().begin();
    if budget.is_zero() {
        return None;
    }
    let started = Instant::now();
    let mut now = started;
    let [mut hints, most] = on.spin_hints();
    // Another thread ran on this core during the last yield.
    let mut core_was_lent = false;
    while now - started < budget {
        for _ in 0..HINTS.div_ceil(hints) {
            (0..hints).for_each(|_| spin_loop());
            if let Some(done) = attempt(on) {
                // A result that came during the yield would have woken a sleeper as soon.
                on.spinner().end(!core_was_lent);
                return Some(done);
            }
            core_was_lent = false;
            if on.take_interrupted() {
                break;
            }
        }
        hints = (hints + 1).min(most);
        now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Err(Error::new(operation, ErrorKind::TimedOut)));
        }
        if let Err(stopped) = super::stop::check(operation) {
            return Some(Err(stopped));
        }
        // The peer may be waiting for this core.
        if now - started > YIELD {
            std::thread::yield_now();
            core_was_lent = now.elapsed() > YIELD;
        }
    }
    on.spinner().end(false);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many waits pass without a spin before the next one.
    fn skipped(spinner: &mut Spinner) -> usize {
        (0..).take_while(|_| spinner.begin().is_zero()).count()
    }

    #[test]
    fn spins_that_do_not_pay_become_rare() {
        let mut spinner = Spinner::new(WaitMode::Adaptive);
        let rare: Vec<_> = (0..9)
            .map(|_| {
                let skipped = skipped(&mut spinner);
                spinner.end(false);
                skipped
            })
            .collect();
        assert_eq!(rare, [0, 0, 0, 31, 63, 127, 255, 255, 255]);
    }

    #[test]
    fn spins_that_pay_become_frequent_again() {
        let mut spinner = Spinner::new(WaitMode::Adaptive);
        for _ in 0..9 {
            skipped(&mut spinner);
            spinner.end(false);
        }
        let frequent: Vec<_> = (0..4)
            .map(|_| {
                let skipped = skipped(&mut spinner);
                spinner.end(true);
                skipped
            })
            .collect();
        assert_eq!(frequent, [255, 31, 31, 0]);
    }
}
