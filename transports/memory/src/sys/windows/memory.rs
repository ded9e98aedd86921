use std::io;
use std::time::Duration;

use anyipc_core::Operation;
use anyipc_os::{Dir, Fd, FileKind, Lock, Scope, hold, try_lock};

/// Memory of exactly `len` bytes, zeroed: a file of the private directory, which goes with the last
/// process that has it open or mapped. A peer finds it by its token. All bytes have their space
/// from the beginning.
#[derive(Debug)]
pub struct Anonymous {
    fd: Fd,
    /// Bytes to be reserved.
    wanted: usize,
}

impl Anonymous {
    /// The memory, of which `wanted` bytes are to be reserved.
    pub fn new(len: usize, wanted: usize) -> io::Result<Self> {
        let dir = Dir::open(Scope::User, Operation::Create).map_err(io::Error::other)?;
        let fd = dir.nameless_file()?;
        // Held for as long as it is open or mapped here: it is no dead process's leftover.
        try_lock(&fd, Lock::Shared)?;
        hold(&fd)?;
        fd.reserve(len, Duration::ZERO)?;
        Ok(Self { fd, wanted })
    }

    /// Reserves the next piece. True if all is reserved: at once.
    #[expect(clippy::unnecessary_wraps, reason = "as on other platforms")]
    pub fn reserve_some(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    /// Gives the last piece back. True if nothing is reserved any more: all of it goes at once,
    /// with the file.
    pub fn give_back_some(&mut self) -> bool {
        true
    }

    /// Bytes that are reserved in the end.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// The memory, to be mapped and handed over.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }
}

/// Makes it in one call.
pub fn anonymous(len: usize, wanted: usize) -> io::Result<Fd> {
    Anonymous::new(len, wanted).map(|memory| memory.fd)
}

/// Accepts memory from a peer only if it has `len` bytes and will have as many while it is mapped;
/// else `InvalidData`.
pub fn check_anonymous(fd: &Fd, len: usize) -> io::Result<()> {
    if sealed_len(fd)? == len {
        Ok(())
    } else {
        Err(wrong("the memory has not the announced size"))
    }
}

/// The bytes of a peer's memory, which will not be fewer while it is mapped; else `InvalidData`.
/// (If they are fewer by then, mapping them fails.)
pub fn sealed_len(fd: &Fd) -> io::Result<usize> {
    let status = fd.status()?;
    if status.kind != FileKind::Regular || !status.ours {
        return Err(wrong("the memory is not a file of this user"));
    }
    usize::try_from(status.size).map_err(|_| wrong("the memory is too large for this process"))
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
