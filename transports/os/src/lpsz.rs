//! The text of `alloc_lpsz` as a file beside its owner's lock.

use std::ffi::CStr;
use std::io;

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

use crate::{Dir, FileKind, FileNaming, write_atomically};

/// The longest text, in bytes.
const LONGEST: u64 = 1 << 30;

/// Stores the text in a file of this name. The caller holds the name's lock, and no text is there.
///
/// # Errors
/// `InvalidOption` for a text with a NUL or of 1 GiB, and those of the system.
pub fn store_lpsz(dir: &Dir, file: &str, text: &[u8]) -> Result<()> {
    let operation = Operation::AllocLpsz;
    if text.contains(&0) || text.len() as u64 >= LONGEST {
        return Err(Error::new(operation, ErrorKind::InvalidOption)
            .because("a text has no NUL in it and less than 1 GiB"));
    }
    write_atomically(dir, file, &[text, b"\0"].concat()).map_err(|error| {
        Error::io(operation, &format!("storing {}", dir.path().join(file).display()), error)
    })
}

/// Shows the text that the live owner of a name stored in this file.
///
/// # Errors
/// `NotFound` if the owner left, or stored none; `Corrupt`, and those of the system.
pub fn show_lpsz(
    dir: &Dir,
    naming: &FileNaming,
    name: &Name,
    file: &str,
    read: &mut dyn FnMut(&CStr),
) -> Result<()> {
    let operation = Operation::ReadLpsz;
    let missing = |why: &str| Error::new(operation, ErrorKind::NotFound).because(why);
    if !naming.is_live(dir, name, operation)? {
        return Err(missing("its owner left"));
    }
    let file = match dir.open_file(file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(missing("the name has no text; alloc_lpsz makes one that does"));
        }
        Err(error) => return Err(Error::io(operation, "opening the text", error)),
    };
    let fail = |error| Error::io(operation, "reading the text", error);
    let corrupt =
        || Error::new(operation, ErrorKind::Corrupt).because("the text's file is damaged");
    let status = file.status().map_err(fail)?;
    if status.kind != FileKind::Regular || !status.ours || status.size > LONGEST {
        return Err(corrupt());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(status.size as usize).map_err(|error| fail(error.into()))?;
    bytes.resize(status.size as usize, 0);
    let got = file.read_at(&mut bytes, 0).map_err(fail)?;
    bytes.truncate(got);
    read(CStr::from_bytes_with_nul(&bytes).map_err(|_| corrupt())?);
    Ok(())
}
