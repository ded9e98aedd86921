use anyipc_core::Name;

use crate::sys::FileNaming;

/// The suffix of the lock file of a rendezvous.
pub(crate) const LOCK: &str = ".lock";
/// The suffix of its listening socket.
pub(crate) const SOCKET: &str = ".sock";

/// What a transport over named memory calls its files, and what it stores in them to tell its
/// memory from others'.
#[derive(Debug)]
pub struct Kind {
    /// What every file name begins with: empty for blocks, `scheme+` for others, so that names
    /// never clash.
    pub prefix: &'static str,
    /// What the name of the memory's file ends with.
    pub suffix: &'static str,
    /// The lock file's first line.
    pub heading: &'static str,
    /// Stored in the memory's header.
    pub word: [u8; 8],
    /// What the memory is called in errors and inventories.
    pub noun: &'static str,
    /// The middle of the names of files that belong to the memory and go when it goes, see
    /// [`Segment::make_wake_fifo`](crate::Segment::make_wake_fifo).
    pub companion: Option<&'static str>,
    /// What belongs to the memory and is no file: gets the first [`CLEAN`] bytes of contents before
    /// the memory's file is removed, whoever removes it. They may hold anything.
    pub clean: Option<fn(&[u8; CLEAN])>,
}

/// How many bytes of contents [`Kind::clean`] gets.
pub const CLEAN: usize = 256;

impl Kind {
    /// What the names of all files of a name begin with.
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

    /// What the lock files of the owners are called, and begin with.
    pub fn naming(&self) -> FileNaming {
        FileNaming { prefix: self.prefix, suffix: LOCK, heading: self.heading }
    }

    /// Whether a file is of this transport.
    pub(crate) fn owns(&self, file: &str) -> bool {
        if self.prefix.is_empty() { !file.contains('+') } else { file.starts_with(self.prefix) }
    }

    /// The stem of the memory that a file is a companion of.
    pub(crate) fn master_of<'a>(&self, file: &'a str) -> Option<&'a str> {
        let (stem, number) = file.rsplit_once(self.companion?)?;
        number.bytes().all(|b| b.is_ascii_digit()).then_some(stem)
    }

    /// True if the contents mean nothing to this crate: blocks.
    pub(crate) fn is_plain(&self) -> bool {
        self.word == [0; 8]
    }

    /// What memory with another word in its header holds.
    pub(crate) fn describe(word: [u8; 8]) -> String {
        match word {
            [0, ..] => "block".to_owned(),
            _ => String::from_utf8_lossy(&word).trim_end_matches('\0').escape_default().to_string(),
        }
    }
}
