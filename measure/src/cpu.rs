//! CPU time.

use std::time::Duration;

/// The owner of CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuClock {
    /// All threads of this process.
    Process,
    /// The calling thread.
    Thread,
}

impl CpuClock {
    /// CPU time used so far, in user and kernel. `None` if the platform does not tell.
    pub fn now(self) -> Option<Duration> {
        crate::sys::cpu_time(self)
    }

    /// CPU time used since then.
    pub fn since(self, before: Option<Duration>) -> Option<Duration> {
        self.now()?.checked_sub(before?)
    }
}

/// Time that these cores were busy since the system started, for any program, and for the host of
/// a virtual machine. Counted in ticks of 10 ms. `None` if the platform does not tell.
pub fn busy_time(cores: &[usize]) -> Option<Duration> {
    crate::sys::busy_time(cores)
}
