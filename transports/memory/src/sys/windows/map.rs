use std::io;
use std::os::windows::io::AsRawHandle;

use memmap2::{MmapOptions, MmapRaw};

use anyipc_os::Fd;

/// Maps the first `len` bytes of a file for reading and writing. The mapping keeps the file open; a
/// mapped file cannot get shorter.
pub(crate) fn map_file(fd: &Fd, len: usize) -> io::Result<MmapRaw> {
    MmapOptions::new().len(len).map_raw(fd.as_raw_handle())
}

/// Nothing to do: a file has the space of all its bytes from the beginning.
#[expect(clippy::unnecessary_wraps, reason = "as on other platforms")]
pub(crate) fn populate(_map: &MmapRaw, _start: usize, _len: usize) -> io::Result<()> {
    Ok(())
}
