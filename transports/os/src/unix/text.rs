use std::io;

use rustix::fs::ftruncate;
use rustix::io::{pread, retry_on_intr as retry};

use super::fd::Fd;

/// Replaces a small file's contents.
pub fn overwrite(file: &Fd, text: &[u8]) -> io::Result<()> {
    retry(|| ftruncate(file, 0))?;
    file.write_all_at(text, 0)
}

/// Reads a small file, at most `max` bytes of it.
pub fn read_text(file: &Fd, max: usize) -> io::Result<String> {
    let mut bytes = vec![0; max];
    let got = retry(|| pread(file, &mut bytes, 0))?;
    bytes.truncate(got);
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}
