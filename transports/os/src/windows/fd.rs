use std::fs::File;
use std::io;
use std::os::windows::fs::FileExt;
use std::os::windows::io::{AsRawHandle, OwnedHandle, RawHandle};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::Handles;
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_TYPE_DISK, GetFileInformationByHandle, GetFileType,
};

use super::lock::Held;
use super::security;
use crate::{FileId, FileKind, Status, Token};

/// An open file. Nothing inherits it.
#[derive(Debug)]
pub struct Fd {
    file: File,
    /// Its path and the token in it while it counts as nameless.
    nameless: Option<(PathBuf, Token)>,
    pub(super) held: Held,
}

/// A file has no events: there is never anything to wait for.
impl Handles for Fd {
    fn each(&self, _see: &mut dyn FnMut(&Arc<OwnedHandle>)) {}
}

impl Fd {
    pub(super) fn new(file: File) -> Self {
        Self { file, nameless: None, held: Held::default() }
    }

    pub(super) fn nameless(file: File, place: PathBuf, token: Token) -> Self {
        Self { file, nameless: Some((place, token)), held: Held::default() }
    }

    /// The path of a nameless file.
    pub(super) fn place(&self) -> Option<&Path> {
        self.nameless.as_ref().map(|(place, _)| place.as_path())
    }

    /// What [`Dir::open_nameless`](super::Dir::open_nameless) finds a nameless file by.
    pub fn token(&self) -> Option<&Token> {
        self.nameless.as_ref().map(|(_, token)| token)
    }

    /// Its kind, owner and size.
    pub fn status(&self) -> io::Result<Status> {
        status(&self.file)
    }

    /// Sets the size and reserves the space, so that a full disk is an error here.
    pub fn reserve(&self, len: usize, _timeout: Duration) -> io::Result<()> {
        self.file.set_len(len as u64)
    }

    /// Reads up to the buffer's end or the file's.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.seek_read(rest, offset + done as u64)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// Writes all bytes.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.seek_write(bytes, offset)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Fd {
    /// A mapping has a duplicate of the handle: only what is given back ends with this one.
    fn drop(&mut self) {
        self.held.release(self.file.as_raw_handle());
    }
}

impl AsRawHandle for Fd {
    fn as_raw_handle(&self) -> RawHandle {
        self.file.as_raw_handle()
    }
}

/// Replaces a small file's contents.
pub fn overwrite(file: &Fd, text: &[u8]) -> io::Result<()> {
    file.file.set_len(0)?;
    file.write_all_at(text, 0)
}

/// Reads a small file, at most `max` bytes of it.
pub fn read_text(file: &Fd, max: usize) -> io::Result<String> {
    let mut bytes = vec![0; max];
    let got = file.read_at(&mut bytes, 0)?;
    bytes.truncate(got);
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

pub(super) fn status(file: &File) -> io::Result<Status> {
    let mut about = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the file is open for the call, and `about` is ours to write.
    if unsafe { GetFileInformationByHandle(file.as_raw_handle(), &mut about) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let has = |attribute| about.dwFileAttributes & attribute != 0;
    let access = security::of_file(file)?;
    let whole = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    Ok(Status {
        kind: if has(FILE_ATTRIBUTE_REPARSE_POINT) {
            FileKind::Symlink
        } else if has(FILE_ATTRIBUTE_DIRECTORY) {
            FileKind::Directory
        // SAFETY: the file is open for the call.
        } else if unsafe { GetFileType(file.as_raw_handle()) } == FILE_TYPE_DISK {
            FileKind::Regular
        } else {
            FileKind::Other
        },
        ours: access.ours,
        private: access.private,
        size: whole(about.nFileSizeHigh, about.nFileSizeLow),
        id: FileId {
            device: about.dwVolumeSerialNumber.into(),
            inode: whole(about.nFileIndexHigh, about.nFileIndexLow),
        },
    })
}
