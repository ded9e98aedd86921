use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Lets a TCP connection hold about this many bytes that it has not sent yet, whatever the size of its buffer.
pub fn limit_unsent(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    // SAFETY: this option is a `u32`.
    unsafe { set(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &bytes) }
}

/// Lets a TCP connection take no data and no end from now on. Acknowledgements still arrive, so what was sent before goes
/// on to the other side, also when the socket is closed: without this the kernel resets a closed connection, with all that
/// the other side has not taken yet, as soon as more comes. What had come before is best thrown away before it is closed.
pub fn refuse_data(socket: &impl AsFd) -> io::Result<()> {
    /// Where a TCP header has its flags, and the one that says that it is the last.
    const FLAGS: u32 = 13;
    const FIN: u32 = 1;
    let step = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // A filter runs before a segment is looked at; of what it lets pass it leaves the header at least. An end without the
    // data before it would be a reset, too.
    let mut program = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, FLAGS),
        libc::sock_filter { jf: 1, ..step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, FIN) },
        step(libc::BPF_RET | libc::BPF_K, 0),
        step(libc::BPF_RET | libc::BPF_K, 1),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: this option is a `sock_fprog`, whose steps are alive and as many as it says.
    unsafe { set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program) }
}

/// Sets an option.
///
/// # Safety
/// It is of this type, and what the value points to is there.
unsafe fn set<T>(socket: &impl AsFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let (value, len) = ((&raw const *value).cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the descriptor is open for the call, and the option is read from a value of the length given.
    let code = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, value, len) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
