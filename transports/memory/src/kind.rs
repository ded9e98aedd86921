use anyipc_core::Name;

use crate::sys::FileNaming;

/// The suffix of the lock file of a rendezvous.
pub(crate) const LOCK: &str = ".lock";
/// The suffix of its listening socket.
pub(crate) const SOCKET: &str = ".sock";

/// A transport's named memory: how its files are named, and what they store that distinguishes it
/// from other memory.
#[derive(Debug)]
pub struct Kind {
    /// The prefix of all file names: empty for blocks, `scheme+` for others, so that names never
    /// clash.
    pub prefix: &'static str,
    /// The suffix of the memory's file.
    pub suffix: &'static str,
    /// The lock file's first line.
    pub heading: &'static str,
    /// Stored in the memory's header.
    pub word: [u8; 8],
    /// The name of such memory in errors and inventories.
    pub noun: &'static str,
    /// The middle of the names of files that belong to the memory and are removed with it, see
    /// [`Segment::make_wake_fifo`](crate::Segment::make_wake_fifo).
    pub companion: Option<&'static str>,
    /// Removes what belongs to the memory and is no file. It gets the first [`CLEAN`] bytes of
    /// contents before the memory's file is removed, by any process; they are unchecked.
    pub clean: Option<fn(&[u8; CLEAN])>,
}

/// Bytes of contents that [`Kind::clean`] gets.
pub const CLEAN: usize = 256;

impl Kind {
    /// The prefix of all files of a name.
    pub fn stem(&self, name: &Name) -> String {
        format!("{}{}", self.prefix, name.os_name())
    }

    /// The memory's file.
    pub(crate) fn file(&self, name: &Name) -> String {
        self.stem(name) + self.suffix
    }

    /// The listening socket.
    pub(crate) fn socket(&self, name: &Name) -> String {
        self.stem(name) + SOCKET
    }

    /// The names and the first line of the owners' lock files.
    pub fn naming(&self) -> FileNaming {
        FileNaming { prefix: self.prefix, suffix: LOCK, heading: self.heading }
    }

    /// True if the file belongs to this transport.
    pub(crate) fn owns(&self, file: &str) -> bool {
        if self.prefix.is_empty() { !file.contains('+') } else { file.starts_with(self.prefix) }
    }

    /// If the file is a companion: the stem of its memory.
    pub(crate) fn master_of<'a>(&self, file: &'a str) -> Option<&'a str> {
        let (stem, number) = file.rsplit_once(self.companion?)?;
        number.bytes().all(|b| b.is_ascii_digit()).then_some(stem)
    }

    /// True if the contents mean nothing to this crate: blocks.
    pub(crate) fn is_plain(&self) -> bool {
        self.word == [0; 8]
    }

    /// What memory with this word in its header is called.
    pub(crate) fn describe(word: [u8; 8]) -> String {
        match word {
            [0, ..] => "block".to_owned(),
            _ => String::from_utf8_lossy(&word).trim_end_matches('\0').escape_default().to_string(),
        }
    }
}
