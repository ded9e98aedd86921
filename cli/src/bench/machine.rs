//! The machine that was measured, and where on it.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::sys;

/// What a reader has to know to judge the figures.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    /// The processor's name.
    pub(super) cpu: Option<String>,
    /// Logical cores this process may use.
    pub(super) cores: usize,
    /// Name and release of the kernel.
    pub(super) kernel: Option<String>,
    /// Operating system and processor family, as the compiler calls them.
    pub(super) target: String,
}

impl Machine {
    pub(super) fn look() -> Self {
        Self {
            cpu: sys::cpu_model(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: sys::kernel(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        }
    }
}

/// The cores of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Pinning {
    /// Core of the side that measures.
    pub(super) driver: usize,
    /// Core of its peer.
    pub(super) peer: usize,
}

impl Pinning {
    /// Two different cores, not two threads of one if there is a choice; `None` if there are not two.
    pub(super) fn choose() -> Option<Self> {
        pair(&sys::allowed_cores(), sys::share_a_core)
    }

    /// Both sides have the same.
    pub(super) fn is_one_core(self) -> bool {
        self.driver == self.peer
    }

    /// A core of these that this process may not use.
    pub(super) fn forbidden(self) -> Option<usize> {
        let allowed = sys::allowed_cores();
        [self.driver, self.peer].into_iter().find(|core| !allowed.contains(core))
    }
}

fn pair(cores: &[usize], share: impl Fn(usize, usize) -> bool) -> Option<Pinning> {
    let (&driver, others) = cores.split_first()?;
    let peer = others.iter().find(|core| !share(driver, **core)).or(others.first())?;
    Some(Pinning { driver, peer: *peer })
}

/// What one reading of the clock costs: the least of many runs.
pub(super) fn clock_cost() -> Duration {
    const READINGS: u32 = 1000;
    let run = || {
        let start = Instant::now();
        for _ in 0..READINGS {
            std::hint::black_box(Instant::now());
        }
        start.elapsed() / READINGS
    };
    (0..20).map(|_| run()).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_cores_before_threads_of_one() {
        let smt = |a: usize, b: usize| a / 2 == b / 2;
        assert_eq!(pair(&[0, 1, 2, 3], smt), Some(Pinning { driver: 0, peer: 2 }));
        assert_eq!(pair(&[4, 5], smt), Some(Pinning { driver: 4, peer: 5 }));
        assert_eq!(pair(&[3], smt), None);
        assert_eq!(pair(&[], smt), None);
    }

    #[test]
    fn the_machine_has_a_core() {
        assert!(Machine::look().cores >= 1);
    }
}
