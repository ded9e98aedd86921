pub(crate) mod baseline;

use std::fs;
use std::io;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that the calling thread may use.
pub fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// Ties the calling thread, and what it starts, to one core. False if the system refuses.
pub fn pin(core: usize) -> bool {
    if core >= CpuSet::MAX_CPU {
        return false;
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).is_ok()
}

/// True if two logical cores are threads of one core.
pub(crate) fn share_a_core(a: usize, b: usize) -> bool {
    let siblings = |core: usize| {
        fs::read_to_string(format!(
            "/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"
        ))
        .ok()
    };
    siblings(a).is_some_and(|of_a| siblings(b).is_some_and(|of_b| of_a == of_b))
}

pub(crate) fn cpu_model() -> Option<String> {
    let facts = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = facts.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

pub(crate) fn busy_time(cores: &[usize]) -> Option<Duration> {
    busy_in(&fs::read_to_string("/proc/stat").ok()?, cores, clock_ticks_per_second())
}

fn busy_in(stat: &str, cores: &[usize], ticks_per_second: u64) -> Option<Duration> {
    let ticks = |core: &usize| {
        let mut fields =
            stat.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")))?.split(' ');
        let mut field = || fields.next()?.parse::<u64>().ok();
        let (user, nice, system, _idle, _io) = (field()?, field()?, field()?, field()?, field()?);
        let (interrupts, soft, stolen) = (field()?, field()?, field()?);
        Some(user + nice + system + interrupts + soft + stolen)
    };
    let ticks: u64 = cores.iter().map(ticks).sum::<Option<_>>()?;
    Some(Duration::from_secs_f64(ticks as f64 / ticks_per_second.max(1) as f64))
}

pub(crate) fn end_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_all_but_idle_and_guests() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 10 1 20 500 7 2 3 4 10 0\n\
                    cpu1 1 0 0 9 0 0 0 0 0 0\nintr 5\n";
        assert_eq!(busy_in(stat, &[0], 100), Some(Duration::from_millis(400)));
        assert_eq!(busy_in(stat, &[0, 1], 100), Some(Duration::from_millis(410)));
        assert_eq!(busy_in(stat, &[2], 100), None);
        assert!(busy_time(&allowed_cores()).is_some());
    }
}
