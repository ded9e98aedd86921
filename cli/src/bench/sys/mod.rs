//! What the operating system knows: CPU time, cores, names. The same functions on each platform; `None`
//! where it does not tell.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(target_os = "linux")]
pub(super) use linux::{allowed_cores, cpu_model, pin, share_a_core};
#[cfg(not(unix))]
pub(super) use other::{cpu_time, keep_signals_off, kernel};
#[cfg(unix)]
pub(super) use unix::{cpu_time, keep_signals_off, kernel};

#[cfg(not(target_os = "linux"))]
mod no_cores {
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
}
#[cfg(not(target_os = "linux"))]
pub(super) use no_cores::{allowed_cores, cpu_model, pin, share_a_core};

/// Whose CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// All threads of this process.
    Process,
    /// The calling thread.
    Thread,
}
