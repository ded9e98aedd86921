use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

use crate::header::{PERSIST, check_size};
use crate::kind::Kind;
use crate::region::Region;
use crate::segment::{Attach, New, Segment};
use crate::sys::{Dir, Fd, WakeFifo, check_generation};

/// Named memory to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Bytes of contents, 1 or more.
    pub size: usize,
    /// It stays when nobody holds it.
    pub persist: bool,
    /// The first contents, each piece at its offset; the rest is zero. Nobody sees the memory before they are in.
    pub contents: &'a [(usize, &'a [u8])],
}

/// How to reach named memory.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    /// Where it lies.
    pub dir: &'a Arc<Dir>,
    /// Whose it is.
    pub kind: &'static Kind,
    /// Its name.
    pub name: &'a Name,
    /// How long to wait for memory that is being made or reclaimed.
    pub patience: Duration,
    /// What errors say.
    pub operation: Operation,
}

/// A named piece of memory of another transport than `shm://`, alive until its last holder leaves, or until it is
/// removed if it persists. The rules of attaching are those of blocks. Dropping it detaches.
#[derive(Debug)]
pub struct Memory {
    segment: Segment,
    /// The seats of this process, see [`ParticipantSlot`](crate::ParticipantSlot).
    seats: Mutex<BTreeSet<u32>>,
}

impl Memory {
    fn new(segment: Segment) -> Self {
        Self { segment, seats: Mutex::default() }
    }

    /// Attaches to the memory. `repair` runs before anyone is attached to persistent memory that nobody holds.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` for memory of another kind, `Corrupt`, `Busy`, whatever `repair` says, …
    pub fn open(path: Path<'_>, repair: &dyn Fn(&Region) -> Result<()>) -> Result<Self> {
        let (segment, _) = attach(path).with_repair(repair).run(None, |_| Ok(()))?;
        Ok(Self::new(segment))
    }

    /// Attaches to the memory, or makes it. True if it was made.
    ///
    /// # Errors
    /// As `open`; `OutOfMemory`.
    pub fn open_or_create(
        path: Path<'_>,
        plan: Plan<'_>,
        repair: &dyn Fn(&Region) -> Result<()>,
    ) -> Result<(Self, bool)> {
        check_size(plan.size, path.operation)?;
        let flags = if plan.persist { PERSIST } else { 0 };
        let new = New { size: plan.size, flags, contents: plan.contents };
        let (segment, made) = attach(path).with_repair(repair).run(Some(new), |_| Ok(()))?;
        Ok((Self::new(segment), made))
    }

    /// Detaches. The memory is released whatever the result.
    ///
    /// # Errors
    /// `StatFailed` if the object's status cannot be read, as when its file was removed or replaced.
    pub fn close(self) -> Result<()> {
        self.segment.close()
    }

    /// Detaches from memory that persists, and removes it if nobody else holds it and `unused` says
    /// so. For a creation that fails when its memory has been made. `unused` runs while nobody can
    /// attach.
    pub fn discard(self, unused: impl FnOnce(&Region) -> bool) {
        self.segment.discard(unused);
    }

    /// Bytes of contents, as planned.
    #[expect(clippy::len_without_is_empty, reason = "it has 1 byte or more")]
    pub fn len(&self) -> usize {
        self.segment.header().size
    }

    /// Whether it stays when nobody holds it.
    pub fn persists(&self) -> bool {
        self.segment.header().flags & PERSIST != 0
    }

    /// The contents.
    pub fn region(&self) -> Region {
        self.segment.region()
    }

    /// The fork generation in which it was attached: in another one it is not mapped.
    pub fn generation(&self) -> u32 {
        self.segment.generation()
    }

    /// `Forked` in a child of the process that attached.
    #[inline]
    pub fn check(&self, operation: Operation) -> Result<()> {
        check_generation(self.segment.generation(), operation)
    }

    /// Looks, once a second at most, whether the name still means this memory. For handles that wait: others may meet
    /// at new memory of the same name.
    ///
    /// # Errors
    /// `Removed` if it does not: each look that finds it so tells.
    pub fn check_named(&self, operation: Operation) -> Result<()> {
        self.segment.check_named(operation)
    }

    /// As [`check_named`](Self::check_named), for memory with several handles: once it was found, it is told at every
    /// call.
    ///
    /// # Errors
    /// `Removed`.
    pub fn insist_named(&self, operation: Operation) -> Result<()> {
        self.segment.insist_named(operation)
    }

    /// The same without a look of its own, at the cost of a load: `Removed` if one found it so.
    ///
    /// # Errors
    /// `Removed`.
    #[inline]
    pub fn recall_named(&self, operation: Operation) -> Result<()> {
        self.segment.recall_named(operation)
    }

    /// Hangs up a bell that belongs to the memory: its file is removed with the memory's, at the latest.
    pub fn make_bell(&self, number: u32, operation: Operation) -> Result<WakeFifo> {
        let name = self.companion(number, operation)?;
        self.segment.expect_companions();
        WakeFifo::make(self.segment.dir(), &name)
            .map_err(|error| Error::io(operation, "making a bell", error))
    }

    /// The bell with this number, to ring it.
    pub fn open_bell(&self, number: u32) -> Option<WakeFifo> {
        WakeFifo::open(self.segment.dir(), &self.segment.companion(number)?).ok()
    }

    /// Takes a bell's name away.
    pub fn remove_bell(&self, number: u32) {
        if let Some(name) = self.segment.companion(number) {
            let _ = self.segment.dir().unlink(&name);
        }
    }

    fn companion(&self, number: u32, operation: Operation) -> Result<String> {
        self.segment.companion(number).ok_or_else(|| {
            Error::new(operation, ErrorKind::Unsupported)
                .because("this kind of memory has no companions")
        })
    }

    pub(crate) fn fd(&self) -> &Fd {
        self.segment.fd()
    }

    pub(crate) fn seats(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attach(path: Path<'_>) -> Attach<'_> {
    Attach::new(path.dir, path.kind, path.name, path.patience, path.operation)
}
