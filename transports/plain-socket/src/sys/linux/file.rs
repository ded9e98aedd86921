//! Sockets in the file system: a name that stays when its owner dies.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyipc_byte_stream::Listener;
use anyipc_core::{Error, ErrorKind, Name, Operation, Result};
use anyipc_os::{Fd, FileId, generation, user};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use super::{PRIVATE, SHARED, cannot_listen, connect, is_listed, listen};

/// How often a path is tried that stale sockets have.
const TRIES: u32 = 4;
/// The longest wait for another owner that binds in the same directory.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The time between the two looks at a socket that refuses connectors: a program that has bound it
/// and does not listen yet refuses them, too.
const BIND_TO_LISTEN: Duration = Duration::from_millis(20);

/// The socket of a path, removed when it is dropped, if the path still leads to it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    id: FileId,
    /// The fork generation of the process that bound it.
    generation: u32,
}

impl SocketFile {
    /// True if the path leads to this socket, and this is no forked child.
    pub(crate) fn is_there(&self) -> bool {
        self.generation == generation() && status(&self.path).is_ok_and(|there| there.id == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct Status {
    id: FileId,
    is_socket: bool,
    ours: bool,
}

fn status(path: &Path) -> io::Result<Status> {
    let data = fs::symlink_metadata(path)?;
    Ok(Status {
        id: FileId { device: data.dev(), inode: data.ino() },
        is_socket: data.file_type().is_socket(),
        ours: data.uid() == user(),
    })
}

/// Listens at a path. Replaces the socket of a dead program, never a live one's.
pub(super) fn bind(
    name: &Name,
    shared: bool,
    operation: Operation,
) -> Result<Option<(Listener, SocketFile)>> {
    let path = Path::new(name.as_str());
    // Among programs with this library only one at a time looks and removes.
    let _lock = lock_directory(path, operation)?;
    for _ in 0..TRIES {
        match listen(name, if shared { SHARED } else { PRIVATE }) {
            Ok(listener) => {
                let fail = |error| Error::io(operation, &format!("{name}, just bound"), error);
                let id = status(path).map_err(fail)?.id;
                let file = SocketFile { path: path.into(), id, generation: generation() };
                if shared {
                    // The umask may have cleared bits.
                    fs::set_permissions(path, Permissions::from_mode(SHARED)).map_err(fail)?;
                }
                return Ok(Some((listener, file)));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if is_live(name, path, operation)? {
                    return Ok(None);
                }
            }
            Err(error) => return Err(cannot_listen(name, operation, error)),
        }
    }
    Err(Error::new(operation, ErrorKind::Busy)
        .because(format!("another program keeps on making and leaving {name}")))
}

/// True if a program listens at the path. Otherwise the path is free now: a socket that a dead
/// program left is removed.
///
/// # Errors
/// `Corrupt` if it is no socket, `PermissionDenied` for another user's.
fn is_live(name: &Name, path: &Path, operation: Operation) -> Result<bool> {
    if is_listed(name) {
        return Ok(true);
    }
    let fail = |error| Error::io(operation, &format!("looking at {name}"), error);
    let found = match status(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found.map_err(fail)?,
    };
    if !found.is_socket {
        return Err(Error::new(operation, ErrorKind::Corrupt)
            .because(format!("{name} is not a socket; remove it, or choose another path")));
    }
    for look in 0..2 {
        if look > 0 {
            thread::sleep(BIND_TO_LISTEN);
        }
        match connect(name) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // It listens, or this user may not know.
            _ => return Ok(true),
        }
    }
    if !found.ours {
        return Err(Error::new(operation, ErrorKind::PermissionDenied)
            .because(format!("another user's program left {name}; choose another path")));
    }
    match status(path) {
        Ok(now) if now.id == found.id => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail(error)),
            _ => Ok(false),
        },
        // Another program has replaced it meanwhile: the next try finds that one.
        _ => Ok(false),
    }
}

/// Locks the directory of a path, until it is dropped or its holder dies.
fn lock_directory(path: &Path, operation: Operation) -> Result<Fd> {
    let directory = path.parent().unwrap_or(path);
    let fail = |error| {
        let error = Error::io(operation, &format!("the directory {}", directory.display()), error);
        // No program can listen where there is no directory: waiting for one is no use.
        if error.kind() == ErrorKind::NotFound { error.as_kind(ErrorKind::Io) } else { error }
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = Fd::make(|| Ok::<OwnedFd, _>(open(directory, flags, Mode::empty())?)).map_err(fail)?;
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(fd),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::new(operation, ErrorKind::Busy).because(format!(
                    "another program has had {} locked for {TIMEOUT:?}",
                    directory.display()
                )));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(fail(error.into())),
        }
    }
}
