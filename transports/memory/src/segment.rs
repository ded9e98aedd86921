//! Attaching to a named piece of shared memory, and leaving it.
//!
//! Attached means holding a shared `flock` on the segment's own file, so that the kernel tells who lives,
//! after any crash. A file that nobody holds is what a crash left behind: the next one who comes removes
//! it. Whoever holds the lock leaves by [`Held::detach`] and in no other way.
//!
//! Only a whole segment of this layout is ever removed. Everything else at the path (a damaged file, another
//! version's, another user's, a directory, a FIFO, a link) is an error that names the path, and stays: it
//! may be someone's, and no crash of ours leaves such a thing.

mod held;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

use crate::header::{COMPANIONS, Header, LPSZ, PERSIST, advice, check_size};
use crate::kind::{BLOCK, Kind, TEMPORARY};
use crate::region::Region;
use crate::sys::{self, Dir, Fd, FileKind, Lock, Map, hold, is_at, try_lock};
use held::Held;
pub(crate) use held::{clean, remove_companions};

/// A segment to be made.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// Bytes of contents, 1 or more.
    pub size: usize,
    /// `PERSIST`, `LPSZ`.
    pub flags: u32,
    /// The first contents, each piece at its offset; the rest is zero.
    pub contents: &'a [(usize, &'a [u8])],
}

/// Puts persistent memory right that nobody holds, whatever killed those who did.
pub(crate) type Repair<'a> = &'a dyn Fn(&Region) -> Result<()>;

impl<'a> New<'a> {
    /// A zeroed block.
    pub fn block(size: usize) -> Self {
        Self { size, flags: 0, contents: &[] }
    }

    /// A block that holds a text and a NUL.
    pub fn lpsz(text: &'a [(usize, &'a [u8])]) -> Self {
        let len = text.iter().fold(0usize, |len, (_, piece)| len.saturating_add(piece.len()));
        Self { size: len.saturating_add(1), flags: LPSZ, contents: text }
    }
}

/// A mapped segment. Dropping it detaches.
#[derive(Debug)]
pub struct Segment {
    map: Arc<Map>,
    held: Held,
    header: Header,
    generation: u32,
}

impl Segment {
    /// Makes the block; `Exists` if one of the name is alive.
    pub fn create(
        dir: &Arc<Dir>,
        name: &Name,
        new: New<'_>,
        timeout: Duration,
        op: Operation,
    ) -> Result<Self> {
        check_size(new.size, op)?;
        let attach = Attach::new(dir, &BLOCK, name, timeout, op);
        attach
            .run(Some(new), |_| Err(Error::new(op, ErrorKind::Exists)))
            .map(|(segment, _)| segment)
    }

    /// Attaches to a live block; `NotFound` if there is none.
    pub fn open(dir: &Arc<Dir>, name: &Name, timeout: Duration, op: Operation) -> Result<Self> {
        Attach::new(dir, &BLOCK, name, timeout, op)
            .run(None, |_| Ok(()))
            .map(|(segment, _)| segment)
    }

    /// Attaches to the live block of this size, or makes it. True if it was made.
    pub fn open_or_create(
        dir: &Arc<Dir>,
        name: &Name,
        new: New<'_>,
        timeout: Duration,
        op: Operation,
    ) -> Result<(Self, bool)> {
        check_size(new.size, op)?;
        Attach::new(dir, &BLOCK, name, timeout, op)
            .run(Some(new), |header| header.check_size(new.size, op))
    }

    /// Detaches. The segment is released whatever the result.
    ///
    /// # Errors
    /// `StatFailed` if the object's status cannot be read, as when its file was removed or replaced.
    pub fn close(self) -> Result<()> {
        sys::check_generation(self.generation, Operation::Close)?;
        let Self { map, mut held, .. } = self;
        drop(map);
        held.detach()
    }

    /// Detaches from a segment that persists, and removes it if nobody else holds it and `unused`
    /// says so.
    pub fn discard(mut self, unused: impl FnOnce(&Region) -> bool) {
        let region = self.region();
        self.held.discard(|| unused(&region));
    }

    /// Looks, once a second at most, whether the name still means this segment; `Removed` if not.
    pub fn check_named(&self, op: Operation) -> Result<()> {
        self.held.check_named(op)
    }

    /// The same, and `Removed` at every call since a look found it so.
    pub fn insist_named(&self, op: Operation) -> Result<()> {
        self.held.insist_named(op)
    }

    /// The same without a look of its own: `Removed` if one found it so.
    pub fn recall_named(&self, op: Operation) -> Result<()> {
        self.held.recall_named(op)
    }

    /// The contents, shared.
    pub fn region(&self) -> Region {
        Region::contents(&self.map)
    }

    /// From now on whoever removes the file removes its companions, too.
    pub fn expect_companions(&self) {
        companions(&self.map).store(1, Relaxed);
    }

    /// The file of a companion.
    pub fn companion(&self, number: u32) -> Option<String> {
        self.held.companion(number)
    }

    /// The directory in which its file lies.
    pub fn dir(&self) -> &Arc<Dir> {
        &self.held.dir
    }

    /// The first byte of contents; page-aligned.
    pub fn contents(&self) -> *mut u8 {
        // In bounds: the mapping has the header's page and at least one more.
        self.map.as_ptr().wrapping_add(sys::page_size())
    }

    /// The first byte of the header's page.
    pub fn page(&self) -> *mut u8 {
        self.map.as_ptr()
    }

    /// What the file said when it was opened or made.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The fork generation in which it was attached.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The open file, for the writers' lock.
    pub fn fd(&self) -> &Fd {
        &self.held.fd
    }
}

impl Header {
    /// `Mismatch` unless the segment has `size` bytes.
    pub fn check_size(&self, size: usize, op: Operation) -> Result<()> {
        if self.size == size {
            return Ok(());
        }
        Err(Error::new(op, ErrorKind::Mismatch)
            .because(format!("size={size} was asked for, but the block has {} bytes", self.size)))
    }
}

/// The word that says whether there are companions.
fn companions(map: &Map) -> &AtomicU32 {
    // SAFETY: aligned and inside the header's page, behind the header; mapped as long as `map`, and used as an
    // atomic only.
    unsafe { &*map.as_ptr().add(COMPANIONS).cast() }
}

enum Found {
    Absent,
    /// Between two states: look again.
    Changing,
    Live(Held, Header),
}

/// One call of create, open or both.
pub(crate) struct Attach<'a> {
    dir: &'a Arc<Dir>,
    kind: &'static Kind,
    name: &'a Name,
    file: String,
    op: Operation,
    timeout: Duration,
    repair: Option<Repair<'a>>,
}

impl<'a> Attach<'a> {
    pub(crate) fn new(
        dir: &'a Arc<Dir>,
        kind: &'static Kind,
        name: &'a Name,
        timeout: Duration,
        op: Operation,
    ) -> Self {
        Self { dir, kind, name, file: kind.file(name), op, timeout, repair: None }
    }

    /// What to do with persistent memory that nobody holds.
    pub(crate) fn with_repair(self, repair: Repair<'a>) -> Self {
        Self { repair: Some(repair), ..self }
    }

    /// `accept` says whether a live segment will do; `new` is what to make where there is none.
    pub(crate) fn run(
        &self,
        new: Option<New<'_>>,
        accept: impl Fn(&Header) -> Result<()>,
    ) -> Result<(Segment, bool)> {
        let start = Instant::now();
        let mut rounds = 0u32;
        loop {
            match (self.find()?, new) {
                (Found::Live(held, header), _) => {
                    self.check_name(&header)?;
                    accept(&header)?;
                    return Ok((self.map(held, header)?, false));
                }
                (Found::Absent, None) => return Err(Error::new(self.op, ErrorKind::NotFound)),
                (Found::Absent, Some(new)) => {
                    if let Some(segment) = self.make(new)? {
                        return Ok((segment, true));
                    }
                }
                (Found::Changing, _) => {}
            }
            // The others need a few system calls; whoever was stopped in between needs longer.
            rounds += 1;
            if rounds < 20 {
                std::thread::yield_now();
            } else if start.elapsed() < self.timeout {
                std::thread::sleep(Duration::from_millis(1));
            } else {
                return Err(Error::new(self.op, ErrorKind::Busy).because(format!(
                    "{} is being created or reclaimed by others all the time",
                    self.path()
                )));
            }
        }
    }

    fn find(&self) -> Result<Found> {
        let fd = match self.dir.open_file(&self.file) {
            Ok(fd) => fd,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(self.refused(error)),
        };
        let unread = |e| self.failed("reading the status of", e);
        let status = fd.status().map_err(unread)?;
        if status.kind != FileKind::Regular {
            return Err(self.foreign(ErrorKind::Corrupt, status.kind.as_str()));
        }
        if !status.ours {
            return Err(self.foreign(ErrorKind::PermissionDenied, "another user's file"));
        }
        let lock = |lock| try_lock(&fd, lock).map_err(|e| self.failed("locking", e));
        let exclusive = lock(Lock::Exclusive)?;
        if exclusive {
            // Nobody lives there.
            if !is_at(self.dir, &self.file, status.id).map_err(unread)? {
                return Ok(Found::Changing);
            }
            let header =
                Header::read(&fd, self.kind).map_err(|bad| bad.error(self.op, &self.path()))?;
            if header.flags & PERSIST == 0 {
                held::remove(self.dir, self.kind, &self.file, &fd)
                    .map_err(|e| self.failed("removing the stale", e))?;
                return Ok(Found::Changing);
            }
            if let Some(repair) = self.repair {
                repair(&Region::contents(&Arc::new(self.map_file(&fd, &header)?)))?;
            }
        }
        // Also after the exclusive lock: going down to the shared one lets go for an instant.
        if !lock(Lock::Shared)? {
            return Ok(Found::Changing);
        }
        hold(&fd).map_err(|e| self.failed("locking", e))?;
        let mut held = Held::new(self.dir, self.kind, &self.file, fd, status.id);
        if !held.is_named().map_err(unread)? {
            return Ok(Found::Changing);
        }
        match Header::read(&held.fd, self.kind) {
            Ok(header) => {
                held.removes = header.flags & PERSIST == 0;
                Ok(Found::Live(held, header))
            }
            Err(bad) => {
                // Someone damaged it while it was held: the last one to leave takes it away, as ever.
                held.removes = bad.ours;
                Err(bad.error(self.op, &self.path()))
            }
        }
    }

    /// Makes the segment in full, then gives it its name; `None` if someone else was faster.
    fn make(&self, new: New<'_>) -> Result<Option<Segment>> {
        // No `O_TMPFILE` on this file system; or a full one, which the other way reports as well.
        let Ok(fd) = self.dir.nameless_file() else { return self.make_temporary(new) };
        let segment = self.fill(fd, new)?;
        match self.dir.link_nameless(segment.fd(), &self.file) {
            Ok(()) => Ok(Some(segment)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            // No `/proc`.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                drop(segment);
                self.make_temporary(new)
            }
            Err(error) => Err(self.failed("naming", error)),
        }
    }

    /// The same with a temporary name, which a sweep knows by its free lock if we die here.
    fn make_temporary(&self, new: New<'_>) -> Result<Option<Segment>> {
        let name = temporary_name(self.kind.prefix);
        let fd = self.dir.create_file(&name).map_err(|e| self.failed("making", e))?;
        let _name = TemporaryName { dir: self.dir, name: &name };
        let segment = match try_lock(&fd, Lock::Shared) {
            Ok(true) => self.fill(fd, new)?,
            // A sweep was here.
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.failed("locking", error)),
        };
        match self.dir.link(&name, &self.file) {
            Ok(()) => Ok(Some(segment)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            // A sweep was here before we had the lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("naming", error)),
        }
    }

    /// Takes the lock, reserves the space, writes header and contents, and maps.
    fn fill(&self, fd: Fd, new: New<'_>) -> Result<Segment> {
        let locked = try_lock(&fd, Lock::Shared).and_then(|locked| hold(&fd).map(|()| locked));
        if !locked.map_err(|e| self.failed("locking", e))? {
            return Err(self.failed("locking", io::ErrorKind::ResourceBusy.into()));
        }
        let header = Header { name: self.name.clone(), size: new.size, flags: new.flags };
        let bytes = check_size(new.size, self.op)?;
        fd.reserve(bytes, self.timeout)
            .map_err(|e| self.failed(&format!("reserving {bytes} bytes for"), e))?;
        let write =
            |(at, piece): &(usize, &[u8])| fd.write_all_at(piece, (sys::page_size() + at) as u64);
        header
            .write(&fd, self.kind)
            .and_then(|()| new.contents.iter().try_for_each(write))
            .map_err(|e| self.failed("writing", e))?;
        let id = fd.status().map_err(|e| self.failed("reading the status of", e))?.id;
        let mut held = Held::new(self.dir, self.kind, &self.file, fd, id);
        held.removes = new.flags & PERSIST == 0;
        self.map(held, header)
    }

    fn map(&self, mut held: Held, header: Header) -> Result<Segment> {
        let map = Arc::new(self.map_file(&held.fd, &header)?);
        let generation = held.generation;
        held.map = Some(Arc::clone(&map));
        Ok(Segment { map, held, header, generation })
    }

    fn map_file(&self, fd: &Fd, header: &Header) -> Result<Map> {
        let bytes = check_size(header.size, self.op)?;
        Map::new(fd, bytes).map_err(|e| self.failed(&format!("mapping {bytes} bytes of"), e))
    }

    fn check_name(&self, header: &Header) -> Result<()> {
        if header.name == *self.name {
            return Ok(());
        }
        Err(Error::new(self.op, ErrorKind::NameCollision).because(format!(
            "{} belongs to the name {:?}, whose hash is the same; choose another name",
            self.path(),
            header.name
        )))
    }

    fn path(&self) -> String {
        self.dir.path().join(&self.file).display().to_string()
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        Error::io(self.op, &format!("{what} {}", self.path()), error)
    }

    /// The error for a file that does not open.
    fn refused(&self, error: io::Error) -> Error {
        match self.dir.stat(&self.file) {
            Ok(there) if there.kind != FileKind::Regular => {
                self.foreign(ErrorKind::Corrupt, there.kind.as_str())
            }
            Ok(there) if !there.ours => {
                self.foreign(ErrorKind::PermissionDenied, "another user's file")
            }
            _ => self.failed("opening", error),
        }
    }

    fn foreign(&self, kind: ErrorKind, what: &str) -> Error {
        let path = self.path();
        Error::new(self.op, kind)
            .because(format!("{path}: {what} is in the way; {}", advice(&path)))
    }
}

/// Takes the name away when it has served.
struct TemporaryName<'a> {
    dir: &'a Dir,
    name: &'a str,
}

impl Drop for TemporaryName<'_> {
    fn drop(&mut self) {
        let _ = self.dir.unlink(self.name);
    }
}

/// A file name that no other process or thread makes.
fn temporary_name(prefix: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Relaxed);
    // The random keys of two processes differ, and so do two counts of one process.
    let random = RandomState::new().hash_one((std::process::id(), count));
    format!("{prefix}{random:016x}-{count:x}{TEMPORARY}")
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
