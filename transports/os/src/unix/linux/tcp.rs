use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Lets a TCP connection hold about this many bytes that it has not sent yet, whatever the size of its buffer.
pub fn limit_unsent(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    // SAFETY: the descriptor is open for the call, and the option is read from a `u32` of the length given.
    let code = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const bytes).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
