//! Connections over local streams. The files in the private directory are `pipe+<os name>.lock`,
//! `.sock` and `.text`, like those of `local://`.

use anyipc_byte_stream::{CAPACITY, NamedStreams, SCOPE, StreamScheme};
use anyipc_core::keys;
use anyipc_os::FileNaming;

/// `pipe://`: channels over named pipes; on macOS over local stream sockets.
#[expect(non_upper_case_globals, reason = "a unit struct where the transport is over FIFOs")]
pub const NamedPipe: NamedStreams = NamedStreams::new(&PIPE);

static PIPE: StreamScheme = StreamScheme::new(
    &["pipe"],
    &[CAPACITY, SCOPE, keys::TRUST_ANYWAY],
    "on Windows named pipes of this user's, in byte mode, with a file in the private directory \
     that tells their name; on macOS, where FIFOs can neither be locked nor tell of an end, stream \
     sockets as those of local://",
    &FileNaming { prefix: "pipe+", suffix: ".lock", heading: "anyipc-pipe 1" },
);
