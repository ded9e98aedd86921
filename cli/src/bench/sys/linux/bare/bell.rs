//! How a side of a ring sleeps, and how the other one wakes it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::thread::futex;

/// A side sleeps only while its word is 1, and who sets it back wakes it.
#[derive(Debug)]
pub(super) enum Bell {
    /// Nobody sleeps.
    None,
    /// Sleeps on the word itself.
    Futex,
    /// Sleeps on the first one, wakes through the second.
    Eventfd { mine: OwnedFd, other: OwnedFd },
}

impl Bell {
    /// To be called after a publication: wakes the other side if it sleeps.
    #[inline]
    pub(super) fn ring(&self, other_sleeps: &AtomicU32) -> io::Result<()> {
        if matches!(self, Self::None) {
            return Ok(());
        }
        fence(Ordering::SeqCst);
        if other_sleeps.load(Ordering::Relaxed) == 0 || other_sleeps.swap(0, Ordering::AcqRel) == 0
        {
            return Ok(());
        }
        match self {
            Self::None => {}
            Self::Futex => drop(futex::wake(other_sleeps, futex::Flags::empty(), 1)?),
            Self::Eventfd { other, .. } => drop(write(other, &1u64.to_ne_bytes())?),
        }
        Ok(())
    }

    /// Sleeps until the other side rings, unless there is something already. May wake for nothing.
    pub(super) fn sleep(&self, sleeps: &AtomicU32, ready: impl Fn() -> bool) -> io::Result<()> {
        sleeps.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if ready() {
            sleeps.store(0, Ordering::Relaxed);
            return Ok(());
        }
        match self {
            Self::None => Ok(()),
            Self::Futex => match futex::wait(sleeps, futex::Flags::empty(), 1, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Self::Eventfd { mine, .. } => {
                let mut count = [0; 8];
                retry_on_intr(|| read(mine, &mut count))?;
                Ok(())
            }
        }
    }
}
