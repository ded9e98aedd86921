use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::{io, panic, process};

use anyipc_os::Fd;

use crate::facts::size;

pub(crate) fn kernel() -> String {
    let uname = rustix::system::uname();
    format!(
        "{} {}, {}",
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy()
    )
}

/// What is free where this path leads.
pub(crate) fn free(path: &Path) -> String {
    match rustix::fs::statvfs(path) {
        Ok(status) => format!("{} free", size(status.f_bavail.saturating_mul(status.f_frsize))),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn home() -> Option<String> {
    std::env::home_dir()?.into_os_string().into_string().ok()
}

/// Tries to give a file another length.
pub(crate) fn set_len(file: &Fd, len: usize) -> io::Result<()> {
    File::from(file.as_fd().try_clone_to_owned()?).set_len(len as u64)
}

/// Runs the function in a forked child, which exits with 0 if it returns true. How the child ended.
pub(crate) fn forked(run: impl FnOnce() -> bool) -> io::Result<String> {
    // SAFETY: the child runs `run` and ends by `_exit`. The only other thread of this process waits
    // for a line of standard input. It holds no lock that `run` needs.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let fine = panic::catch_unwind(panic::AssertUnwindSafe(run)).unwrap_or(false);
        // SAFETY: ends this process without running what belongs to the parent.
        unsafe { libc::_exit(i32::from(!fine)) };
    }
    let pid = rustix::process::Pid::from_raw(child).ok_or_else(io::Error::last_os_error)?;
    let waited = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
    let status = waited.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
    Ok(status.map_or_else(String::new, |status| status.to_string()))
}

/// Reads one byte, in a child that may die of it.
pub(crate) fn peek(address: *const u8) -> bool {
    // SAFETY: the address was mapped by the parent. If it is not mapped here, this process is to
    // die.
    let byte = unsafe { address.read_volatile() };
    process::id() != u32::from(byte)
}
