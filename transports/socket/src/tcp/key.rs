//! The secret of `tcp://`: a file of the user's, or the one that `key_file=` names.

use std::io;
use std::path::Path;

use anyipc_byte_stream::Key;
use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_os::{Dir, Fd, FileKind, write_atomically};

/// The file of the per-user key.
const FILE: &str = "tcp.key";
/// The length of a new key, in bytes.
const FRESH: usize = 32;
/// The allowed lengths of a key file, in bytes. A shorter key can be guessed, a longer file is no
/// key.
const LENGTHS: std::ops::RangeInclusive<u64> = 16..=4096;

/// Reads the key from a file, or this user's key, which is created on first use.
pub(super) fn load(file: Option<&str>, operation: Operation) -> Result<Key> {
    match file {
        Some(path) => from_file(Path::new(path), operation),
        None => of_user(operation),
    }
}

fn of_user(operation: Operation) -> Result<Key> {
    let dir = Dir::secrets(operation)?;
    let path = dir.path().join(FILE);
    let fail = |error| Error::io(operation, &format!("the key file {}", path.display()), error);
    loop {
        match dir.open_file(FILE) {
            Ok(file) => return read(&file, &path, operation),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        let mut bytes = [0; FRESH];
        getrandom::fill(&mut bytes).map_err(|error| fail(io::Error::other(error)))?;
        match write_atomically(&dir, FILE, &bytes) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(error)),
            // Created now, by this process or by another one: the next round reads it.
            _ => {}
        }
    }
}

fn from_file(path: &Path, operation: Operation) -> Result<Key> {
    let file = anyipc_os::open_read(path).map_err(|error| {
        let what = format!(
            "the key file {} (make one with: (umask 077; head -c 32 /dev/urandom > {0}))",
            path.display()
        );
        Error::io(operation, &what, error)
    })?;
    read(&file, path, operation)
}

fn read(file: &Fd, path: &Path, operation: Operation) -> Result<Key> {
    let fail = |error| Error::io(operation, &format!("the key file {}", path.display()), error);
    let status = file.status().map_err(fail)?;
    let refuse = |kind, why: &str| {
        Err(Error::new(operation, kind).because(format!("{}: {why}", path.display())))
    };
    if status.kind != FileKind::Regular || !status.ours || !status.private {
        return refuse(
            ErrorKind::PermissionDenied,
            "a key is a file of this user that no other user may read (chmod 600)",
        );
    }
    if !LENGTHS.contains(&status.size) {
        return refuse(
            ErrorKind::InvalidOption,
            "a key has 16 to 4096 bytes; 32 random ones are good",
        );
    }
    let mut bytes = vec![0; status.size as usize];
    let got = file.read_at(&mut bytes, 0).map_err(fail)?;
    if got != bytes.len() {
        return refuse(ErrorKind::InvalidOption, "it became shorter while it was read");
    }
    Ok(Key::new(bytes.into()))
}
