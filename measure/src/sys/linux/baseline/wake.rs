//! How a side of a ring sleeps, and how the other one wakes it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::thread::futex;

/// Each side has a sleep word: 1 while it sleeps or is about to. The side that sets it back to 0
/// wakes it.
#[derive(Debug)]
pub(super) enum Wake {
    /// Neither side sleeps.
    None,
    /// Through the sleep word itself.
    Futex,
    /// Sleeps on `own`, wakes the other side through `other`.
    Eventfd { own: OwnedFd, other: OwnedFd },
}

impl Wake {
    /// Wakes the other side if it sleeps. Call it after a publication.
    #[inline]
    pub(super) fn wake(&self, other_sleeps: &AtomicU32) -> io::Result<()> {
        if matches!(self, Self::None) {
            return Ok(());
        }
        // SeqCst pairs with the fence in `sleep`: either that side sees the publication, or this
        // one sees its sleep word.
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

    /// Sleeps until the other side wakes this one, unless `ready` already. May return early.
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
            Self::Eventfd { own, .. } => {
                let mut count = [0; 8];
                retry_on_intr(|| read(own, &mut count))?;
                Ok(())
            }
        }
    }
}
