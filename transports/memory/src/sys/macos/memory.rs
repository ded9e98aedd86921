//! Memory without a name, from `shm_open`. macOS sets the size of such memory once, by the first
//! `ftruncate`; every further one is refused. So no peer can cut it, as if it were sealed.
//!
//! `--cfg anyipc_as_macos` chooses this on Linux. There the memory is a file of a tmpfs: it can be
//! cut, and its pages are not reserved, so that a full file system is a signal. For tests only.

use std::io;
use std::time::Duration;

use rustix::fs::{FileType, Mode, fstat};
use rustix::shm;

use anyipc_core::Operation;
use anyipc_os::{Dir, Fd, Scope, Token, UNPUBLISHED, UnpublishedFile, user};

/// Sizes are multiples of this, the largest page of all Macs: a program for Intel, with pages of
/// 4 KiB, may share memory with one for Apple's processors, with pages of 16.
const GRANULE: usize = 16 << 10;

/// How long signals may keep a file from getting its space.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Digits of a random name: with the rest at most 30 bytes, as many as the system takes.
const DIGITS: usize = 22;

/// Zeroed memory of `len` bytes, rounded up to whole pages. Its first `wanted` bytes belong to it
/// from the beginning, as far as the system can tell: see [`populate`](super::populate).
#[derive(Debug)]
pub struct Anonymous {
    fd: Fd,
    wanted: usize,
}

impl Anonymous {
    /// The memory. Where the system denies `shm_open`, as in some sandboxes, it is a file in the
    /// private directory that has lost its name, and has all its space.
    pub fn new(len: usize, wanted: usize) -> io::Result<Self> {
        let len = len.checked_next_multiple_of(GRANULE).ok_or(io::ErrorKind::OutOfMemory)?;
        let fd = match shared_memory(len) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => nameless_file(len)?,
            made => made?,
        };
        Ok(Self { fd, wanted: wanted.min(len).next_multiple_of(GRANULE) })
    }

    /// Reserves the next piece: there is none. True.
    pub fn reserve_some(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    /// Gives the last piece back: there is none. True.
    pub fn give_back_some(&mut self) -> bool {
        true
    }

    /// Bytes that are wanted from the beginning, whole pages.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// The memory, to be mapped and handed over.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }
}

/// Makes it in one call, for small memory.
pub fn anonymous(len: usize, wanted: usize) -> io::Result<Fd> {
    Ok(Anonymous::new(len, wanted)?.fd)
}

/// Memory of `shm_open`. Its name is removed at once. A process that is killed in between leaves
/// the name until the system restarts, and no memory, since none of it was touched.
fn shared_memory(len: usize) -> io::Result<Fd> {
    let token = Token::random()?;
    let name = format!("/anyipc-{}", token.as_str().get(..DIGITS).unwrap_or_default());
    let flags = shm::OFlags::RDWR | shm::OFlags::CREATE | shm::OFlags::EXCL;
    // The system closes it on exec by itself, and new ones refuse the flag.
    let fd = Fd::make(|| Ok(shm::open(&name, flags, Mode::RUSR | Mode::WUSR)?))?;
    let sized = fd.lengthen(len);
    shm::unlink(&name)?;
    sized.map(|()| fd)
}

/// A file without a name. A process that is killed before it loses its temporary one leaves that to
/// the next sweep.
fn nameless_file(len: usize) -> io::Result<Fd> {
    let dir = Dir::open(Scope::User, Operation::Create).map_err(io::Error::other)?;
    let temporary = format!("memory-{}{UNPUBLISHED}", Token::random()?);
    let file = UnpublishedFile::with_temporary_name(&dir, &temporary)?.into_nameless();
    file.reserve(len, TIMEOUT)?;
    Ok(file)
}

/// Accepts memory from a peer only if it is what [`Anonymous`] makes for `len` bytes; else
/// `InvalidData`.
pub fn check_anonymous(fd: &Fd, len: usize) -> io::Result<()> {
    if len.checked_next_multiple_of(GRANULE) == Some(sealed_len(fd)?) {
        Ok(())
    } else {
        Err(wrong("the memory has not the announced size"))
    }
}

/// The bytes of a peer's memory, whole pages; else `InvalidData`. Memory of `shm_open` can never
/// have fewer. A file can: it is accepted only if it is this user's and has no name, so that only
/// the peer itself can cut it. It is this user's process, which could do the same to any block.
pub fn sealed_len(fd: &Fd) -> io::Result<usize> {
    let status = fstat(fd)?;
    // Memory of `shm_open` is of no kind of file on macOS.
    let is_shared_memory = status.st_mode & libc::S_IFMT == 0;
    let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
    let is_ours = is_file && status.st_nlink == 0 && status.st_uid == user();
    if !is_shared_memory && !is_ours {
        return Err(wrong("the memory is neither of shm_open nor a file without a name"));
    }
    usize::try_from(status.st_size).map_err(|_| wrong("the memory is too large for this process"))
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::region::Region;
    use crate::sys::Map;

    #[test]
    fn memory_is_zeroed_and_accepted_in_its_own_size_only() {
        for make in [shared_memory, nameless_file] {
            let fd = make(2 * GRANULE).unwrap();
            for len in [GRANULE + 1, 2 * GRANULE] {
                check_anonymous(&fd, len).unwrap();
            }
            for len in [0, GRANULE, 2 * GRANULE + 1, usize::MAX] {
                let error = check_anonymous(&fd, len).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{len}");
            }
            let region = Region::whole(Map::new(&fd, 2 * GRANULE).unwrap());
            assert!((0..2 * GRANULE).step_by(8).all(|at| region.u64(at).load(Relaxed) == 0));
        }
    }

    #[test]
    fn no_other_file_is_taken_for_memory() {
        let dir = Dir::open(Scope::User, Operation::Create).unwrap();
        let name = format!("named-{}", Token::random().unwrap());
        let file = dir.create_file(&name).unwrap();
        file.lengthen(GRANULE).unwrap();
        let refused = sealed_len(&file).map_err(|error| error.kind());
        dir.unlink(&name).unwrap();
        assert_eq!(refused, Err(io::ErrorKind::InvalidData), "it has a name");
        let (socket, _other) = anyipc_os::stream_pair().unwrap();
        assert_eq!(sealed_len(&socket).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn wanted_bytes_are_whole_pages_of_the_memory() {
        for (len, wanted, whole) in [(1, 1, GRANULE), (3 * GRANULE, GRANULE + 1, 2 * GRANULE)] {
            let mut memory = Anonymous::new(len, wanted).unwrap();
            assert!(memory.reserve_some().unwrap());
            assert_eq!(memory.wanted(), whole);
            check_anonymous(memory.fd(), len).unwrap();
            assert!(memory.give_back_some());
        }
        let error = Anonymous::new(usize::MAX, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }

    /// What takes the place of a seal.
    #[cfg(target_os = "macos")]
    #[test]
    fn the_size_of_memory_is_set_once() {
        let fd = shared_memory(GRANULE).unwrap();
        for len in [0, GRANULE, 2 * GRANULE] {
            fd.lengthen(len).unwrap_err();
        }
    }
}
