use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use rustix::system::uname;
use rustix::time::{ClockId, clock_gettime};

use crate::cpu::CpuClock;

pub(crate) fn cpu_time(clock: CpuClock) -> Option<Duration> {
    let clock = match clock {
        CpuClock::Process => ClockId::ProcessCPUTime,
        CpuClock::Thread => ClockId::ThreadCPUTime,
    };
    Duration::try_from(clock_gettime(clock)).ok()
}

pub(crate) fn kernel() -> Option<String> {
    let name = uname();
    Some(format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()))
}

/// A terminal's Ctrl-C does not reach the process: the process that started it ends it.
pub(crate) fn keep_signals_off(command: &mut Command) {
    command.process_group(0);
}
