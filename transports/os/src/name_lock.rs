//! Ownership of a name: a lock file, held exclusively by the owner for as long as it lives, so that
//! the kernel knows whether there is an owner. It contains a heading, the owner's process id and
//! the full name. The process that holds the lock may replace the files beside it; no other process
//! touches them.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

use crate::{
    Dir, Fd, FileId, FileKind, Lock, Pace, check_named, generation, hold, is_at, is_held,
    overwrite, read_text, try_lock,
};

/// The longest wait for a process that has the lock file locked but is not the name's owner.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The names of a transport's lock files, and how they begin.
#[derive(Debug, Clone, Copy)]
pub struct FileNaming {
    /// Before the OS name.
    pub prefix: &'static str,
    /// After the OS name.
    pub suffix: &'static str,
    /// The first line.
    pub heading: &'static str,
}

impl FileNaming {
    /// The prefix of all files of a name.
    pub fn stem(&self, name: &Name) -> String {
        format!("{}{}", self.prefix, name.os_name())
    }

    /// The lock file of a name.
    pub fn file(&self, name: &Name) -> String {
        self.stem(name) + self.suffix
    }

    /// True if the name has an owner. Takes no lock, and does not mistake a sweeper's lock for an
    /// owner's.
    pub fn is_live(&self, dir: &Dir, name: &Name, operation: Operation) -> Result<bool> {
        let path = self.file(name);
        match dir.open_file(&path) {
            Ok(fd) => match is_held(&fd) {
                Ok(true) => self.check_name(&fd, name, operation).map(|()| true),
                Ok(false) => Ok(false),
                Err(error) => Err(unusable(dir, &path, operation, error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unusable(dir, &path, operation, error)),
        }
    }

    /// The process id and the full name in a lock file.
    pub fn owner_of(&self, lock: &Fd) -> Option<(u32, String)> {
        let text = read_text(lock, 1024).ok()?;
        let mut lines = text.lines();
        if lines.next() != Some(self.heading) {
            return None;
        }
        let pid = lines.next()?.parse().ok()?;
        Some((pid, lines.next()?.to_owned()))
    }

    /// `NameCollision` if a live owner has another full name. An owner that has not written it yet
    /// passes.
    fn check_name(&self, lock: &Fd, name: &Name, operation: Operation) -> Result<()> {
        match self.owner_of(lock) {
            Some((_, full)) if full != name.as_str() => {
                Err(Error::new(operation, ErrorKind::NameCollision)
                    .because(format!("the live object is called {full:?}; choose another name")))
            }
            _ => Ok(()),
        }
    }
}

/// The owner's lock on a name, until dropped or killed.
#[derive(Debug)]
pub struct NameLock {
    dir: Arc<Dir>,
    path: String,
    /// Locked while it is open.
    _lock: Fd,
    id: FileId,
    /// The file that leads to the owner, and its identity.
    listener: Option<(String, FileId)>,
    pace: Pace,
    generation: u32,
}

impl NameLock {
    /// Becomes the owner of the name. `None` if another process is. `answers` distinguishes an
    /// owner, which listens, from a sweeper, which holds the lock for an instant.
    pub fn take(
        dir: &Arc<Dir>,
        naming: &FileNaming,
        name: &Name,
        operation: Operation,
        answers: impl Fn() -> bool,
    ) -> Result<Option<Self>> {
        let path = naming.file(name);
        let fail = |error| unusable(dir, &path, operation, error);
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let file = match dir.open_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => dir.create_file(&path),
                other => other,
            };
            let file = match file {
                Ok(file) => file,
                // Another process made it just now.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(fail(error)),
            };
            let status = file.status().map_err(fail)?;
            if status.kind != FileKind::Regular || !status.ours {
                return Err(fail(io::ErrorKind::InvalidData.into()));
            }
            if try_lock(&file, Lock::Exclusive).map_err(fail)? {
                // The previous owner may have removed the name between our open and our lock.
                if is_at(dir, &path, status.id).map_err(fail)? {
                    let text = format!("{}\n{}\n{name}\n", naming.heading, std::process::id());
                    overwrite(&file, text.as_bytes()).and_then(|()| hold(&file)).map_err(
                        |error| {
                            let _ = dir.unlink(&path);
                            fail(error)
                        },
                    )?;
                    let dir = Arc::clone(dir);
                    return Ok(Some(Self {
                        dir,
                        path,
                        _lock: file,
                        id: status.id,
                        listener: None,
                        pace: Pace::default(),
                        generation: generation(),
                    }));
                }
            } else if !try_lock(&file, Lock::Shared).map_err(fail)? {
                let there = is_at(dir, &path, status.id).unwrap_or(false);
                let late = Instant::now() > deadline;
                if there && (answers() || late && is_held(&file).map_err(fail)?) {
                    return naming.check_name(&file, name, operation).map(|()| None);
                }
            }
            if Instant::now() > deadline {
                return Err(Error::new(operation, ErrorKind::Busy).because(format!(
                    "another process that does not own {} has had it locked for {TIMEOUT:?}; it \
                     may be stopped",
                    dir.path().join(&path).display()
                )));
            }
            // Another process checks the lock or leaves it: that takes microseconds.
            drop(file);
            std::thread::yield_now();
        }
    }

    /// Notes the file that leads to the owner, which was made just now: [`check`](Self::check)
    /// checks it, too.
    pub fn with_listener(mut self, file: String) -> Self {
        self.listener = self.dir.id_of(&file).ok().map(|id| (file, id));
        self
    }

    /// Checks, once a second at most, that the name still leads to this owner.
    ///
    /// # Errors
    /// `Removed` if it does not, from each check that finds it so.
    pub fn check(&self, operation: Operation) -> Result<()> {
        if !self.pace.is_due() {
            return Ok(());
        }
        check_named(&self.dir, &self.path, self.id, operation)?;
        match &self.listener {
            Some((file, id)) => check_named(&self.dir, file, *id, operation),
            None => Ok(()),
        }
    }

    /// The result of `close`: an error unless the name was still this owner's.
    ///
    /// # Errors
    /// `StatFailed` if not.
    pub fn check_close(&self) -> Result<()> {
        if self.holds() {
            return Ok(());
        }
        Err(Error::new(Operation::Close, ErrorKind::StatFailed)
            .because("the name was removed from under its owner; the handle is released"))
    }

    /// True if the name is still this owner's: it was not removed by force, and this is no forked
    /// child.
    pub fn holds(&self) -> bool {
        self.generation == generation() && is_at(&self.dir, &self.path, self.id).unwrap_or(false)
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        if self.holds() {
            let _ = self.dir.unlink(&self.path);
        }
    }
}

fn unusable(dir: &Dir, path: &str, operation: Operation, error: io::Error) -> Error {
    let what = dir.path().join(path);
    if error.kind() == io::ErrorKind::InvalidData || error.kind() == io::ErrorKind::IsADirectory {
        return Error::new(operation, ErrorKind::Corrupt)
            .because(format!("{} is not a file of ours; remove it", what.display()));
    }
    Error::io(operation, &format!("the owner's lock {}", what.display()), error)
}
