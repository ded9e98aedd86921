//! The files in the private directory. `pipe+<os name>.lock` is held by the owner for as long as it
//! lives. `pipe+<os name>.fifo` is where connectors ask for the owner. `pipe+<os name>.text` is the
//! text of `alloc_lpsz`. `pipe+<os name>.<connection id>.…` are the four FIFOs of a connection
//! until both sides have opened them.

use anyipc_core::Name;
use anyipc_os::FileNaming;

/// The beginning of the names of this transport's files.
pub(crate) const PREFIX: &str = "pipe+";
pub(crate) const LISTENER: &str = ".fifo";
pub(crate) const TEXT: &str = ".text";
/// A text that is still being written.
pub(crate) const UNFINISHED_TEXT: &str = ".text.tmp";
pub(crate) static NAMING: FileNaming =
    FileNaming { prefix: PREFIX, suffix: ".lock", heading: "anyipc-pipe 1" };

/// The FIFOs of a connection. The connector sends on the first one, which it keeps locked while it
/// lives, and the owner says on the second one that it stops receiving. The other two are for the
/// other direction.
pub(crate) const UP: &str = ".up";
pub(crate) const UP_STOP: &str = ".up-stop";
pub(crate) const DOWN: &str = ".down";
pub(crate) const DOWN_STOP: &str = ".down-stop";
/// All of them, in the order of their removal. The locked one is last: as long as it exists, the
/// others are in use.
pub(crate) const CONNECTION: [&str; 4] = [UP_STOP, DOWN, DOWN_STOP, UP];

/// The beginning of the names of all files of a name.
pub(crate) fn stem(name: &Name) -> String {
    format!("{PREFIX}{}", name.os_name())
}

/// The FIFO in which connectors ask for the owner.
pub(crate) fn listener(name: &Name) -> String {
    stem(name) + LISTENER
}

/// The file of the text.
pub(crate) fn text(name: &Name) -> String {
    stem(name) + TEXT
}

/// One of a connection's FIFOs.
pub(crate) fn of_connection(name: &Name, connection_id: &str, end: &str) -> String {
    format!("{}.{connection_id}{end}", stem(name))
}
