use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

/// True if processes can be stopped and go on.
pub(crate) const CAN_STOP: bool = true;

/// Nanoseconds of a clock that all processes share.
pub(crate) fn now() -> u64 {
    let time = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The standard output without a buffer.
pub(crate) fn bare_stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// What each descriptor of this process leads to: a path, or a word such as `socket`. `None` where
/// they cannot be listed.
pub(crate) fn descriptors() -> Option<Vec<String>> {
    let all = std::fs::read_dir("/proc/self/fd").or_else(|_| std::fs::read_dir("/dev/fd")).ok()?;
    let target = |path: std::path::PathBuf| {
        let target = std::fs::read_link(path).unwrap_or_default();
        target.to_string_lossy().split(':').next().unwrap_or_default().to_owned()
    };
    Some(all.flatten().map(|descriptor| target(descriptor.path())).collect())
}

/// Stops a child.
pub(crate) fn stop(child: &Child) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), Signal::STOP)?)
}

/// Lets a stopped child go on.
pub(crate) fn go_on(child: &Child) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), Signal::CONT)?)
}
