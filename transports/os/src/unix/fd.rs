use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{fstatvfs, ftruncate};
use rustix::io::{Errno, pread, pwrite, retry_on_intr as retry};
use rustix::process::{Resource, getrlimit};

use super::fork::{self, NoFork, generation};
use super::system::{self, device};
use crate::{FileId, FileKind, Status};

/// Bytes that one call reserves, which takes the kernel about a millisecond.
const PIECE: u64 = 4 << 20;
/// The same after many signals: at most one page.
const SMALLEST_PIECE: u64 = 64 << 10;

/// An owned descriptor that a forked child does not inherit.
#[derive(Debug)]
pub struct Fd {
    fd: ManuallyDrop<OwnedFd>,
    generation: u32,
}

impl Fd {
    /// Takes a descriptor over. Prefer [`Fd::make`]: a fork between opening and this call leaks it.
    pub fn new(fd: OwnedFd) -> Self {
        // A failure was reported when the `Dir` was opened, which comes first.
        let _ = fork::register();
        let _no_fork = NoFork::new();
        fork::enter(fd.as_raw_fd());
        Self { fd: ManuallyDrop::new(fd), generation: generation() }
    }

    /// Opens and takes over, with no fork in between. `open` sets `CLOEXEC` and does not block.
    pub fn make(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        fork::register()?;
        let _no_fork = NoFork::new();
        open().map(Self::new)
    }

    /// False in a forked child, where the number may already be another file's.
    pub fn is_ours(&self) -> bool {
        self.generation == generation()
    }

    /// Its kind, owner and size.
    pub fn status(&self) -> io::Result<Status> {
        Ok(status(&rustix::fs::fstat(self)?))
    }

    /// Sets the size and reserves the space, so that a full disk is an error here and no signal
    /// later.
    ///
    /// A signal makes the kernel give up a piece, with all work on it: then pieces become smaller,
    /// until one fits between two signals. `TimedOut` if a signal comes after `timeout`.
    pub fn reserve(&self, len: usize, timeout: Duration) -> io::Result<()> {
        let len = possible(len as u64)?;
        // Checked before the first piece: a file that does not fit must not take the room from
        // others meanwhile. A file system without blocks has no limit.
        let room = fstatvfs(self)?;
        if room.f_blocks > 0 && len > room.f_bfree.saturating_mul(room.f_frsize) {
            return Err(Errno::NOSPC.into());
        }
        let (mut done, mut piece, start) = (0, PIECE, Instant::now());
        while done < len {
            match system::allocate(self, done, piece.min(len - done)) {
                Ok(()) => {
                    done += piece.min(len - done);
                    piece = (piece * 2).min(PIECE);
                }
                Err(Errno::INTR) if start.elapsed() > timeout => {
                    let why = format!(
                        "signals interrupted it for {timeout:?}; try a longer timeout=, or fewer \
                         signals"
                    );
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
                Err(Errno::INTR) => piece = (piece / 2).max(SMALLEST_PIECE),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes a file longer, without memory for that.
    pub fn lengthen(&self, len: usize) -> io::Result<()> {
        let len = possible(len as u64)?;
        Ok(retry(|| ftruncate(self, len))?)
    }

    /// Reads up to the buffer's end or the file's.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match retry(|| pread(self, &mut *rest, offset + done as u64))? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// Writes all bytes.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        possible(offset.saturating_add(bytes.len() as u64))?;
        while !bytes.is_empty() {
            match retry(|| pwrite(self, bytes, offset))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // In a child the handler has closed it, and the number may already be another file's.
        if self.is_ours() {
            let _no_fork = NoFork::new();
            fork::leave(self.fd.as_raw_fd());
            // SAFETY: dropped here and never touched again.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}

/// A file's length for the kernel. A length beyond any file is `StorageFull`. Past the process's
/// own limit the kernel would send SIGXFSZ, which kills.
fn possible(len: u64) -> io::Result<u64> {
    let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
    if len <= limit.min(i64::MAX as u64) {
        return Ok(len);
    }
    let why = format!(
        "{len} bytes are more than a file of this process may have; raise its limit of {limit} \
         (ulimit -f)"
    );
    Err(io::Error::new(io::ErrorKind::FileTooLarge, why))
}

pub(super) fn status(stat: &rustix::fs::Stat) -> Status {
    use rustix::fs::FileType;
    Status {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            _ => FileKind::Other,
        },
        ours: stat.st_uid == rustix::process::geteuid().as_raw(),
        private: stat.st_mode & 0o077 == 0,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        id: id(stat),
    }
}

pub(super) fn id(stat: &rustix::fs::Stat) -> FileId {
    FileId { device: device(stat), inode: stat.st_ino }
}
