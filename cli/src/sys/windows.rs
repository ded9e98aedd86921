use std::fs::File;
use std::io;
use std::os::windows::io::AsHandle;
use std::process::Child;
use std::time::{SystemTime, UNIX_EPOCH};

/// True if processes can be stopped and go on.
pub(crate) const CAN_STOP: bool = false;

/// Nanoseconds of a clock that all processes share. Setting the time of day moves it.
pub(crate) fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The standard output without a buffer.
pub(crate) fn bare_stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_handle().try_clone_to_owned()?))
}

/// What each descriptor of this process leads to: they cannot be listed.
pub(crate) fn descriptors() -> Option<Vec<String>> {
    None
}

/// Stops a child: not possible.
pub(crate) fn stop(_child: &Child) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets a stopped child go on: none is stopped.
pub(crate) fn go_on(_child: &Child) -> io::Result<()> {
    Ok(())
}
