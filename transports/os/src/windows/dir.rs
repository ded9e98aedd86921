use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::{Component, Path, PathBuf, Prefix};
use std::ptr;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use windows_sys::Win32::Foundation::{GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateDirectoryW, CreateFileW, DELETE, FILE_ATTRIBUTE_NORMAL,
    FILE_ATTRIBUTE_TEMPORARY, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_DELETE_ON_CLOSE,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, FILE_REMOTE_PROTOCOL_INFO,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FileRemoteProtocolInfo, GetDriveTypeW,
    GetFileInformationByHandleEx, READ_CONTROL,
};
use windows_sys::Win32::System::WindowsProgramming::DRIVE_REMOTE;

use super::fd::{Fd, status};
use super::security::Private;
use crate::{FileId, FileKind, Scope, Status, Token, UNPUBLISHED};

/// A directory of one user's objects: `%LOCALAPPDATA%\anyipc`, or under the absolute path in
/// `ANYIPC_DIR`, on a drive of this machine. No other user can reach into it. It stays when it is
/// empty.
#[derive(Debug, Clone)]
pub struct Dir(PathBuf);

impl Dir {
    /// Opens the directory of a scope and makes it if need be.
    ///
    /// # Errors
    /// `PermissionDenied` if what is there is not a private directory of this user; `Unsupported`
    /// on a network drive and for `Scope::System`.
    pub fn open(scope: Scope, op: Operation) -> Result<Self> {
        match scope {
            Scope::User => Self::under(&base(op)?, op),
            Scope::System => Self::shared(op),
        }
    }

    /// Opens this user's directory of files that stay. (The objects' directory is empty when there
    /// are no holders.)
    pub fn secrets(op: Operation) -> Result<Self> {
        Self::called("anyipc-secrets", &base(op)?, op)
    }

    /// `Unsupported`: a directory of what other users may reach is a matter of modes.
    pub fn shared(op: Operation) -> Result<Self> {
        Err(Error::new(op, ErrorKind::Unsupported).because(
            "scope=system: not on Windows, where users have no numbers; use scope=user, or tcp://",
        ))
    }

    /// There is none.
    pub fn shared_of(_user: u32, _op: Operation) -> Result<Option<Self>> {
        Ok(None)
    }

    /// Opens this user's directory under `base`.
    pub fn under(base: &Path, op: Operation) -> Result<Self> {
        Self::called("anyipc", base, op)
    }

    fn called(what: &str, base: &Path, op: Operation) -> Result<Self> {
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
        match make(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(fail("making", error));
            }
            _ => {}
        }
        let opened = open_to_look(&path).map_err(|error| fail("opening", error))?;
        if is_remote(&path, &opened) {
            return Err(Error::new(op, ErrorKind::Unsupported).because(format!(
                "{} is on a network drive, where processes of two machines would not see the same \
                 memory; choose a place on a drive of this machine with ANYIPC_DIR",
                path.display()
            )));
        }
        let there = status(&opened).map_err(|error| fail("opening", error))?;
        if there.kind == FileKind::Directory && there.ours && there.private {
            return Ok(Self(path));
        }
        Err(Error::new(op, ErrorKind::PermissionDenied).because(format!(
            "{} must be a directory of this user that no other user may reach into; remove it, or \
             choose another place with ANYIPC_DIR",
            path.display()
        )))
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens a file for reading and writing. Follows no link.
    pub fn open_file(&self, name: &str) -> io::Result<Fd> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        options.open(self.0.join(name)).map(Fd::new)
    }

    /// Makes a file of this name that is only for this user; `AlreadyExists` if there is one.
    pub fn create_file(&self, name: &str) -> io::Result<Fd> {
        fresh(&self.0.join(name), 0, 0).map(Fd::new)
    }

    /// Makes a file that goes when it is neither open nor mapped here any more, unless
    /// [`link_nameless`](Self::link_nameless) gave it a name. The system has none without any: this
    /// one is called by a token and `.tmp`.
    pub fn nameless_file(&self) -> io::Result<Fd> {
        let token = Token::random()?;
        let path = self.0.join(nameless(&token));
        // Kept in memory as long as there is enough.
        let flags = FILE_FLAG_DELETE_ON_CLOSE | FILE_ATTRIBUTE_TEMPORARY;
        fresh(&path, DELETE, flags).map(|file| Fd::nameless(file, path, token))
    }

    /// Opens a nameless file that another process of this user has.
    pub fn open_nameless(&self, token: &Token) -> io::Result<Fd> {
        self.open_file(&nameless(token))
    }

    /// Gives a nameless file its name; `AlreadyExists` if it is taken.
    pub fn link_nameless(&self, fd: &Fd, name: &str) -> io::Result<()> {
        let from = fd.place().ok_or(io::ErrorKind::InvalidInput)?;
        fs::hard_link(from, self.0.join(name))
    }

    /// Gives a file a second name; `AlreadyExists` if it is taken.
    pub fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.0.join(from), self.0.join(to))
    }

    /// `Unsupported`, as [`shared`](Self::shared) is.
    pub fn open_to_all(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a name, which is free at once. A file that another process maps may stay under a
    /// temporary name, for a sweep.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        let path = self.0.join(name);
        if name.ends_with(UNPUBLISHED) {
            return fs::remove_file(path);
        }
        if look_at(&path)?.kind == FileKind::Directory {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // A removed file keeps its name until its last handle is closed.
        let aside = self.0.join(format!("{name}-{}{UNPUBLISHED}", Token::random()?));
        fs::rename(path, &aside)?;
        let _ = fs::remove_file(aside);
        Ok(())
    }

    /// The status of the file at a name; a link's own.
    pub fn stat(&self, name: &str) -> io::Result<Status> {
        look_at(&self.0.join(name))
    }

    /// The identity of the file at a name; a link's own.
    pub fn id_of(&self, name: &str) -> io::Result<FileId> {
        self.stat(name).map(|there| there.id)
    }

    /// All names in the directory, in order.
    pub fn list(&self) -> io::Result<Vec<OsString>> {
        let names: io::Result<Vec<_>> =
            fs::read_dir(&self.0)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
        names.map(|mut names| {
            names.sort_unstable();
            names
        })
    }
}

fn nameless(token: &Token) -> String {
    format!("{token}{UNPUBLISHED}")
}

fn look_at(path: &Path) -> io::Result<Status> {
    status(&open_to_look(path)?)
}

fn open_to_look(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .access_mode(READ_CONTROL | FILE_READ_ATTRIBUTES)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT);
    options.open(path)
}

/// True if it is another machine's, by its drive or by its file system.
fn is_remote(path: &Path, opened: &File) -> bool {
    let by_drive = match path.components().next() {
        Some(Component::Prefix(prefix)) => match prefix.kind() {
            Prefix::Disk(letter) | Prefix::VerbatimDisk(letter) => {
                let root = [letter.into(), u16::from(b':'), u16::from(b'\\'), 0];
                // SAFETY: the root ends with a NUL.
                unsafe { GetDriveTypeW(root.as_ptr()) == DRIVE_REMOTE }
            }
            Prefix::UNC(..) | Prefix::VerbatimUNC(..) => true,
            _ => false,
        },
        _ => false,
    };
    let mut protocol = FILE_REMOTE_PROTOCOL_INFO::default();
    // SAFETY: the directory is open for the call, and `protocol` is ours to write, of this size.
    by_drive
        || unsafe {
            // Local files have no such protocol: then the call fails.
            GetFileInformationByHandleEx(
                opened.as_raw_handle(),
                FileRemoteProtocolInfo,
                (&raw mut protocol).cast(),
                size_of_val(&protocol) as u32,
            ) != 0
        }
}

fn make(path: &Path) -> io::Result<()> {
    let (path, private) = (wide(path), Private::new()?);
    // SAFETY: the path ends with a NUL, and the attributes live as long as `private`.
    let done = unsafe { CreateDirectoryW(path.as_ptr(), &private.attributes()) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a file for this user only; it does not inherit from the directory.
fn fresh(path: &Path, access: u32, flags: u32) -> io::Result<File> {
    let (path, private) = (wide(path), Private::new()?);
    // SAFETY: the path ends with a NUL, and the attributes live as long as `private`.
    let handle = unsafe {
        CreateFileW(
            path.as_ptr(),
            GENERIC_READ | GENERIC_WRITE | access,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            &private.attributes(),
            CREATE_NEW,
            FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT | flags,
            ptr::null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: opened just now, and this is its only owner.
    Ok(unsafe { File::from_raw_handle(handle) })
}

fn wide(path: &Path) -> Vec<u16> {
    path.as_os_str().encode_wide().chain([0]).collect()
}

fn base(op: Operation) -> Result<PathBuf> {
    let refuse = |why: String| Err(Error::new(op, ErrorKind::InvalidOption).because(why));
    let given = |variable| std::env::var_os(variable).filter(|dir| !dir.is_empty());
    let Some(chosen) = given("ANYIPC_DIR") else {
        return match given("LOCALAPPDATA") {
            Some(dir) => Ok(dir.into()),
            None => refuse("LOCALAPPDATA is not set: choose a place with ANYIPC_DIR".into()),
        };
    };
    if !Path::new(&chosen).is_absolute() {
        return refuse(format!(
            "ANYIPC_DIR={chosen:?}: an absolute path with a drive is needed, such as C:\\anyipc"
        ));
    }
    Ok(chosen.into())
}
