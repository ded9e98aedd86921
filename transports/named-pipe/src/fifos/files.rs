//! What lies in the private directory: `pipe+<os name>.lock` is held by the owner for as long as it lives,
//! `pipe+<os name>.fifo` is where connectors ask for it, `pipe+<os name>.text` is the text of `alloc_lpsz`.
//! `pipe+<os name>.<connection_id>.…` are the four FIFOs of a connection until both sides have opened them.

use anyipc_core::Name;
use anyipc_os::FileNaming;

/// What begins the names of this transport's files.
pub(crate) const PREFIX: &str = "pipe+";
pub(crate) const LISTENER: &str = ".fifo";
pub(crate) const TEXT: &str = ".text";
/// A text that is not whole yet.
pub(crate) const UNFINISHED_TEXT: &str = ".text.tmp";
pub(crate) static NAMING: FileNaming =
    FileNaming { prefix: PREFIX, suffix: ".lock", heading: "anyipc-pipe 1" };

/// A connection's FIFOs. The connector sends on the first, which it holds locked while it lives, and learns on
/// the second that the owner stopped receiving; the others are the owner's.
pub(crate) const UP: &str = ".up";
pub(crate) const UP_STOP: &str = ".up-stop";
pub(crate) const DOWN: &str = ".down";
pub(crate) const DOWN_STOP: &str = ".down-stop";
/// All of them, the locked one last: as long as it stands, the others are in use.
pub(crate) const CONNECTION: [&str; 4] = [UP_STOP, DOWN, DOWN_STOP, UP];

/// What all files of a name begin with.
pub(crate) fn stem(name: &Name) -> String {
    format!("{PREFIX}{}", name.os_name())
}

/// The rendezvous.
pub(crate) fn listener(name: &Name) -> String {
    stem(name) + LISTENER
}

/// The text's file.
pub(crate) fn text(name: &Name) -> String {
    stem(name) + TEXT
}

/// One of a connection's FIFOs.
pub(crate) fn of_connection(name: &Name, connection_id: &str, end: &str) -> String {
    format!("{}.{connection_id}{end}", stem(name))
}
