//! Attaching to named memory.
//!
//! Attached means holding a shared lock on the segment's own file, so the kernel knows which
//! segments have holders, after any crash. A file without a holder was left by a crash: the next
//! process that comes removes it. A process that has the shared lock leaves by
//! [`Attachment::detach`] and in no other way.
//!
//! The steps, each of which is one system call in `tests/model.rs`:
//! 1. Open the file, without creating it. If it is absent, make it: an unpublished file, locked,
//!    written in full, then linked to the name. If the name is taken by then, start over.
//! 2. Try the exclusive lock. If it is free, no process is attached. Check that the name still
//!    stands for this file, else start over. Remove the file and start over; a persistent one is
//!    repaired instead.
//! 3. Take the shared lock. If that fails, the file is being reclaimed: start over.
//! 4. Check again that the name stands for this file; else detach and start over.
//!
//! Only a whole segment of this layout is ever removed. Everything else at the path (a damaged
//! file, another version's, another user's, a directory, a FIFO, a link) is an error that names the
//! path, and stays: it may be needed, and no crash of ours leaves such a thing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

use crate::attachment::{Attachment, remove, remove_companions};
use crate::header::{Header, LPSZ, PERSIST, advice, check_size};
use crate::kind::Kind;
use crate::region::Region;
use crate::segment::Segment;
use crate::sys::{
    self, Dir, Fd, FileKind, Lock, Map, Token, UNPUBLISHED, UnpublishedFile, hold, is_at, try_lock,
    unlock,
};

/// How to reach named memory.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    /// The directory.
    pub dir: &'a Arc<Dir>,
    /// The kind of memory.
    pub kind: &'static Kind,
    /// The name.
    pub name: &'a Name,
    /// How long to wait for memory that others make or reclaim.
    pub timeout: Duration,
    /// The operation in errors.
    pub operation: Operation,
}

/// Named memory to be made.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Bytes of contents, 1 or more.
    pub size: usize,
    /// The memory stays without holders.
    pub persist: bool,
    /// The contents are a text and a NUL.
    pub lpsz: bool,
    /// The first contents, each piece at its offset; the rest is zero. They are in before the
    /// memory has its name.
    pub contents: &'a [(usize, &'a [u8])],
}

impl<'a> Plan<'a> {
    /// Zeroed memory.
    pub fn zeroed(size: usize) -> Self {
        Self { size, persist: false, lpsz: false, contents: &[] }
    }

    /// Memory that holds a text, given in pieces, and a NUL.
    pub fn lpsz(text: &'a [(usize, &'a [u8])]) -> Self {
        let len = text.iter().fold(0usize, |len, (_, piece)| len.saturating_add(piece.len()));
        Self { size: len.saturating_add(1), persist: false, lpsz: true, contents: text }
    }

    fn flags(&self) -> u32 {
        (if self.persist { PERSIST } else { 0 }) | (if self.lpsz { LPSZ } else { 0 })
    }
}

/// Repairs persistent memory without holders, in any state that their deaths left it in.
pub type Repair<'a> = &'a dyn Fn(&Region) -> Result<()>;

/// One call of create, open or both.
pub(crate) struct Attach<'a> {
    path: Path<'a>,
    file: String,
    repair: Repair<'a>,
}

/// The state of the name.
enum Found {
    Absent,
    /// Between two states: look again.
    Changing,
    Live(Attachment, Header),
}

impl<'a> Attach<'a> {
    pub(crate) fn new(path: Path<'a>, repair: Repair<'a>) -> Self {
        Self { file: path.kind.file(path.name), path, repair }
    }

    /// Attaches to live memory that `accept` accepts; makes it by `plan` if it is absent. True if
    /// it was made.
    pub(crate) fn run(
        &self,
        plan: Option<Plan<'_>>,
        accept: impl Fn(&Header) -> Result<()>,
    ) -> Result<(Segment, bool)> {
        let start = Instant::now();
        let mut rounds = 0u32;
        loop {
            match (self.find()?, plan) {
                (Found::Live(attachment, header), _) => {
                    self.check_name(&header)?;
                    accept(&header)?;
                    return Ok((self.map(attachment, header)?, false));
                }
                (Found::Absent, None) => {
                    return Err(Error::new(self.path.operation, ErrorKind::NotFound));
                }
                (Found::Absent, Some(plan)) => {
                    if let Some(segment) = self.make(plan)? {
                        return Ok((segment, true));
                    }
                }
                (Found::Changing, _) => {}
            }
            // The others need a few system calls; a process that was stopped in between needs
            // longer.
            rounds += 1;
            if rounds < 20 {
                std::thread::yield_now();
            } else if start.elapsed() < self.path.timeout {
                std::thread::sleep(Duration::from_millis(1));
            } else {
                return Err(Error::new(self.path.operation, ErrorKind::Busy).because(format!(
                    "{} is being created or reclaimed by others all the time",
                    self.shown()
                )));
            }
        }
    }

    fn find(&self) -> Result<Found> {
        let Path { dir, kind, .. } = self.path;
        let fd = match dir.open_file(&self.file) {
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
        let bad = |bad: crate::header::BadHeader| bad.error(self.path.operation, &self.shown());
        if lock(Lock::Exclusive)? {
            if !is_at(dir, &self.file, status.id).map_err(unread)? {
                return Ok(Found::Changing);
            }
            let header = Header::read(&fd, kind).map_err(bad)?;
            if header.flags & PERSIST == 0 {
                remove(dir, kind, &self.file, &fd)
                    .map_err(|e| self.failed("removing the stale", e))?;
                return Ok(Found::Changing);
            }
            // Of waits that died.
            remove_companions(dir, kind, &self.file);
            (self.repair)(&Region::contents(&Arc::new(self.map_file(&fd, &header)?)))?;
            // Another process may come in between: it repairs again, or removes the file.
            unlock(&fd);
        }
        if !lock(Lock::Shared)? {
            return Ok(Found::Changing);
        }
        hold(&fd).map_err(|e| self.failed("locking", e))?;
        let mut attachment = Attachment::new(dir, kind, &self.file, fd, status.id);
        if !attachment.is_named().map_err(unread)? {
            return Ok(Found::Changing);
        }
        match Header::read(&attachment.fd, kind) {
            Ok(header) => {
                attachment.removes_file = header.flags & PERSIST == 0;
                Ok(Found::Live(attachment, header))
            }
            Err(error) => {
                // A holder or another process damaged it: the last one to leave removes it
                // nevertheless.
                attachment.removes_file = error.ours;
                Err(bad(error))
            }
        }
    }

    /// Makes the segment in full, then gives it its name; `None` if another process was faster.
    fn make(&self, plan: Plan<'_>) -> Result<Option<Segment>> {
        let fail = |e| self.failed("making", e);
        let temporary = temporary_name(self.path.kind.prefix).map_err(fail)?;
        self.publish(UnpublishedFile::new(self.path.dir, &temporary).map_err(fail)?, plan)
    }

    /// Reserves the space, writes header and contents, maps, and publishes.
    fn publish(&self, new: UnpublishedFile<'_>, plan: Plan<'_>) -> Result<Option<Segment>> {
        let Path { dir, kind, name, timeout, operation } = self.path;
        let fd = new.file();
        let header = Header { name: name.clone(), size: plan.size, flags: plan.flags() };
        let bytes = check_size(plan.size, operation)?;
        fd.reserve(bytes, timeout)
            .map_err(|e| self.failed(&format!("reserving {bytes} bytes for"), e))?;
        let write =
            |(at, piece): &(usize, &[u8])| fd.write_all_at(piece, (sys::page_size() + at) as u64);
        header
            .write(fd, kind)
            .and_then(|()| plan.contents.iter().try_for_each(write))
            .map_err(|e| self.failed("writing", e))?;
        let id = fd.status().map_err(|e| self.failed("reading the status of", e))?.id;
        let map = self.map_file(fd, &header)?;
        hold(fd).map_err(|e| self.failed("locking", e))?;
        match new.publish(&self.file) {
            Ok(fd) => {
                let mut attachment = Attachment::new(dir, kind, &self.file, fd, id);
                attachment.removes_file = !plan.persist;
                Ok(Some(Segment::new(map, attachment, header)))
            }
            // Another process made one, or a sweeper took the temporary name for a dead writer's.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.failed("naming", error)),
        }
    }

    fn map(&self, attachment: Attachment, header: Header) -> Result<Segment> {
        let map = self.map_file(&attachment.fd, &header)?;
        Ok(Segment::new(map, attachment, header))
    }

    fn map_file(&self, fd: &Fd, header: &Header) -> Result<Map> {
        let bytes = check_size(header.size, self.path.operation)?;
        Map::new(fd, bytes).map_err(|e| self.failed(&format!("mapping {bytes} bytes of"), e))
    }

    fn check_name(&self, header: &Header) -> Result<()> {
        if header.name == *self.path.name {
            return Ok(());
        }
        Err(Error::new(self.path.operation, ErrorKind::NameCollision).because(format!(
            "{} belongs to the name {:?}, whose hash is the same; choose another name",
            self.shown(),
            header.name
        )))
    }

    /// The file's path, for people.
    fn shown(&self) -> String {
        self.path.dir.path().join(&self.file).display().to_string()
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        Error::io(self.path.operation, &format!("{what} {}", self.shown()), error)
    }

    /// The error for a file that does not open.
    fn refused(&self, error: io::Error) -> Error {
        match self.path.dir.stat(&self.file) {
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
        let path = self.shown();
        Error::new(self.path.operation, kind)
            .because(format!("{path}: {what} is in the way; {}", advice(&path)))
    }
}

/// A file name that no other process or thread makes.
fn temporary_name(prefix: &str) -> io::Result<String> {
    Ok(format!("{prefix}{}{UNPUBLISHED}", Token::random()?))
}

#[cfg(test)]
mod tests;
