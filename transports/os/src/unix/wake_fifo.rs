use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, read, write};

use super::dir::Dir;
use super::fd::Fd;
use super::system::make_fifo;
use crate::FileKind;

/// A FIFO in the private directory. A byte in it wakes the reactor of the task that made it.
#[derive(Debug)]
pub struct WakeFifo(Fd);

impl WakeFifo {
    /// What stands at its name.
    pub const KIND: FileKind = FileKind::Fifo;

    /// Creates the wake FIFO at this name, replacing an old one. The name stays when it is dropped.
    pub fn make(dir: &Dir, name: &str) -> io::Result<Self> {
        match dir.unlink(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        make_fifo(dir, name)?;
        Self::open(dir, name)
    }

    /// Opens the wake FIFO at a name, to wake its reader.
    pub fn open(dir: &Dir, name: &str) -> io::Result<Self> {
        // For reading too: then opening does not wait for a reader, and writing without a reader is
        // no signal.
        let fd = dir.open_file(name)?;
        if fd.status()?.kind != Self::KIND {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self(fd))
    }

    /// Makes it readable. A full FIFO is readable already.
    pub fn wake(&self) {
        let _ = write(&self.0, &[1]);
    }

    /// Takes its bytes; true if there were any. At most as much as a FIFO holds is taken: a process
    /// that never stops writing must not hold this thread.
    pub fn drain(&self) -> bool {
        let (mut rung, mut bytes) = (false, [0; 256]);
        for _ in 0..256 {
            match read(&self.0, &mut bytes) {
                Ok(0) => break,
                Ok(_) => rung = true,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        rung
    }
}

impl AsFd for WakeFifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
