use std::io;

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, fstat,
    fstatfs, memfd_create,
};
use rustix::io::Errno;

use anyipc_os::Fd;

/// The seals that keep a peer from resizing the memory.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Bytes that one step reserves or gives back, which takes the kernel about 0.2 ms: 3 us a page. A
/// multiple of every page size.
const PIECE: usize = 256 << 10;

/// Nameless memory of exactly `len` bytes, zeroed. Its first `wanted` bytes are reserved piece by
/// piece. The others must be reserved by [`Map::reserve`](crate::sys::Map::reserve) before they are
/// touched.
#[derive(Debug)]
pub struct Anonymous {
    fd: Fd,
    /// Bytes to be reserved.
    wanted: usize,
    /// Bytes that are reserved, from the start.
    reserved: usize,
}

impl Anonymous {
    /// Memory with no byte reserved.
    pub fn new(len: usize, wanted: usize) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = Fd::make(|| Ok(memfd_create("anyipc", flags)?))?;
        fd.lengthen(len)?;
        fcntl_add_seals(&fd, SEALS)?;
        Ok(Self { fd, wanted, reserved: 0 })
    }

    /// Reserves the next piece. True if all is reserved. A step that a signal interrupts does
    /// nothing.
    pub fn reserve_some(&mut self) -> io::Result<bool> {
        let piece = PIECE.min(self.wanted - self.reserved);
        if piece > 0 {
            match fallocate(&self.fd, FallocateFlags::empty(), self.reserved as u64, piece as u64) {
                Ok(()) => self.reserved += piece,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.reserved == self.wanted)
    }

    /// Gives the last piece back, of memory that no other process has. True if nothing is reserved
    /// any more.
    pub fn give_back_some(&mut self) -> bool {
        let start = self.reserved.saturating_sub(PIECE);
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.fd, hole, start as u64, (self.reserved - start) as u64) {
            Ok(()) => self.reserved = start,
            Err(Errno::INTR) => {}
            // The rest is given back at once.
            Err(_) => return true,
        }
        self.reserved == 0
    }

    /// Bytes that are reserved in the end.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// The memory, to be mapped and handed over once all is reserved.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }
}

/// Makes and reserves it in one call, for small memory.
pub fn anonymous(len: usize, wanted: usize) -> io::Result<Fd> {
    let mut memory = Anonymous::new(len, wanted)?;
    while !memory.reserve_some()? {}
    Ok(memory.fd)
}

/// Accepts memory from a peer only if it has `len` bytes and can never have fewer; else
/// `InvalidData`.
pub fn check_anonymous(fd: &Fd, len: usize) -> io::Result<()> {
    if sealed_len(fd)? == len {
        Ok(())
    } else {
        Err(wrong("the memory has not the announced size"))
    }
}

/// The bytes of a peer's memory, which can never be fewer; else `InvalidData`.
pub fn sealed_len(fd: &Fd) -> io::Result<usize> {
    // First: what follows asks the file system, which may be a process of the peer's (FUSE) that
    // never answers. Such a file has no seals.
    match fcntl_get_seals(fd) {
        Ok(seals) if seals.contains(SEALS) => {}
        _ => return Err(wrong("the memory is not sealed against resizing")),
    }
    // Huge pages can be sealed too, but running out of them is a signal.
    if fstatfs(fd)?.f_type != libc::TMPFS_MAGIC {
        return Err(wrong("the memory is not a plain memfd"));
    }
    usize::try_from(fstat(fd)?.st_size)
        .map_err(|_| wrong("the memory is too large for this process"))
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
