use std::collections::BTreeSet;
use std::ffi::CStr;

use anyipc_core::{Key, Name, Result};
use anyipc_os::{Contents, Dir, FileKind, FileNaming, Group, GroupKind, files_of, show_lpsz};

const SOCKET: &str = ".sock";
const TEXT: &str = ".text";
/// A text that is still being written.
const UNFINISHED_TEXT: &str = ".text.tmp";
const LOCK: &str = ".lock";

/// What distinguishes one scheme of named streams from another, and the files of its names.
#[derive(Debug)]
pub struct StreamScheme {
    pub(super) schemes: &'static [&'static str],
    pub(super) keys: &'static [Key],
    pub(super) about: &'static str,
    pub(super) naming: &'static FileNaming,
    files: GroupKind,
}

impl StreamScheme {
    /// A scheme with its options, the sentence that describes it to people, and the naming of its
    /// lock files, which must have the suffix `.lock`.
    pub const fn new(
        schemes: &'static [&'static str],
        keys: &'static [Key],
        about: &'static str,
        naming: &'static FileNaming,
    ) -> Self {
        let files = GroupKind {
            object: "rendezvous",
            ends: &[SOCKET, TEXT, UNFINISHED_TEXT, LOCK],
            shown: SOCKET,
            lock: FileKind::Regular,
            text: Some(TEXT),
            contents: Contents::Owner(*naming),
        };
        Self { schemes, keys, about, naming, files }
    }

    /// The file of the owner's listener.
    pub(crate) fn socket_of(&self, name: &Name) -> String {
        self.naming.stem(name) + SOCKET
    }

    /// The file of the text.
    pub(super) fn text_of(&self, name: &Name) -> String {
        self.naming.stem(name) + TEXT
    }

    /// Shows the text of a live owner.
    pub(crate) fn read_text(
        &self,
        dir: &Dir,
        name: &Name,
        read: &mut dyn FnMut(&CStr),
    ) -> Result<()> {
        show_lpsz(dir, self.naming, name, &self.text_of(name), read)
    }

    /// Removes the files beside the lock. The caller holds the lock.
    pub(crate) fn clear(&self, dir: &Dir, name: &Name) {
        let stem = self.naming.stem(name);
        for end in [SOCKET, TEXT, UNFINISHED_TEXT] {
            let _ = dir.unlink(&format!("{stem}{end}"));
        }
    }

    /// The files of one name.
    pub(super) fn group(&'static self, name: &Name) -> Group {
        Group { stem: self.naming.stem(name), kind: self.files }
    }

    /// The files of all names in the directory, one group per name.
    pub(super) fn groups(&'static self, dir: &Dir) -> Result<impl Iterator<Item = Group>> {
        let stem = |file: &String| {
            let cut = self.files.ends.iter().find_map(|end| file.strip_suffix(end));
            cut.unwrap_or(file).to_owned()
        };
        let stems: BTreeSet<_> = files_of(dir, self.naming.prefix)?.iter().map(stem).collect();
        Ok(stems.into_iter().map(|stem| Group { stem, kind: self.files }))
    }
}
