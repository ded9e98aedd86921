//! What the operating system knows: CPU time, cores, names; and its bare calls, to compare with. The same
//! functions on each platform; `None` where it does not tell, `Unsupported` where it cannot.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(target_os = "linux")]
pub(super) use linux::{
    allowed_cores, bare, busy_time, cpu_model, end_with_parent, pin, share_a_core,
};
#[cfg(not(unix))]
pub(super) use other::{cpu_time, keep_signals_off, kernel};
#[cfg(unix)]
pub(super) use unix::{cpu_time, keep_signals_off, kernel};

#[cfg(not(target_os = "linux"))]
#[path = "unsupported.rs"]
pub(super) mod bare;

#[cfg(not(target_os = "linux"))]
mod no_cores {
    use std::io;
    use std::time::Duration;

    /// The cores this process may run on: not known here.
    pub(in super::super) fn allowed_cores() -> Vec<usize> {
        Vec::new()
    }
    /// Ties the calling thread to one core: not possible here.
    pub(in super::super) fn pin(_core: usize) -> bool {
        false
    }
    /// True if two logical cores are threads of one: not known here.
    pub(in super::super) fn share_a_core(_a: usize, _b: usize) -> bool {
        false
    }
    /// The processor's name: not known here.
    pub(in super::super) fn cpu_model() -> Option<String> {
        None
    }
    /// Time that these cores were busy: not known here.
    pub(in super::super) fn busy_time(_cores: &[usize]) -> Option<Duration> {
        None
    }
    /// The second process ends when its orders do, which is soon enough without baselines.
    pub(in super::super) fn end_with_parent() -> io::Result<()> {
        Ok(())
    }
}
#[cfg(not(target_os = "linux"))]
pub(super) use no_cores::{
    allowed_cores, busy_time, cpu_model, end_with_parent, pin, share_a_core,
};

/// Whose CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// All threads of this process.
    Process,
    /// The calling thread.
    Thread,
}
