//! The text of `alloc_lpsz`: a file that lives as long as its owner.

use std::ffi::CStr;
use std::io;

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};
use anyipc_os::{Dir, FileKind};

use crate::files::{self, MARKS};

/// The longest text, in bytes.
const LONGEST: u64 = 1 << 30;

/// Stores the text. The caller holds the name's lock, and no text is there.
pub(crate) fn write(dir: &Dir, name: &Name, text: &[u8]) -> Result<()> {
    let operation = Operation::AllocLpsz;
    if text.contains(&0) || text.len() as u64 >= LONGEST {
        return Err(Error::new(operation, ErrorKind::InvalidOption)
            .because("a text has no NUL in it and less than 1 GiB"));
    }
    let store = || {
        // Whoever sees the name sees the whole text.
        let file = dir.nameless_file()?;
        file.reserve(text.len() + 1)?;
        file.write_all_at(text, 0)?;
        dir.link_nameless(&file, &files::text(name))
    };
    store().map_err(|error| {
        Error::io(operation, &format!("storing {}", dir.path().join(files::text(name)).display()), error)
    })
}

/// Shows the text of a live owner.
pub(crate) fn read(dir: &Dir, name: &Name, read: &mut dyn FnMut(&CStr)) -> Result<()> {
    let operation = Operation::ReadLpsz;
    let missing = |why: &str| Error::new(operation, ErrorKind::NotFound).because(why);
    if !MARKS.is_live(dir, name, operation)? {
        return Err(missing("its owner left"));
    }
    let file = match dir.open_file(&files::text(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(missing("the name has no text; alloc_lpsz makes one that does"));
        }
        Err(error) => return Err(Error::io(operation, "opening the text", error)),
    };
    let fail = |error| Error::io(operation, "reading the text", error);
    let corrupt = || Error::new(operation, ErrorKind::Corrupt).because("the text's file is damaged");
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
