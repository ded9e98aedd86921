use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyipc_core::{Error, ErrorKind, Operation, Result};

use crate::header::COMPANIONS;
use crate::kind::{CLEAN, Kind};
use crate::region::Region;
use crate::sys::{self, Dir, Fd, FileId, Lock, Pace, check_named, is_at, try_lock, unlock};

/// The shared lock that keeps a segment alive. Dropping it detaches.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) dir: Arc<Dir>,
    kind: &'static Kind,
    file: String,
    pub(crate) fd: Fd,
    id: FileId,
    pace: Pace,
    /// True if the last check found that the name no longer stands for this file.
    removed: AtomicBool,
    /// The fork generation in which the lock was taken.
    pub(crate) generation: u32,
    /// True if the last holder to leave removes the file: unless it persists, or is not provably
    /// ours.
    pub(crate) removes_file: bool,
    /// True once it has detached.
    pub(crate) has_left: bool,
    /// The page that says whether the file has companions. Unmapped before the lock goes.
    pub(crate) header: Option<Region>,
}

impl Attachment {
    pub(crate) fn new(dir: &Arc<Dir>, kind: &'static Kind, file: &str, fd: Fd, id: FileId) -> Self {
        Self {
            dir: Arc::clone(dir),
            kind,
            file: file.to_owned(),
            fd,
            id,
            pace: Pace::default(),
            removed: AtomicBool::new(false),
            generation: sys::generation(),
            removes_file: true,
            has_left: false,
            header: None,
        }
    }

    /// The file of a companion.
    pub(crate) fn companion(&self, number: u32) -> Option<String> {
        let stem = self.file.strip_suffix(self.kind.suffix)?;
        Some(format!("{stem}{}{number}", self.kind.companion?))
    }

    /// From now on the process that removes the file removes its companions, too.
    pub(crate) fn note_companions(&self) {
        if let Some(header) = &self.header {
            header.u32(COMPANIONS).store(1, Relaxed);
        }
    }

    /// Checks, once a second at most, that the name still stands for this file; `Removed` if not.
    pub(crate) fn check_named(&self, operation: Operation) -> Result<()> {
        if !self.pace.is_due() {
            return Ok(());
        }
        let named = check_named(&self.dir, &self.file, self.id, operation);
        self.removed.store(named.is_err(), Relaxed);
        named
    }

    /// As [`check_named`](Self::check_named), but `Removed` at every call after a check found that.
    pub(crate) fn insist_named(&self, operation: Operation) -> Result<()> {
        self.check_named(operation)?;
        self.recall_named(operation)
    }

    /// `Removed` if the last check found that. Does no check of its own unless it did.
    pub(crate) fn recall_named(&self, operation: Operation) -> Result<()> {
        if self.removed.load(Relaxed) {
            check_named(&self.dir, &self.file, self.id, operation)?;
        }
        Ok(())
    }

    /// True if the name stands for this file.
    pub(crate) fn is_named(&self) -> io::Result<bool> {
        is_at(&self.dir, &self.file, self.id)
    }

    /// Leaves a persistent segment, and removes its file if no other process holds it and `unused`
    /// returns true.
    pub(crate) fn discard(&mut self, unused: impl FnOnce() -> bool) {
        // Its error says that the name is another's by now.
        let _ = self.leave(Some(unused));
    }

    /// Leaves: the last holder, and only the last one, removes the file.
    pub(crate) fn detach(&mut self) -> Result<()> {
        self.leave(None::<fn() -> bool>)
    }

    /// Detaches. A file that does not go with its last holder goes if `unused` returns true.
    fn leave(&mut self, unused: Option<impl FnOnce() -> bool>) -> Result<()> {
        if std::mem::replace(&mut self.has_left, true) {
            return Ok(());
        }
        if self.generation != sys::generation() {
            return Err(Error::new(Operation::Close, ErrorKind::Forked));
        }
        let header = self.header.take();
        let has_companions = self.kind.companion.is_some()
            && header.as_ref().is_some_and(|header| header.u32(COMPANIONS).load(Relaxed) != 0);
        drop(header);
        // While this process holds the lock the name is removed by force only.
        let named = self.is_named();
        let last_removes = self.removes_file || matches!(named, Ok(false));
        // First: a `flock` that cannot be upgraded is lost, and on Windows a file's own lock
        // refuses the upgrade, and lasts until the last view is unmapped.
        unlock(&self.fd);
        // The exclusive lock keeps others from attaching until the files are removed.
        if (last_removes || unused.is_some() || has_companions)
            && try_lock(&self.fd, Lock::Exclusive).unwrap_or(false)
        {
            let removes = last_removes || unused.is_some_and(|unused| unused());
            if removes {
                // Also for a segment that was removed by force: what it names is its own, and may
                // have been made anew.
                clean(self.kind, &self.fd);
            }
            // Another process may have removed the file in between, and the name may be another
            // file's by now.
            if self.is_named().unwrap_or(false) {
                if has_companions {
                    // Also of a segment that stays: they are of waits that died.
                    remove_companions(&self.dir, self.kind, &self.file);
                }
                if removes {
                    let _ = self.dir.unlink(&self.file);
                }
            }
        }
        let fail = |why: &str| {
            let path = self.dir.path().join(&self.file);
            Error::new(Operation::Close, ErrorKind::StatFailed)
                .because(format!("{}: {why}", path.display()))
        };
        match named {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(fail("the object was removed or replaced while it was held; it is released"))
            }
            Err(error) => {
                Err(fail("it is released, but its status cannot be read").from_source(error))
            }
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let _ = self.detach();
    }
}

/// Removes a segment's file and what belongs to it. The caller has found it named, under the
/// exclusive lock.
pub(crate) fn remove(dir: &Dir, kind: &Kind, file: &str, fd: &Fd) -> io::Result<()> {
    remove_companions(dir, kind, file);
    clean(kind, fd);
    match dir.unlink(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes what belongs to a segment and is no file.
pub(crate) fn clean(kind: &Kind, fd: &Fd) {
    let Some(clean) = kind.clean else { return };
    let mut bytes = [0; CLEAN];
    if fd.read_at(&mut bytes, sys::page_size() as u64).is_ok() {
        clean(&bytes);
    }
}

/// Removes the files that belong to a segment's file, if such files can have companions.
pub(crate) fn remove_companions(dir: &Dir, kind: &Kind, file: &str) {
    let (Some(_), Some(stem)) = (kind.companion, file.strip_suffix(kind.suffix)) else { return };
    for name in dir.list().unwrap_or_default() {
        if let Some(name) = name.to_str().filter(|name| kind.master_of(name) == Some(stem)) {
            let _ = dir.unlink(name);
        }
    }
}
