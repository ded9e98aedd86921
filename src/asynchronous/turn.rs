//! The longest time that a task goes on before the runtime's other tasks have their turn.

use std::time::{Duration, Instant};

/// No task goes on for longer without an await that yields.
const TURN: Duration = Duration::from_micros(500);
/// The most steps between two looks at the clock.
const STEPS: u32 = 8;

/// A turn of many small steps. It looks at the clock after the first step, and then after twice as
/// many steps as before while they are short.
pub(super) struct Turn {
    began: Instant,
    /// When the clock was looked at last.
    looked: Instant,
    /// Steps from the last look to the next one, 1 to [`STEPS`].
    steps: u32,
    /// Steps left until the next look, 1 to `steps`.
    until_look: u32,
}

impl Turn {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { began: now, looked: now, steps: 1, until_look: 1 }
    }

    /// Counts a step. True if others should have their turn now.
    #[inline]
    pub(super) fn is_over(&mut self) -> bool {
        self.until_look -= 1;
        self.until_look == 0 && self.look()
    }

    /// Yields to the runtime's other tasks and to its reactor.
    pub(super) async fn yield_now(&self) {
        // The first yield lets the reactor wake others. In a `LocalSet` they run after the future
        // that drives the set, and so after a second yield.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }

    #[cold]
    fn look(&mut self) -> bool {
        let now = Instant::now();
        let short = now - self.looked < TURN / STEPS;
        self.looked = now;
        self.steps = if short { (self.steps * 2).min(STEPS) } else { 1 };
        self.until_look = self.steps;
        now - self.began >= TURN
    }
}
