use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyipc_core::{Error, ErrorKind, Operation, Result};
use rustix::fs::{Stat, ftruncate};
use rustix::io::Errno;

use crate::{Dir, Fd, NoFork};

unsafe extern "C" {
    /// Gives the calling thread a working directory of its own; with -1 it has the process's again.
    /// Since macOS 10.12.
    fn pthread_fchdir_np(fd: libc::c_int) -> libc::c_int;
}

/// Where the directories lie unless `ANYIPC_DIR` says otherwise: this user's cache directory, which
/// no other user reaches.
pub(in super::super) fn base() -> io::Result<PathBuf> {
    let mut path = vec![0; libc::PATH_MAX as usize];
    // SAFETY: the buffer is as long as it says.
    let len = unsafe {
        libc::confstr(libc::_CS_DARWIN_USER_CACHE_DIR, path.as_mut_ptr().cast(), path.len())
    };
    // The length counts the NUL.
    if len < 2 || len > path.len() {
        return Err(io::ErrorKind::NotFound.into());
    }
    path.truncate(len - 1);
    Ok(OsString::from_vec(path).into())
}

/// `Unsupported`: users cannot share a directory here.
pub(in super::super) fn check_shared(op: Operation) -> Result<()> {
    Err(Error::new(op, ErrorKind::Unsupported).because(
        "scope=system: on macOS no other user reaches this user's directory; use scope=user, or \
         tcp://",
    ))
}

/// Whether a user's number is the user's own: always, without user namespaces.
pub(in super::super) fn check_user(_user: u32, _op: Operation) -> Result<()> {
    Ok(())
}

/// Opens a directory only for reaching into: there is none, since none can be made.
pub(in super::super) fn open_to_reach(_path: &Path) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::NotFound.into())
}

/// Makes a FIFO, mode 0600 less the umask.
pub(in super::super) fn make_fifo(dir: &Dir, name: &str) -> io::Result<()> {
    dir.reach(name, |path| {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path ends with a NUL.
        let code = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
}

/// Allocates the space of the next bytes of a file that ends at `start`, and makes it longer by
/// them.
pub(in super::super) fn allocate(fd: &Fd, start: u64, len: u64) -> rustix::io::Result<()> {
    let bytes = |count: u64| i64::try_from(count).map_err(|_| Errno::FBIG);
    let mut store = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: bytes(len)?,
        fst_bytesalloc: 0,
    };
    // SAFETY: the descriptor is open for the call, which reads and writes the structure only.
    let code = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_PREALLOCATE, &raw mut store) };
    if code != 0 {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    ftruncate(fd, start.saturating_add(len))
}

/// The device of a file.
pub(in super::super) fn device(stat: &Stat) -> u64 {
    stat.st_dev as u64
}

impl Dir {
    /// `Unsupported`: every file has a name here.
    pub fn nameless_file(&self) -> io::Result<Fd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// `Unsupported`, as [`nameless_file`](Self::nameless_file) is.
    pub fn link_nameless(&self, _fd: &Fd, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes a call that takes no directory descriptor. The path is short even if the directory's
    /// is long, and leads to this directory even if it is renamed: it is the thread's working
    /// directory during the call.
    pub fn reach<T>(&self, name: &str, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        /// Also when the call panics.
        struct Back;
        impl Drop for Back {
            fn drop(&mut self) {
                // SAFETY: touches nothing but the thread's working directory.
                unsafe { pthread_fchdir_np(-1) };
            }
        }
        // A child of this moment would begin in this directory.
        let _no_fork = NoFork::new();
        // SAFETY: the descriptor is open for the call, which touches nothing but the thread's
        // working directory.
        if unsafe { pthread_fchdir_np(self.as_fd().as_raw_fd()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let _back = Back;
        call(Path::new(name))
    }
}
