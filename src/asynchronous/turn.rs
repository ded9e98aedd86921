//! How long a task may go on before the runtime's other tasks have their turn.

use std::time::{Duration, Instant};

/// No task goes on for longer without an await that lets others run.
const TURN: Duration = Duration::from_micros(500);
/// The most steps between two looks at the clock.
const STEPS: u32 = 8;

/// A turn of many small steps. The clock is looked at after the first step, and then after twice as many as before
/// while they are short.
pub(super) struct Turn {
    began: Instant,
    looked: Instant,
    steps: u32,
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

    /// Lets the runtime's other tasks and its reactor have their turn.
    pub(super) async fn give(&self) {
        // The first yield lets the reactor wake others. In a `LocalSet` they run after the future around which it is, and
        // so after a second one.
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
