//! `local://` and `tcp://`: channels over sockets, two `anyipc` transports.
//!
//! - [`Local`]: names in the private directory, as `local+<os name>.lock`, `.sock` and `.text`
//! - [`Tcp`]: ports (`tcp/place.rs`), and the file of the secret that both sides prove to know
//!   (`tcp/key.rs`)
//!
//! Everything above the stream, beginning with the handshake, is in `anyipc-byte-stream`.
#![forbid(unsafe_code)]

mod tcp;

pub use anyipc_byte_stream::{StreamEndpoint, StreamReceiver, StreamSender};
pub use tcp::Tcp;

use anyipc_byte_stream::{ALLOW_UID, CAPACITY, NamedStreams, SCOPE, StreamScheme};
use anyipc_core::keys;
use anyipc_os::FileNaming;

/// `local://`: channels over local stream sockets; on Windows over named pipes.
#[expect(non_upper_case_globals, reason = "used as the unit struct `Tcp` is")]
pub const Local: NamedStreams = NamedStreams::new(&LOCAL);

static LOCAL: StreamScheme = StreamScheme::new(
    &["local"],
    &[ALLOW_UID, CAPACITY, SCOPE, keys::TRUST_ANYWAY],
    "a Unix stream socket in the private directory and two connected ones per channel, one for \
     messages and one for control, with buffers within net.core.wmem_max (macOS: one per \
     direction); on Windows named pipes of this user's",
    &FileNaming { prefix: "local+", suffix: ".lock", heading: "anyipc-local 1" },
);
