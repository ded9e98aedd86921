use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyipc_core::{Error, ErrorKind, Operation, Result};
use rustix::fs::{
    AtFlags, Mode, OFlags, chmod, chmodat, fchmod, fstat, linkat, mkdir, open, openat, statat,
    unlinkat,
};
use rustix::process::{geteuid, getuid};

use super::fd::{Fd, id, status};
use super::system;
use crate::{FileId, Scope, Status};

/// What others may do with a shared directory: open files that they know by name.
const SHARED: Mode = Mode::RWXU.union(Mode::XGRP).union(Mode::XOTH);

/// A directory of one user's objects: `anyipc-<uid>` in `/dev/shm`, on macOS in the user's cache
/// directory, or under the absolute path in `ANYIPC_DIR`. No other user can reach into it, unless
/// it is a shared one. It stays when it is empty.
#[derive(Debug)]
pub struct Dir {
    fd: Fd,
    path: PathBuf,
}

impl Dir {
    /// Opens the directory of a scope; makes it if it is absent.
    ///
    /// # Errors
    /// `PermissionDenied` if what is there is not a private directory of this user; `Unsupported`
    /// for `Scope::System`.
    pub fn open(scope: Scope, op: Operation) -> Result<Self> {
        match scope {
            Scope::User => Self::under(&base(op)?, op),
            // A user that may write a named file may also truncate it, which kills every process
            // that maps it.
            Scope::System => Err(Error::new(op, ErrorKind::Unsupported).because(
                "scope=system: other users could truncate the memory of this process; use \
                 scope=user",
            )),
        }
    }

    /// Opens this user's directory of files that stay. (The objects' directory is empty when there
    /// are no holders.)
    pub fn secrets(op: Operation) -> Result<Self> {
        let user = geteuid().as_raw();
        Self::called(user, format!("anyipc-secrets-{user}"), Mode::RWXU, &base(op)?, op)
    }

    /// Opens this user's directory of what other users may reach, `anyipc-<uid>-shared`, and makes
    /// it if need be.
    ///
    /// # Errors
    /// `Unsupported` on macOS, and those of [`open`](Self::open).
    pub fn shared(op: Operation) -> Result<Self> {
        system::check_shared(op)?;
        let user = geteuid().as_raw();
        Self::called(user, format!("anyipc-{user}-shared"), SHARED, &base(op)?, op)
    }

    /// The directory of what other users may reach of this user's, if there is one: only for
    /// reaching into.
    ///
    /// # Errors
    /// `PermissionDenied` if what is there is another user's, or others may write to it.
    pub fn shared_of(user: u32, op: Operation) -> Result<Option<Self>> {
        let path = base(op)?.join(format!("anyipc-{user}-shared"));
        let fd = match Fd::make(|| system::open_to_reach(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => {
                opened.map_err(|e| Error::io(op, &format!("opening {}", path.display()), e))?
            }
        };
        let dir = Self { fd, path };
        dir.check(user, SHARED, op)?;
        Ok(Some(dir))
    }

    /// Opens this user's directory under `base`.
    pub fn under(base: &Path, op: Operation) -> Result<Self> {
        let user = geteuid().as_raw();
        Self::called(user, format!("anyipc-{user}"), Mode::RWXU, base, op)
    }

    fn called(user: u32, what: String, mode: Mode, base: &Path, op: Operation) -> Result<Self> {
        system::check_user(user, op)?;
        let path = base.join(what);
        let fail = |what: &str, error: io::Error| {
            let error = Error::io(
                op,
                &format!("{what} {} (ANYIPC_DIR chooses another place)", path.display()),
                error,
            );
            // No process can use a directory that cannot exist: waiting for one is no use.
            if error.kind() == ErrorKind::NotFound { error.as_kind(ErrorKind::Io) } else { error }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = || Fd::make(|| Ok(open(&path, flags, Mode::empty())?));
        let fd = match opened() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match mkdir(&path, Mode::RWXU) {
                    // The umask may have cleared bits.
                    Ok(()) => chmod(&path, mode).map_err(|e| fail("preparing", e.into()))?,
                    Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(fail("making", error.into())),
                }
                opened()
            }
            opened => opened,
        }
        .map_err(|e| fail("opening", e))?;
        let dir = Self { fd, path };
        dir.check(user, mode, op)?;
        Ok(dir)
    }

    /// `PermissionDenied` unless it is this user's, and others have no more rights than `mode`
    /// grants.
    fn check(&self, user: u32, mode: Mode, op: Operation) -> Result<()> {
        let path = self.path.display();
        let stat = fstat(&self.fd).map_err(|e| {
            Error::io(op, &format!("reading the status of {path}"), io::Error::from(e))
        })?;
        if stat.st_uid == user && stat.st_mode & 0o077 & !mode.as_raw_mode() == 0 {
            return Ok(());
        }
        Err(Error::new(op, ErrorKind::PermissionDenied).because(format!(
            "{path} must belong to user {user} with mode {:04o}, but belongs to user {} with \
             mode {:04o}; remove it, or choose another place with ANYIPC_DIR",
            mode.as_raw_mode(),
            stat.st_uid,
            stat.st_mode & 0o7777,
        )))
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for reading and writing. Follows no link and waits for nothing: a FIFO opens at
    /// once.
    pub fn open_file(&self, name: &str) -> io::Result<Fd> {
        let flags =
            OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Fd::make(|| Ok(openat(&self.fd, name, flags, Mode::empty())?))
    }

    /// Makes a file of this name, mode 0600; `AlreadyExists` if there is one.
    pub fn create_file(&self, name: &str) -> io::Result<Fd> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.fresh(name, flags)
    }

    pub(super) fn fresh(&self, name: &str, flags: OFlags) -> io::Result<Fd> {
        let fd = Fd::make(|| Ok(openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?))?;
        // The umask may have taken bits away.
        fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        Ok(fd)
    }

    /// Gives a file a second name; `AlreadyExists` if it is taken.
    pub fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?)
    }

    /// Lets every user that reaches this directory open the file at a name.
    pub fn open_to_all(&self, name: &str) -> io::Result<()> {
        Ok(chmodat(&self.fd, name, Mode::from_raw_mode(0o666), AtFlags::empty())?)
    }

    /// Removes a name.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// The status of the file at a name; a link's own.
    pub fn stat(&self, name: &str) -> io::Result<Status> {
        Ok(status(&statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The identity of the file at a name; a link's own.
    pub fn id_of(&self, name: &str) -> io::Result<FileId> {
        Ok(id(&statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// All names in the directory, in order.
    pub fn list(&self) -> io::Result<Vec<OsString>> {
        use std::os::unix::ffi::OsStringExt;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn base(op: Operation) -> Result<PathBuf> {
    let Some(chosen) = std::env::var_os("ANYIPC_DIR").filter(|dir| !dir.is_empty()) else {
        return system::base()
            .map_err(|error| Error::io(op, "asking where this user's files belong", error));
    };
    let refuse = |kind, why: &str| {
        Err(Error::new(op, kind).because(format!("ANYIPC_DIR={chosen:?}: {why}")))
    };
    if getuid() != geteuid() {
        return refuse(ErrorKind::PermissionDenied, "not honoured in a set-user-ID program");
    }
    if !Path::new(&chosen).is_absolute() {
        return refuse(ErrorKind::InvalidOption, "an absolute path is needed");
    }
    Ok(chosen.into())
}
