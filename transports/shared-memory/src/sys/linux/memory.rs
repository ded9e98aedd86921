use std::io;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs, memfd_create};

use anyipc_os::Fd;

/// What keeps a peer from shrinking memory under our feet.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Makes nameless memory of exactly `len` bytes, zeroed and sealed against resizing. So many from the start are reserved;
/// before the others are touched, [`Map::reserve`](super::Map::reserve) has to do that.
pub(crate) fn anonymous(len: usize, reserved: usize) -> io::Result<Fd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = Fd::make(|| Ok(memfd_create("anyipc", flags)?))?;
    fd.reserve(reserved)?;
    if len > reserved {
        fd.lengthen(len)?;
    }
    fcntl_add_seals(&fd, SEALS)?;
    Ok(fd)
}

/// Accepts memory from a peer only if it has `len` bytes and can never have fewer; else `InvalidData`.
pub(crate) fn check_anonymous(fd: &Fd, len: usize) -> io::Result<()> {
    let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    // Huge pages can be sealed too, but running out of them is a signal.
    if fstatfs(fd)?.f_type != libc::TMPFS_MAGIC {
        return wrong("the memory is not a plain memfd");
    }
    match fcntl_get_seals(fd) {
        Ok(seals) if seals.contains(SEALS) => {}
        _ => return wrong("the memory is not sealed against resizing"),
    }
    if u64::try_from(fstat(fd)?.st_size).ok() == u64::try_from(len).ok() {
        Ok(())
    } else {
        wrong("the memory has not the announced size")
    }
}
