use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, read, write};

use super::dir::Dir;
use super::fd::Fd;
use super::system::make_fifo;
use crate::FileKind;

/// A FIFO in the private directory that others ring to make its owner's reactor look: readable once
/// rung.
#[derive(Debug)]
pub struct WakeFifo(Fd);

impl WakeFifo {
    /// Hangs up a bell at a name; what hung there before is taken down. The name stays when the
    /// bell is dropped.
    pub fn make(dir: &Dir, name: &str) -> io::Result<Self> {
        match dir.unlink(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        make_fifo(dir, name)?;
        Self::open(dir, name)
    }

    /// The bell that hangs at a name, to ring it.
    pub fn open(dir: &Dir, name: &str) -> io::Result<Self> {
        // For reading too: then opening waits for nobody, and ringing without a listener is no
        // signal.
        let fd = dir.open_file(name)?;
        if fd.status()?.kind != FileKind::Fifo {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self(fd))
    }

    /// Rings. A full bell has been rung enough.
    pub fn wake(&self) {
        let _ = write(&self.0, &[1]);
    }

    /// Silences it; true if it had been rung. More than a FIFO holds is left: who never stops
    /// ringing must not hold us.
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
