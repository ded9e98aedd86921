use std::io;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs, memfd_create};

use anyipc_os::Fd;

/// What keeps a peer from shrinking memory under our feet.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// How long signals may keep memory from being reserved.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes nameless memory of exactly `len` bytes, zeroed and sealed against resizing. So many from the start are reserved;
/// before the others are touched, [`Map::reserve`](super::Map::reserve) has to do that.
pub(crate) fn anonymous(len: usize, reserved: usize) -> io::Result<Fd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = Fd::make(|| Ok(memfd_create("anyipc", flags)?))?;
    fd.reserve(reserved, PATIENCE)?;
    if len > reserved {
        fd.lengthen(len)?;
    }
    fcntl_add_seals(&fd, SEALS)?;
    Ok(fd)
}

/// Accepts memory from a peer only if it has `len` bytes and can never have fewer; else `InvalidData`.
pub(crate) fn check_anonymous(fd: &Fd, len: usize) -> io::Result<()> {
    if sealed_len(fd)? == len { Ok(()) } else { Err(wrong("the memory has not the announced size")) }
}

/// The bytes of a peer's memory, which can never be fewer; else `InvalidData`.
pub(crate) fn sealed_len(fd: &Fd) -> io::Result<usize> {
    // First: what follows asks the file system, which may be a process of the peer's (FUSE) that never
    // answers. Such a file has no seals.
    match fcntl_get_seals(fd) {
        Ok(seals) if seals.contains(SEALS) => {}
        _ => return Err(wrong("the memory is not sealed against resizing")),
    }
    // Huge pages can be sealed too, but running out of them is a signal.
    if fstatfs(fd)?.f_type != libc::TMPFS_MAGIC {
        return Err(wrong("the memory is not a plain memfd"));
    }
    usize::try_from(fstat(fd)?.st_size).map_err(|_| wrong("the memory is too large for this process"))
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
