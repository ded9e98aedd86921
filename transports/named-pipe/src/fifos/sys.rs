//! Linux: FIFOs, which can be opened for reading and writing at once, resized, and asked who is at the other end.

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
    /// Makes a FIFO of this name; `AlreadyExists` if something stands there.
    pub(crate) fn make(dir: &Dir, name: &str) -> io::Result<()> {
        mknodat(dir, name, FileType::Fifo, OWN, 0)?;
        // The umask may have taken bits away.
        Ok(chmodat(dir, name, OWN, AtFlags::empty())?)
    }

    /// The reading end. It hears of the end of all writers.
    pub(crate) fn reader(dir: &Dir, name: &str) -> io::Result<Self> {
        Self::end(dir, name, OFlags::RDONLY)
    }

    /// A writing end that reads, too: as long as it is open the FIFO has a reader, so no write is a signal.
    pub(crate) fn writer(dir: &Dir, name: &str) -> io::Result<Self> {
        Self::end(dir, name, OFlags::RDWR)
    }

    /// A writing end to watch the reader by, never to write to. `NotFound`: nobody reads, or there is no FIFO.
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
            // A directory or a link: whatever it is, it is no FIFO.
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

    /// The descriptor, to lock the FIFO by.
    pub(crate) fn fd(&self) -> &Fd {
        &self.0
    }

    /// Writes as much as there is room for; up to 4096 bytes whole or not at all.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.0, bytes)?)
    }

    /// As [`write`](Self::write), two pieces in one call.
    pub(crate) fn write_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::writev(&self.0, &[IoSlice::new(first), IoSlice::new(second)])?)
    }

    /// Reads what is there. 0: nobody writes (any more, or yet).
    pub(crate) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, bytes)?)
    }

    /// How many bytes were written and not read yet.
    pub(crate) fn unread(&self) -> io::Result<usize> {
        Ok(usize::try_from(ioctl_fionread(&self.0)?).unwrap_or(usize::MAX))
    }

    /// Whether there was someone at the other end and is no more.
    pub(crate) fn hung_up(&self) -> bool {
        self.shows(PollFlags::HUP | PollFlags::ERR)
    }

    fn shows(&self, flags: PollFlags) -> bool {
        let mut fds = [PollFd::new(&self.0, flags)];
        let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        matches!(polled, Ok(1..)) && fds.iter().any(|fd| fd.revents().intersects(flags))
    }

    /// How many bytes it holds at most.
    pub(crate) fn capacity(&self) -> io::Result<usize> {
        Ok(fcntl_getpipe_size(&self.0)?)
    }

    /// Makes it hold this many bytes, rounded up to a power of two of pages. `PermissionDenied`: above a limit
    /// of this user's; `ResourceBusy`: it holds more.
    pub(crate) fn resize(&self, capacity: usize) -> io::Result<()> {
        fcntl_setpipe_size(&self.0, capacity)?;
        Ok(())
    }

    /// Notes at the FIFO itself, where nothing is in the way of it, that its writer ended in order: the FIFO loses its
    /// permission to be written, which no open end needs.
    pub(crate) fn mark_ended(&self) -> io::Result<()> {
        Ok(fchmod(&self.0, Mode::RUSR)?)
    }

    /// True if the writer has noted that.
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

/// How many bytes of a FIFO are given and taken back as one.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// A time that goes on in steps of some milliseconds, and costs a fifth of an exact one.
pub(crate) fn rough_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::MonotonicCoarse)).unwrap_or_default()
}

/// The most that an unprivileged user's FIFO may be made to hold.
pub(crate) fn largest() -> usize {
    const USUAL: usize = 1 << 20;
    let limit = std::fs::read_to_string("/proc/sys/fs/pipe-max-size");
    limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL)
}
