use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyipc_core::{Error, ErrorKind, Operation, Result};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat, fallocate, fstat, linkat, mknodat,
    open, stat,
};

use crate::{Dir, Fd};

/// Bytes of a socket's address, with the NUL.
const SUN_PATH: usize = 108;

/// Where the directories lie unless `ANYIPC_DIR` says otherwise.
pub(in super::super) fn base() -> io::Result<PathBuf> {
    Ok("/dev/shm".into())
}

/// `Unsupported` where users cannot share a directory.
pub(in super::super) fn check_shared(_op: Operation) -> Result<()> {
    Ok(())
}

/// The number that the kernel shows for every user that has none in a user namespace.
const OVERFLOW: u32 = 65_534;

/// Refuses that number as a user's own: another user's process may have it, too. A user that really
/// has it (`nobody`) is in the namespace's map.
pub(in super::super) fn check_user(user: u32, op: Operation) -> Result<()> {
    let mapped = || {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        map.lines().any(|line| {
            let mut numbers = line.split_ascii_whitespace().map(|word| word.parse::<u32>().ok());
            let (first, _, count) =
                (numbers.next().flatten(), numbers.next(), numbers.next().flatten());
            first
                .zip(count)
                .is_some_and(|(first, count)| user.checked_sub(first).is_some_and(|at| at < count))
        })
    };
    if user != OVERFLOW || mapped() {
        return Ok(());
    }
    Err(Error::new(op, ErrorKind::PermissionDenied).because(format!(
        "this process's user has no number in its user namespace: it is shown as {OVERFLOW}, as \
         all others without one are; map it (/proc/self/uid_map; unshare --map-root-user or \
         --map-current-user)"
    )))
}

/// Opens a directory only for reaching into.
pub(in super::super) fn open_to_reach(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// Makes a FIFO, mode 0600 less the umask.
pub(in super::super) fn make_fifo(dir: &Dir, name: &str) -> io::Result<()> {
    Ok(mknodat(dir, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// Allocates the space of the next bytes of a file, and makes it longer by them.
pub(in super::super) fn allocate(fd: &Fd, start: u64, len: u64) -> rustix::io::Result<()> {
    fallocate(fd, FallocateFlags::empty(), start, len)
}

/// The device of a file.
pub(in super::super) fn device(stat: &Stat) -> u64 {
    stat.st_dev
}

/// The path that leads to an open file where `/proc` is this process's.
fn number_path(fd: &impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()).into()
}

/// A short path that leads to an open file. `None` without `/proc`, where it is another PID
/// namespace's, or covered.
fn path_of(fd: &impl AsFd) -> Option<PathBuf> {
    let path = number_path(fd);
    let (there, here) = (stat(&path).ok()?, fstat(fd).ok()?);
    ((there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)).then_some(path)
}

impl Dir {
    /// Makes a file without a name, mode 0600. Fails where the file system has no such files, and
    /// `Unsupported` without `/proc`, which is needed to give it one.
    pub fn nameless_file(&self) -> io::Result<Fd> {
        let file = self.fresh(".", OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC)?;
        path_of(&file).map(|_| file).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Gives a nameless file its name; `AlreadyExists` if it is taken.
    pub fn link_nameless(&self, fd: &Fd, name: &str) -> io::Result<()> {
        Ok(linkat(CWD, number_path(fd), self, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Makes a call that takes no directory descriptor. The path is short even if the directory's
    /// is long, and leads to this directory even if it is renamed. Without `/proc` it is the
    /// directory's own path.
    ///
    /// # Errors
    /// Those of the call; `InvalidFilename` without `/proc` if the path is too long for a socket.
    pub fn reach<T>(&self, name: &str, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        if let Some(path) = path_of(self) {
            return call(&path.join(name));
        }
        let path = self.path().join(name);
        if path.as_os_str().len() < SUN_PATH {
            return call(&path);
        }
        let why = format!(
            "/proc is not mounted here, and without it a socket's path has {} bytes at most: \
             mount it, or choose a shorter directory with ANYIPC_DIR than that of {}",
            SUN_PATH - 1,
            path.display()
        );
        Err(io::Error::new(io::ErrorKind::InvalidFilename, why))
    }
}
