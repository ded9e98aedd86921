//! The machine that is measured.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::sys;

/// Facts that a reader needs to judge the figures.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: Option<String>,
    /// Logical cores that this process may use.
    pub cores: usize,
    /// Name and release of the kernel.
    pub kernel: Option<String>,
    /// Processor family and operating system, in the compiler's words.
    pub target: String,
}

impl Machine {
    /// This machine.
    pub fn look() -> Self {
        Self {
            cpu: sys::cpu_model(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: sys::kernel(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        }
    }
}

/// The cost of one reading of the clock: the least of several runs.
pub fn clock_cost() -> Duration {
    const READINGS: u32 = 1000;
    let run = || {
        let start = Instant::now();
        for _ in 0..READINGS {
            black_box(Instant::now());
        }
        start.elapsed() / READINGS
    };
    (0..20).map(|_| run()).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_a_core() {
        assert!(Machine::look().cores >= 1);
    }
}
