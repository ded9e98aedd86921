//! The messages to send: the text of the command line, or the lines of the standard input.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};

use crate::failure::{Failure, Result};

/// The text. `None` for the lines of the standard input: no text, or `-`.
pub(crate) fn given(text: Option<&OsString>) -> Option<Vec<u8>> {
    text.filter(|text| *text != "-").map(|text| text.clone().into_encoded_bytes())
}

/// Passes the text to `put`, or each line of the standard input without its line end. `longest` is
/// the limit of a message, in bytes.
pub(crate) fn each(
    text: Option<&[u8]>,
    longest: u64,
    put: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    match text {
        Some(text) => put(text),
        None => each_line(io::stdin().lock(), longest, put),
    }
}

fn each_line(
    mut input: impl BufRead,
    longest: u64,
    put: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    // One byte more than a message and its line end. `put` refuses a longer line; the rest of it is
    // not read.
    let longest = longest.saturating_add(2);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = (&mut input)
            .take(longest)
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::Io("reading the standard input".into(), error))?;
        if count == 0 {
            return Ok(());
        }
        put(line.strip_suffix(b"\n").unwrap_or(&line))?;
    }
}
