use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Limits the unsent bytes of a TCP connection to about this many, for any size of its buffer.
pub fn limit_unsent(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    // SAFETY: this option is a `u32`.
    unsafe { set(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &bytes) }
}

/// From now on a TCP connection accepts no data and no end. Acknowledgements still arrive, so bytes
/// that were sent before go on to the other side, also after the socket is closed. Without this the
/// kernel resets a closed connection as soon as more data arrives, and the other side loses what it
/// has not received yet. Read what had arrived before closing it.
pub fn refuse_data(socket: &impl AsFd) -> io::Result<()> {
    /// The offset of the flags in a TCP header, and the flag FIN.
    const FLAGS: u32 = 13;
    const FIN: u32 = 1;
    let step = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // A filter runs before a segment is processed, and leaves at least its header. An end without
    // the data before it would be a reset, too.
    let mut program = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, FLAGS),
        libc::sock_filter { jf: 1, ..step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, FIN) },
        step(libc::BPF_RET | libc::BPF_K, 0),
        step(libc::BPF_RET | libc::BPF_K, 1),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: this option is a `sock_fprog`; its steps are alive, and `len` counts them.
    unsafe { set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program) }
}

/// A socket's send side as the kernel counts it, in bytes of memory.
#[derive(Debug, Clone, Copy)]
pub struct SendMemory {
    /// Bytes of a local stream that were sent and not received yet.
    pub allocated: usize,
    /// Bytes of a TCP connection that the other side has not acknowledged yet.
    pub queued: usize,
    /// The size of the send buffer, the limit of one or the other.
    pub limit: usize,
}

/// How full a socket's send buffer is.
pub fn send_memory(socket: &impl AsFd) -> io::Result<SendMemory> {
    // SAFETY: this option is an array of `u32`; newer kernels may know more of them than fit.
    match unsafe { get::<[u32; 6]>(socket, libc::SOL_SOCKET, libc::SO_MEMINFO) } {
        Ok([_, _, allocated, limit, _, queued]) => Ok(SendMemory {
            allocated: allocated as usize,
            queued: queued as usize,
            limit: limit as usize,
        }),
        Err(_) => counted(socket),
    }
}

/// The same before Linux 4.12, and where another program stands in for the kernel (gVisor, qemu).
fn counted(socket: &impl AsFd) -> io::Result<SendMemory> {
    let sent = pending(socket, libc::TIOCOUTQ as u32)?;
    let limit = rustix::net::sockopt::socket_send_buffer_size(socket)?;
    // Of a local stream the call counts memory; of TCP bytes, which take up to twice as much.
    Ok(SendMemory { allocated: sent, queued: 2 * sent, limit })
}

/// The unsent bytes of a TCP connection.
pub fn unsent(socket: &impl AsFd) -> io::Result<usize> {
    /// `SIOCOUTQNSD` of `linux/sockios.h`.
    const NOT_SENT: u32 = 0x894b;
    // The stand-ins know only the bytes that are not acknowledged, which are no fewer.
    pending(socket, NOT_SENT).or_else(|_| pending(socket, libc::TIOCOUTQ as u32))
}

/// The answer to one of the questions for bytes that wait in a socket.
fn pending(socket: &impl AsFd, question: u32) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the call, which writes an `int` into one that is there.
    let code =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), question as libc::Ioctl, &raw mut bytes) };
    if code == 0 {
        Ok(usize::try_from(bytes).unwrap_or(0))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The longest segment that a TCP connection sends, in bytes.
pub fn segment(socket: &impl AsFd) -> io::Result<usize> {
    // SAFETY: this option is an `int`.
    let bytes: libc::c_int = unsafe { get(socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG)? };
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Lets the kernel enlarge a send buffer again after its size was set. Since Linux 5.15.
pub fn unlock_send_buffer(socket: &impl AsFd) -> io::Result<()> {
    /// `SOCK_SNDBUF_LOCK` of `linux/socket.h`.
    const SEND: libc::c_int = 1;
    // SAFETY: this option is an `int`.
    let locks: libc::c_int = unsafe { get(socket, libc::SOL_SOCKET, libc::SO_BUF_LOCK)? };
    // SAFETY: as above.
    unsafe { set(socket, libc::SOL_SOCKET, libc::SO_BUF_LOCK, &(locks & !SEND)) }
}

/// Reads an option. An error also if the kernel has less to say.
///
/// # Safety
/// The option is of this type, or longer, and any bytes are a value of it.
unsafe fn get<T: Copy>(socket: &impl AsFd, level: i32, option: i32) -> io::Result<T> {
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for the call, which writes at most `len` bytes to a value that
    // has them.
    let code =
        unsafe { libc::getsockopt(fd, level, option, value.as_mut_ptr().cast(), &raw mut len) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    if (len as usize) < size_of::<T>() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: every byte was set, to zero or by the kernel, and any bytes are a value.
    Ok(unsafe { value.assume_init() })
}

/// Sets an option.
///
/// # Safety
/// The option is of this type, and pointers in the value are valid.
unsafe fn set<T>(socket: &impl AsFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let (value, len) = ((&raw const *value).cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the descriptor is open for the call, and the option is read from a value of the
    // length given.
    let code = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, value, len) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
