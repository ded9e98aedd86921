use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyipc_core::{Operation, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, linkat, mknodat, open};

use crate::{Dir, Fd};

/// Where the directories lie unless `ANYIPC_DIR` says otherwise.
pub(in super::super) fn base() -> io::Result<PathBuf> {
    Ok("/dev/shm".into())
}

/// Whether users can share a directory.
pub(in super::super) fn check_shared(_op: Operation) -> Result<()> {
    Ok(())
}

/// Opens a directory only for reaching into.
pub(in super::super) fn open_to_reach(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// Makes a FIFO, mode 0600 less what the umask takes.
pub(in super::super) fn make_fifo(dir: &Dir, name: &str) -> io::Result<()> {
    Ok(mknodat(dir, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// The device of a file.
pub(in super::super) fn device(stat: &Stat) -> u64 {
    stat.st_dev
}

impl Dir {
    /// Makes a file without a name, mode 0600. Fails where the file system has no such files.
    pub fn nameless_file(&self) -> io::Result<Fd> {
        self.fresh(".", OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC)
    }

    /// Gives a nameless file its name; `AlreadyExists` if it is taken. `NotFound` without `/proc`.
    pub fn link_nameless(&self, fd: &Fd, name: &str) -> io::Result<()> {
        let from = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        Ok(linkat(CWD, from, self, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Makes a call that knows no directories, with a path that is short however long the directory's is, and means
    /// this directory even if it is renamed.
    pub fn reach<T>(&self, name: &str, call: impl FnOnce(&str) -> io::Result<T>) -> io::Result<T> {
        call(&format!("/proc/self/fd/{}/{name}", self.as_fd().as_raw_fd()))
    }
}
