//! Linux: FIFOs can be opened for reading and writing at once, resized, and asked whether the other
//! end is open.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::Source;
use anyipc_os::{Dir, Fd, FileKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, chmodat, fchmod, fstat, mknodat, openat};
use rustix::io::{Errno, ioctl_fionread};
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
use rustix::time::{ClockId, clock_gettime};

const OWN: Mode = Mode::RUSR.union(Mode::WUSR);

/// One end of a FIFO. No call blocks.
#[derive(Debug)]
pub(crate) struct Fifo(Fd);

impl Fifo {
    /// Makes a FIFO with this name. `AlreadyExists` if the name exists.
    pub(crate) fn make(dir: &Dir, name: &str) -> io::Result<()> {
        mknodat(dir, name, FileType::Fifo, OWN, 0)?;
        // The umask may have removed permission bits.
        Ok(chmodat(dir, name, OWN, AtFlags::empty())?)
    }

    /// Opens a reading end. It notices when all writers have ended.
    pub(crate) fn reader(dir: &Dir, name: &str) -> io::Result<Self> {
        Self::end(dir, name, OFlags::RDONLY)
    }

    /// Opens a writing end that can read, too. The FIFO then has a reader, so no write raises a
    /// signal.
    pub(crate) fn writer(dir: &Dir, name: &str) -> io::Result<Self> {
        Self::end(dir, name, OFlags::RDWR)
    }

    /// Opens a writing end that is only used to watch the reader. `NotFound`: there is no reader or
    /// no FIFO.
    pub(crate) fn watcher(dir: &Dir, name: &str) -> io::Result<Self> {
        match Self::end(dir, name, OFlags::WRONLY) {
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                Err(io::ErrorKind::NotFound.into())
            }
            opened => opened,
        }
    }

    fn end(dir: &Dir, name: &str, access: OFlags) -> io::Result<Self> {
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = Fd::make(|| match openat(dir, name, flags, Mode::empty()) {
            // A directory or a symbolic link is no FIFO.
            Err(Errno::ISDIR | Errno::LOOP) => Err(io::ErrorKind::InvalidData.into()),
            opened => Ok(opened?),
        })?;
        let status = fd.status()?;
        if status.kind == FileKind::Fifo && status.ours {
            Ok(Self(fd))
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// The descriptor, for locking the FIFO.
    pub(crate) fn fd(&self) -> &Fd {
        &self.0
    }

    /// Writes as much as there is room for. Up to 4096 bytes are written whole or not at all.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.0, bytes)?)
    }

    /// As [`write`](Self::write), two pieces in one call.
    pub(crate) fn write_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::writev(&self.0, &[IoSlice::new(first), IoSlice::new(second)])?)
    }

    /// Reads what is there. 0: there is no writer, any more or yet.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, bytes)?)
    }

    /// The number of bytes that were written and not read yet.
    pub(crate) fn unread(&self) -> io::Result<usize> {
        Ok(usize::try_from(ioctl_fionread(&self.0)?).unwrap_or(usize::MAX))
    }

    /// True if the other end was open and is not any more.
    pub(crate) fn hung_up(&self) -> bool {
        self.shows(PollFlags::HUP | PollFlags::ERR)
    }

    fn shows(&self, flags: PollFlags) -> bool {
        let mut fds = [PollFd::new(&self.0, flags)];
        let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        matches!(polled, Ok(1..)) && fds.iter().any(|fd| fd.revents().intersects(flags))
    }

    /// How many bytes it can hold.
    pub(crate) fn capacity(&self) -> io::Result<usize> {
        Ok(fcntl_getpipe_size(&self.0)?)
    }

    /// Makes it hold `capacity` bytes, rounded up to a power of two of pages. `PermissionDenied`:
    /// over a limit of this user; `ResourceBusy`: it contains more.
    pub(crate) fn resize(&self, capacity: usize) -> io::Result<()> {
        fcntl_setpipe_size(&self.0, capacity)?;
        Ok(())
    }

    /// Marks the FIFO itself, which needs no room in it: its writer ended in order. The mark is a
    /// missing write permission, which open ends do not need.
    pub(crate) fn mark_ended(&self) -> io::Result<()> {
        Ok(fchmod(&self.0, Mode::RUSR)?)
    }

    /// True if the writer has marked that it ended in order.
    pub(crate) fn is_marked_ended(&self) -> bool {
        fstat(&self.0).is_ok_and(|stat| !Mode::from_raw_mode(stat.st_mode).contains(Mode::WUSR))
    }

    /// What a reactor registers.
    pub(crate) fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The size of a page of a FIFO, in bytes.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// A monotonic time in steps of some milliseconds. It costs a fifth of an exact one.
pub(crate) fn rough_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::MonotonicCoarse)).unwrap_or_default()
}

/// The largest size of a FIFO of an unprivileged user, in bytes.
pub(crate) fn largest() -> usize {
    const USUAL: usize = 1 << 20;
    let limit = std::fs::read_to_string("/proc/sys/fs/pipe-max-size");
    limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL)
}
