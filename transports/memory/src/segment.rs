use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::{Error, ErrorKind, Operation, Result};

use crate::attach::{Attach, Path, Plan, Repair};
use crate::attachment::Attachment;
use crate::header::{Header, LPSZ, PERSIST, check_size};
use crate::region::Region;
use crate::sys::{self, Fd, Map, WakeFifo};

/// A handle of named memory, which lives until its last holder leaves, or until it is removed if it
/// persists. Dropping it detaches.
#[derive(Debug)]
pub struct Segment {
    map: Arc<Map>,
    attachment: Attachment,
    header: Header,
    /// The participant slots that this handle has locked: the kernel does not show an open file its
    /// own locks.
    own_slots: Mutex<BTreeSet<u32>>,
}

impl Segment {
    /// The name, as its address has it.
    pub fn name(&self) -> &str {
        self.header.name.as_str()
    }

    pub(crate) fn new(map: Map, mut attachment: Attachment, header: Header) -> Self {
        let map = Arc::new(map);
        attachment.header = Some(Region::header(&map));
        Self { map, attachment, header, own_slots: Mutex::default() }
    }

    /// Makes the memory.
    ///
    /// # Errors
    /// `Exists` if memory of the name is alive, `OutOfMemory`, `Corrupt`, `Busy`, …
    pub fn create(path: Path<'_>, plan: Plan<'_>) -> Result<Self> {
        check_size(plan.size, path.operation)?;
        let exists = |_: &Header| Err(Error::new(path.operation, ErrorKind::Exists));
        Attach::new(path, &|_| Ok(())).run(Some(plan), exists).map(|(segment, _)| segment)
    }

    /// Attaches to live memory. `repair` runs before any process is attached to persistent memory
    /// without holders.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` for memory of another kind, `Corrupt`, `Busy`, those of `repair`, …
    pub fn open(path: Path<'_>, repair: Repair<'_>) -> Result<Self> {
        Attach::new(path, repair).run(None, |_| Ok(())).map(|(segment, _)| segment)
    }

    /// Attaches to live memory of any size, or makes it. True if it was made.
    ///
    /// # Errors
    /// As `open`; `OutOfMemory`.
    pub fn open_or_create(
        path: Path<'_>,
        plan: Plan<'_>,
        repair: Repair<'_>,
    ) -> Result<(Self, bool)> {
        check_size(plan.size, path.operation)?;
        Attach::new(path, repair).run(Some(plan), |_| Ok(()))
    }

    /// Detaches. The memory is released in any case, also on an error.
    ///
    /// # Errors
    /// `StatFailed` if the object's status cannot be read, as when its file was removed or
    /// replaced; `Forked`.
    pub fn close(self) -> Result<()> {
        self.check(Operation::Close)?;
        let Self { map, mut attachment, .. } = self;
        drop(map);
        attachment.detach()
    }

    /// Detaches from memory that persists, and removes it if no other process holds it and `unused`
    /// returns true. For a creation that fails after the memory was made. No process can attach
    /// while `unused` runs.
    pub fn discard(mut self, unused: impl FnOnce(&Region) -> bool) {
        let region = self.region();
        self.attachment.discard(|| unused(&region));
    }

    /// Bytes of contents, as planned.
    #[expect(clippy::len_without_is_empty, reason = "it has 1 byte or more")]
    pub fn len(&self) -> usize {
        self.header.size
    }

    /// True if it stays without holders.
    pub fn persists(&self) -> bool {
        self.header.flags & PERSIST != 0
    }

    /// True if it was made to hold a text and a NUL.
    pub fn is_lpsz(&self) -> bool {
        self.header.flags & LPSZ != 0
    }

    /// The contents: whole pages.
    pub fn region(&self) -> Region {
        Region::contents(&self.map)
    }

    /// 128 bytes beside the contents for control words of its users; zero when it is made.
    pub fn control(&self) -> Region {
        Region::control(&self.map)
    }

    /// The header's page.
    pub(crate) fn header(&self) -> Region {
        Region::header(&self.map)
    }

    /// The first byte of contents, page-aligned.
    pub fn as_ptr(&self) -> *mut u8 {
        // In bounds: the mapping has the header's page and at least one more.
        self.map.as_ptr().wrapping_add(sys::page_size())
    }

    /// The fork generation in which it was attached: in another one it is not mapped.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.attachment.generation
    }

    /// `Forked` in a child of the process that attached.
    #[inline]
    pub fn check(&self, operation: Operation) -> Result<()> {
        sys::check_generation(self.generation(), operation)
    }

    /// Checks, once a second at most, that the name still stands for this memory. For handles that
    /// wait: other processes may use new memory of the same name.
    ///
    /// # Errors
    /// `Removed` if it does not, from each check that finds it so.
    pub fn check_named(&self, operation: Operation) -> Result<()> {
        self.attachment.check_named(operation)
    }

    /// As [`check_named`](Self::check_named), for memory with several handles: once a check found
    /// it so, every call reports it.
    ///
    /// # Errors
    /// `Removed`.
    pub fn insist_named(&self, operation: Operation) -> Result<()> {
        self.attachment.insist_named(operation)
    }

    /// The same without a check of its own, at the cost of a load: `Removed` if one found it so.
    ///
    /// # Errors
    /// `Removed`.
    #[inline]
    pub fn recall_named(&self, operation: Operation) -> Result<()> {
        self.attachment.recall_named(operation)
    }

    /// Creates a wake FIFO that belongs to the memory: it is removed with the memory's file, at the
    /// latest.
    ///
    /// # Errors
    /// `Unsupported` for a kind of memory without companions, and those of the system.
    pub fn make_wake_fifo(&self, number: u32, operation: Operation) -> Result<WakeFifo> {
        let name = self.attachment.companion(number).ok_or_else(|| {
            Error::new(operation, ErrorKind::Unsupported)
                .because("this kind of memory has no companions")
        })?;
        self.attachment.note_companions();
        WakeFifo::make(&self.attachment.dir, &name)
            .map_err(|error| Error::io(operation, "making a wake FIFO", error))
    }

    /// The wake FIFO with this number, to wake its reader.
    pub fn open_wake_fifo(&self, number: u32) -> Option<WakeFifo> {
        WakeFifo::open(&self.attachment.dir, &self.attachment.companion(number)?).ok()
    }

    /// Removes a wake FIFO's name.
    pub fn remove_wake_fifo(&self, number: u32) {
        if let Some(name) = self.attachment.companion(number) {
            let _ = self.attachment.dir.unlink(&name);
        }
    }

    /// The open file, for further locks.
    pub fn fd(&self) -> &Fd {
        &self.attachment.fd
    }

    /// What the kernel does to a killed process: closes its files.
    #[cfg(test)]
    pub(crate) fn abandon(mut self) {
        self.attachment.has_left = true;
    }

    pub(crate) fn own_slots(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.own_slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
