//! The wait loop: try, spin, arm, try again, sleep. The only place that blocks.

pub(crate) mod select;
pub(crate) mod sleep;
mod sys;

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Wait, Waiter};

use crate::address::settings::WaitMode;

/// The longest uninterrupted sleep: a wake-up that its sender was killed before is made good after it.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// About what a wake-up costs: a spin that takes longer was not worth it.
const SPIN: Duration = Duration::from_micros(50);
/// The longest spin, for the largest messages.
const MAX_SPIN: Duration = Duration::from_micros(200);
/// Spinning stops at this balance: a miss adds two, a hit takes one away, since a futile spin costs more than
/// a wake-up does.
const STOP: u8 = 6;
/// The balance goes no further up, so that better times are noticed soon.
const WORST: u8 = 8;
/// Waits without spinning after which one spin looks whether it pays again; twice as many after each that did not
/// (on a shared core one costs as much as ten wake-ups) …
const PROBE_AFTER: u16 = 32;
/// … up to so many.
const PROBE_LATEST: u16 = 256;
/// A spin that is longer than this lets others run now and then.
const YIELD: Duration = Duration::from_micros(2);
/// Pauses between two looks at the clock.
const PAUSES: u32 = 64;
/// The most pauses between two tries for an answer that is due.
const MAX_PAUSES: u32 = 16;

/// What the loop waits for.
pub(crate) trait Waitable {
    fn wait(&mut self) -> &mut dyn Wait;
    fn spinner(&mut self) -> &mut Spinner;
    /// Pauses between two tries of a spin, at first and at most: each try costs the other side a cache line.
    fn pauses(&self) -> [u32; 2] {
        [1, MAX_PAUSES]
    }
    /// True once if the last try stopped with more to do, so that its caller can look at the clock: the next try
    /// needs no readiness.
    fn interrupted(&mut self) -> bool {
        false
    }
}

/// Disarms on every way out of a wait: a waiter that has left must not swallow a wake-up.
pub(crate) struct Disarm<'a, W: Waitable + ?Sized>(pub(crate) &'a mut W);

impl<W: Waitable + ?Sized> Drop for Disarm<'_, W> {
    fn drop(&mut self) {
        self.0.wait().disarm();
    }
}

/// Learns whether answers come quickly enough to spin for them. On a single core, or when the peer shares
/// ours, they never do, and the spinning ends after a few misses; how many cores there are says less, since a
/// pinned process sees one and may well have its peer on another.
#[derive(Debug)]
pub(crate) struct Spinner {
    mode: WaitMode,
    balance: u8,
    skipped: u16,
    /// How many waits are skipped before the next probe.
    patience: u16,
    /// A spin that was not ended, as when its future was dropped, did not pay.
    spinning: bool,
    /// Length of the last message, in bytes: the next one is taken to be alike.
    pub(crate) last_len: usize,
    /// How many calls had to wait.
    pub(crate) waits: u64,
}

impl Spinner {
    pub(crate) fn new(mode: WaitMode) -> Self {
        Self {
            mode,
            balance: 0,
            skipped: 0,
            patience: PROBE_AFTER,
            spinning: false,
            last_len: 0,
            waits: 0,
        }
    }

    /// Whether it ever spins.
    pub(crate) fn spins(&self) -> bool {
        self.mode != WaitMode::Block
    }

    /// Spins from now on as far as it pays, or never.
    pub(crate) fn allow(&mut self, spins: bool) {
        self.mode = if spins { WaitMode::Adaptive } else { WaitMode::Block };
    }

    /// Whether the next wait is likely to begin with a spin.
    #[cfg(feature = "tokio")]
    pub(crate) fn hopes(&self) -> bool {
        match self.mode {
            WaitMode::Spin => true,
            WaitMode::Block => false,
            WaitMode::Adaptive => self.balance < STOP,
        }
    }

    /// Begins a spin: how long it may take; zero is not at all.
    pub(crate) fn begin(&mut self) -> Duration {
        if self.spinning {
            self.end(false);
        }
        let budget = self.budget();
        self.spinning = !budget.is_zero();
        budget
    }

    /// Ends it, and learns whether it paid.
    pub(crate) fn end(&mut self, paid: bool) {
        self.spinning = false;
        if paid {
            self.balance = self.balance.saturating_sub(1);
            self.patience = PROBE_AFTER;
            return;
        }
        if self.balance >= STOP {
            self.patience = (self.patience * 2).min(PROBE_LATEST);
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
            if self.skipped < self.patience {
                return Duration::ZERO;
            }
            self.skipped = 0;
        }
        self.worth()
    }

    /// Answers within this time are worth a spin: a wake-up, and copying the message at 4 bytes per ns.
    fn worth(&self) -> Duration {
        (SPIN + Duration::from_nanos(self.last_len as u64 / 4)).min(MAX_SPIN)
    }
}

/// The moment after which a call gives up; `None` is never.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Waits until `attempt` gives something else than `WouldBlock`. Called after it gave that once.
///
/// # Errors
/// `TimedOut` at the deadline, and whatever `attempt` and arming give.
#[cold]
pub(crate) fn wait<W: Waitable + ?Sized, R>(
    on: &mut W,
    operation: Operation,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(&mut W) -> Result<R>,
) -> Result<R> {
    let mut attempt = |on: &mut W| match attempt(on) {
        Err(error) if error.is_would_block() => None,
        done => Some(done),
    };
    on.spinner().waits += 1;
    let timed_out = || Err(Error::new(operation, ErrorKind::TimedOut));

    let budget = on.spinner().begin();
    let started = Instant::now();
    let mut now = started;
    let [mut pauses, most] = on.pauses();
    let mut lent = false;
    while now - started < budget {
        for _ in 0..PAUSES.div_ceil(pauses) {
            (0..pauses).for_each(|_| spin_loop());
            if let Some(done) = attempt(on) {
                on.spinner().end(!lent);
                return done;
            }
            lent = false;
            if on.interrupted() {
                break;
            }
        }
        pauses = (pauses + 1).min(most);
        now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return timed_out();
        }
        // The one who is to answer may wait for this very core.
        if now - started > YIELD {
            std::thread::yield_now();
            // Someone ran here meanwhile: an answer that is there now would have woken a sleeper as soon.
            lent = now.elapsed() > YIELD;
        }
    }
    if !budget.is_zero() {
        on.spinner().end(false);
    }

    let on = Disarm(on);
    loop {
        let slice = match deadline {
            Some(deadline) => SLICE.min(deadline.saturating_duration_since(Instant::now())),
            None => SLICE,
        };
        let armed =
            if on.0.interrupted() { Armed::Ready } else { on.0.wait().arm(Waiter::Thread)? };
        match armed {
            Armed::Ready => on.0.wait().disarm(),
            Armed::Park => on.0.wait().park(slice),
            Armed::Source(interest) => {
                let source = on.0.wait().source()?;
                sys::poll(&[(source, interest)], slice);
            }
            Armed::After(time) => std::thread::sleep(time.min(slice)),
            // Never said to a thread; if it is, stay correct.
            Armed::Waker => std::thread::sleep(slice.min(Duration::from_millis(1))),
        }
        if let Some(done) = attempt(on.0) {
            return done;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return timed_out();
        }
    }
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
