use std::io;
use std::os::fd::{AsFd, AsRawFd};

use memmap2::{Advice, MmapOptions, MmapRaw};

use anyipc_os::{Fd, NoFork, register};

/// Maps the first `len` bytes of a file for reading and writing. A forked child does not have them.
pub(crate) fn map_file(fd: &Fd, len: usize) -> io::Result<MmapRaw> {
    register()?;
    // A child of a fork before the advice would have the mapping.
    let _no_fork = NoFork::new();
    let map = MmapOptions::new().len(len).map_raw(fd.as_fd().as_raw_fd())?;
    map.advise(Advice::DontFork)?;
    Ok(map)
}

/// Allocates and maps the pages of a part; what is there already stays as it is.
pub(crate) fn populate(map: &MmapRaw, start: usize, len: usize) -> io::Result<()> {
    map.advise_range(Advice::PopulateWrite, start, len)
}
