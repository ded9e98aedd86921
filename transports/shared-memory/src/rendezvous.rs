//! Where an owner is reached: a lock file and a listening socket.
//!
//! `<os name>.lock` is held exclusively by the owner for as long as it lives, so the kernel says whether
//! there is one; it contains the lines `anyipc-rendezvous 1`, the owner's process id and the full name.
//! `<os name>.sock` is the listener. Whoever holds the lock may replace both; nobody else touches them.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

use crate::sys::{self, Dir, Fd, FileKind, Listener, Lock, Socket, same_file, try_lock};

/// The suffix of the lock file.
pub(crate) const LOCK: &str = ".lock";
/// The suffix of the listening socket.
pub(crate) const SOCKET: &str = ".sock";
/// The first line of a lock file.
pub(crate) const HEADING: &str = "anyipc-rendezvous 1";

/// How long an object may be between two states before that is an error.
const PATIENCE: Duration = Duration::from_secs(2);

/// The owner's side, until dropped or killed.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    dir: Arc<Dir>,
    os_name: String,
    lock: Fd,
    listener: Listener,
    generation: u32,
}

impl Rendezvous {
    /// Becomes the owner of the name. `None` if someone else is.
    pub(crate) fn claim(dir: Arc<Dir>, name: &Name, operation: Operation) -> Result<Option<Self>> {
        let os_name = name.os_name();
        let Some(lock) = take_lock(&dir, &os_name, name, operation)? else { return Ok(None) };
        let socket = format!("{os_name}{SOCKET}");
        let listen = || {
            // Whatever a dead owner left; the lock says that it is nobody's.
            match dir.unlink(&socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            Listener::bind(&dir, &socket)
        };
        match listen() {
            Ok(listener) => Ok(Some(Self { dir, os_name, lock, listener, generation: sys::generation() })),
            Err(error) => {
                let _ = dir.unlink(&format!("{os_name}{LOCK}"));
                Err(Error::io(
                    operation,
                    &format!("listening at {}", dir.path().join(&socket).display()),
                    error,
                ))
            }
        }
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        if self.generation != sys::generation() {
            return;
        }
        // If someone removed and remade the files underneath, they are not ours to remove.
        let path = format!("{}{LOCK}", self.os_name);
        if same_file(&self.dir, &path, &self.lock).unwrap_or(false) {
            let _ = self.dir.unlink(&format!("{}{SOCKET}", self.os_name));
            let _ = self.dir.unlink(&path);
        }
    }
}

/// Whether the name has an owner. Takes no lock that a claimant could mistake for an owner's.
pub(crate) fn is_live(dir: &Dir, name: &Name, operation: Operation) -> Result<bool> {
    let path = format!("{}{LOCK}", name.os_name());
    match dir.open_file(&path) {
        Ok(fd) if is_owned(&fd, operation)? => check_name(&fd, name, operation).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unusable(dir, &path, operation, error)),
    }
}

/// Whether an owner holds the lock file. A shared lock is refused only by an owner.
pub(crate) fn is_owned(lock: &Fd, operation: Operation) -> Result<bool> {
    match try_lock(lock, Lock::Shared) {
        Ok(free) => Ok(!free),
        Err(error) => Err(Error::io(operation, "asking for the owner's lock", error)),
    }
}

fn take_lock(dir: &Dir, os_name: &str, name: &Name, operation: Operation) -> Result<Option<Fd>> {
    let path = format!("{os_name}{LOCK}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let file = match dir.open_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => dir.create_file(&path),
            other => other,
        };
        let file = match file {
            Ok(file) => file,
            // Made by another claimant just now.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(unusable(dir, &path, operation, error)),
        };
        let status = file.status().map_err(|error| unusable(dir, &path, operation, error))?;
        if status.kind != FileKind::Regular || !status.ours {
            return Err(unusable(dir, &path, operation, io::ErrorKind::InvalidData.into()));
        }
        let locked = |kind| try_lock(&file, kind).map_err(|error| unusable(dir, &path, operation, error));
        if locked(Lock::Exclusive)? {
            // The previous owner may have removed the name between our open and our lock.
            if same_file(dir, &path, &file).map_err(|error| unusable(dir, &path, operation, error))? {
                let text = format!("{HEADING}\n{}\n{name}\n", std::process::id());
                sys::overwrite(&file, text.as_bytes()).map_err(|error| {
                    let _ = dir.unlink(&path);
                    unusable(dir, &path, operation, error)
                })?;
                return Ok(Some(file));
            }
        } else if !locked(Lock::Shared)? {
            // An owner listens; a sweeper, which has the lock for an instant, does not.
            let there = same_file(dir, &path, &file).unwrap_or(false);
            if there && (listens(dir, os_name) || Instant::now() > deadline) {
                return check_name(&file, name, operation).map(|()| None);
            }
        } else if Instant::now() > deadline {
            return Err(Error::new(operation, ErrorKind::Busy)
                .because(format!("{} is being looked at without end", dir.path().join(&path).display())));
        }
        // Someone is looking at the lock or leaving it: it takes them microseconds.
        drop(file);
        std::thread::yield_now();
    }
}

/// Whether an owner answers at the socket. It sees a connector that leaves without a word.
fn listens(dir: &Dir, os_name: &str) -> bool {
    match Socket::connect(dir, &format!("{os_name}{SOCKET}")) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Compares the full name of a live owner, unless the owner has not written it yet.
fn check_name(lock: &Fd, name: &Name, operation: Operation) -> Result<()> {
    match owner_of(lock) {
        Some((_, full)) if full != name.as_str() => Err(Error::new(operation, ErrorKind::NameCollision)
            .because(format!("the live object is called {full:?}; choose another name"))),
        _ => Ok(()),
    }
}

/// The process id and the full name in a lock file.
pub(crate) fn owner_of(lock: &Fd) -> Option<(u32, String)> {
    let text = sys::read_text(lock, 1024).ok()?;
    let mut lines = text.lines();
    if lines.next() != Some(HEADING) {
        return None;
    }
    let pid = lines.next()?.parse().ok()?;
    Some((pid, lines.next()?.to_owned()))
}

fn unusable(dir: &Dir, path: &str, operation: Operation, error: io::Error) -> Error {
    let what = dir.path().join(path);
    if error.kind() == io::ErrorKind::InvalidData || error.kind() == io::ErrorKind::IsADirectory {
        return Error::new(operation, ErrorKind::Corrupt)
            .because(format!("{} is not a file of ours; remove it", what.display()));
    }
    Error::io(operation, &format!("the owner's lock {}", what.display()), error)
}
