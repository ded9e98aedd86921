use std::io;
use std::os::fd::AsFd;

use rustix::net::{SendFlags, sockopt};

/// What a send says so that a peer who is gone is an error and no signal.
pub const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// What a fresh socket needs for the same: nothing.
pub fn no_signal(_socket: &impl AsFd) -> io::Result<()> {
    Ok(())
}

/// The process and the user at the other end of a local socket: who called `connect` or `listen`.
pub fn peer_of(socket: &impl AsFd) -> io::Result<(u32, u32)> {
    let peer = sockopt::socket_peercred(socket)?;
    Ok((peer.pid.as_raw_nonzero().get() as u32, peer.uid.as_raw()))
}
