//! The first page of a segment's file.

use anyipc_core::{Error, ErrorKind, MAX_NAME, Name, Operation, Result};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::kind::Kind;
use crate::sys::{self, Fd};

/// The object stays without holders.
pub(crate) const PERSIST: u32 = 1;
/// The contents are a text and a NUL.
pub(crate) const LPSZ: u32 = 2;

const MAGIC: [u8; 8] = *b"anyipc\0B";
const LAYOUT: u32 = 1;

/// Where the control words of the segment's users lie in the first page: behind the header, in
/// every page size.
pub(crate) const CONTROL: usize = 1024;
/// Bytes of control words.
pub(crate) const CONTROL_LEN: usize = 128;
/// Where it is noted that the segment has companions (u32).
pub(crate) const COMPANIONS: usize = 1152;

/// Where the participant slots of those that lock and wait in the contents lie.
pub(crate) const PARTICIPANTS: usize = 1280;
/// The end of all this: the smallest page.
pub(crate) const END: usize = 4096;

/// As stored, in the machine's byte order: the file never leaves the machine.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Raw {
    magic: [u8; 8],
    layout: u32,
    flags: u32,
    /// The page size, where the contents start.
    start: u64,
    /// Exact bytes of contents.
    size: u64,
    name_len: u64,
    name: [u8; MAX_NAME + 1],
    /// What the contents are.
    kind: [u8; 8],
}

/// The fields of a valid header.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// The full name.
    pub(crate) name: Name,
    /// Bytes of contents.
    pub(crate) size: usize,
    /// `PERSIST`, `LPSZ`.
    pub(crate) flags: u32,
}

/// Why a file is not a segment of this layout.
#[derive(Debug)]
pub(crate) struct BadHeader {
    pub(crate) kind: ErrorKind,
    pub(crate) why: String,
    /// It starts with our magic number.
    pub(crate) ours: bool,
}

impl Header {
    /// Bytes of the file: the header's page and whole pages of contents.
    pub(crate) fn file_size(size: usize) -> Option<usize> {
        let page = sys::page_size();
        size.checked_next_multiple_of(page)?
            .checked_add(page)
            .filter(|&n| isize::try_from(n).is_ok())
    }

    /// Writes the header into a fresh file of [`Header::file_size`].
    pub(crate) fn write(&self, fd: &Fd, kind: &Kind) -> std::io::Result<()> {
        let mut raw = Raw::new_zeroed();
        raw.magic = MAGIC;
        raw.layout = LAYOUT;
        raw.flags = self.flags;
        raw.start = sys::page_size() as u64;
        raw.size = self.size as u64;
        let name = self.name.as_str().as_bytes();
        raw.name_len = name.len() as u64;
        raw.kind = kind.word;
        for (to, from) in raw.name.iter_mut().zip(name) {
            *to = *from;
        }
        fd.write_all_at(raw.as_bytes(), 0)
    }

    /// Reads a private copy and checks every field.
    pub(crate) fn read(fd: &Fd, kind: &Kind) -> std::result::Result<Self, BadHeader> {
        let mut raw = Raw::new_zeroed();
        let io = |e: std::io::Error| BadHeader {
            kind: ErrorKind::StatFailed,
            why: e.to_string(),
            ours: false,
        };
        let read = fd.read_at(raw.as_mut_bytes(), 0).map_err(io)?;
        let ours = raw.magic == MAGIC;
        let bad = |kind, why: String| Err(BadHeader { kind, why, ours });
        if !ours {
            return bad(ErrorKind::Corrupt, "it does not start like a segment".into());
        }
        if raw.layout != LAYOUT {
            let why = format!("it has layout {}, this program speaks layout {LAYOUT}", raw.layout);
            return bad(ErrorKind::Mismatch, why);
        }
        let corrupt = |why: &str| bad(ErrorKind::Corrupt, why.into());
        if read < size_of::<Raw>() {
            return corrupt("its header is cut off");
        }
        if raw.kind != kind.word {
            let why = format!("it holds a {}, not a {}", Kind::describe(raw.kind), kind.noun);
            return bad(ErrorKind::Mismatch, why);
        }
        if raw.start != sys::page_size() as u64 {
            return corrupt("its page size is not this machine's");
        }
        if raw.flags & !(PERSIST | LPSZ) != 0 {
            return corrupt("it has unknown flags");
        }
        let name = usize::try_from(raw.name_len).ok().and_then(|len| raw.name.get(..len));
        let name = name.and_then(|n| std::str::from_utf8(n).ok()).and_then(|n| Name::new(n).ok());
        let Some(name) = name else { return corrupt("it stores no valid name") };
        let size = usize::try_from(raw.size).ok().filter(|&size| size > 0);
        let Some((size, file_size)) = size.and_then(|s| Some((s, Self::file_size(s)?))) else {
            // A process with longer addresses can have made it.
            if usize::BITS < 64 && (1..i64::MAX as u64).contains(&raw.size) {
                let why = format!("its {} bytes are more than this program can address", raw.size);
                return bad(ErrorKind::Mismatch, why);
            }
            return corrupt("it stores no valid size");
        };
        match fd.status() {
            Err(error) => Err(io(error)),
            Ok(status) if status.size != file_size as u64 => {
                corrupt(&format!("it has {} bytes where its header says {file_size}", status.size))
            }
            Ok(_) => Ok(Self { name, size, flags: raw.flags }),
        }
    }
}

impl BadHeader {
    /// The error for a user of the name.
    pub(crate) fn error(self, op: Operation, path: &str) -> Error {
        Error::new(op, self.kind).because(format!("{path}: {}; {}", self.why, advice(path)))
    }
}

/// Advice about a file that is in the way and may not be ours.
pub(crate) fn advice(path: &str) -> String {
    format!(
        "it is never removed for you: look at it with `anyipc doctor`, or `rm {path}` if nothing \
         needs it"
    )
}

/// Bytes of the file of a segment with this much contents.
pub(crate) fn check_size(size: usize, op: Operation) -> Result<usize> {
    match Header::file_size(size) {
        _ if size == 0 => {
            Err(Error::new(op, ErrorKind::InvalidOption).because("a block has 1 byte or more"))
        }
        None => Err(Error::new(op, ErrorKind::OutOfMemory)
            .because(format!("a block of {size} bytes fits into no address space"))),
        Some(file_size) => Ok(file_size),
    }
}
