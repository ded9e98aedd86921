use std::io;
use std::os::fd::{AsFd, AsRawFd};

use memmap2::{MmapOptions, MmapRaw};

use anyipc_os::{Fd, NoFork, register};

/// Maps the first `len` bytes of a file for reading and writing. A forked child does not have them.
pub(crate) fn map_file(fd: &Fd, len: usize) -> io::Result<MmapRaw> {
    register()?;
    // A child of a fork before the second call would have the mapping.
    let _no_fork = NoFork::new();
    let map = MmapOptions::new().len(len).map_raw(fd.as_fd().as_raw_fd())?;
    // SAFETY: the range is one whole mapping, made just now; the call changes nothing of it but
    // what a child gets.
    let code = unsafe { libc::minherit(map.as_mut_ptr().cast(), len, libc::VM_INHERIT_NONE) };
    if code == 0 { Ok(map) } else { Err(io::Error::last_os_error()) }
}

/// Nothing: no call of this system allocates the pages of shared memory ahead (`MADV_WILLNEED` is
/// a hint). Files are allocated when they are made; other memory when it is touched. A system
/// with neither memory nor swap left then ends processes, whatever they do.
pub(crate) fn populate(_map: &MmapRaw, _start: usize, _len: usize) -> io::Result<()> {
    Ok(())
}
