//! One core for each side, so that the scheduler does not put both on one.

/// The first two cores this process may run on, if there are two. To be asked before [`pin`].
#[cfg(target_os = "linux")]
pub(crate) fn cores() -> Option<[usize; 2]> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let allowed = sched_getaffinity(None).unwrap();
    let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).take(2).collect();
    cores.try_into().ok()
}

/// Ties the calling thread, and what it starts, to one core.
#[cfg(target_os = "linux")]
pub(crate) fn pin(core: usize) {
    use rustix::thread::{CpuSet, sched_setaffinity};

    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).unwrap();
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn cores() -> Option<[usize; 2]> {
    None
}

/// Not possible here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_core: usize) {}
