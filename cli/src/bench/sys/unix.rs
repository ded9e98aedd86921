use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use rustix::system::uname;
use rustix::time::{ClockId, clock_gettime};

use super::Whose;

/// CPU time used so far, in user and kernel.
pub(in super::super) fn cpu_time(whose: Whose) -> Option<Duration> {
    let clock = match whose {
        Whose::Process => ClockId::ProcessCPUTime,
        Whose::Thread => ClockId::ThreadCPUTime,
    };
    Duration::try_from(clock_gettime(clock)).ok()
}

/// Name and release of the kernel.
pub(in super::super) fn kernel() -> Option<String> {
    let name = uname();
    Some(format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()))
}

/// A terminal's Ctrl-C will not reach the process: whoever started it ends it.
pub(in super::super) fn keep_signals_off(command: &mut Command) {
    command.process_group(0);
}
