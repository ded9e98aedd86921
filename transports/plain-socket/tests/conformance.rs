//! The conformance suite, with every framing that takes any bytes, over names and over paths.
#![cfg(target_os = "linux")]

use std::process;

use anyipc_conformance::Fixture;
use anyipc_plain_socket::PlainSocket;

/// Names of at most 107 bytes, since a longer one fits into no socket.
fn fixture(frames: &'static str) -> Fixture<'static> {
    let fixture = Fixture::new(PlainSocket).sleeper(anyipc_os::sleep).option("frames", frames);
    fixture.names(|serial| format!("anyipc-plain.conformance.{}.{serial}", process::id()))
}

mod little_endian {
    anyipc_conformance::suite!(super::fixture("length32le"));
}

mod content_length {
    anyipc_conformance::suite!(super::fixture("content-length"));
}

mod path {
    use super::*;

    anyipc_conformance::suite!(fixture("length32be").names(|serial| {
        let directory = std::env::temp_dir();
        format!("{}/anyipc-plain.{}.{serial}.sock", directory.display(), process::id())
    }));
}
