//! The queue calls of the C library. They are the only unsafe code of this crate.
#![expect(unsafe_code, reason = "the queue calls are C functions")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use anyipc_core::{ErrorKind, Operation, Result};
use anyipc_os::Fd;

use super::Status;
use crate::record::Shape;

/// A time in the past: no call waits, even on a descriptor without `O_NONBLOCK`.
const PAST: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// Whether the kernel's queues are there on this platform: here they are.
///
/// # Errors
/// `Unsupported` elsewhere.
#[expect(clippy::unnecessary_wraps, reason = "as on other platforms")]
pub(crate) fn check_platform(_operation: Operation) -> Result<()> {
    Ok(())
}

/// Opens the queue of this name and makes it, mode 0600, if it is missing. With `exclusive` an
/// existing queue is `AlreadyExists`.
pub(crate) fn open(name: &str, shape: &Shape, exclusive: bool) -> io::Result<Fd> {
    let name = CString::new(name)?;
    // SAFETY: all zero is a valid value of this structure of numbers.
    let mut limits: libc::mq_attr = unsafe { std::mem::zeroed() };
    // `c_long` has 32 bits on some targets. The kernel refuses far smaller numbers.
    let number = |n: u32| n.min(i32::MAX as u32) as libc::c_long;
    (limits.mq_maxmsg, limits.mq_msgsize) = (number(shape.messages), number(shape.max_message));
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let flags = if exclusive { flags | libc::O_EXCL } else { flags };
    Fd::make(|| {
        // SAFETY: the name ends with a NUL, and `limits` is valid for the call.
        let fd =
            unsafe { libc::mq_open(name.as_ptr(), flags, 0o600 as libc::mode_t, &raw mut limits) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: on Linux a queue's descriptor is a file descriptor. `mq_open` has just made it,
        // and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// Removes the queue's name. The queue lives on until its last descriptor is closed.
pub(crate) fn unlink(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the name ends with a NUL.
    done(unsafe { libc::mq_unlink(name.as_ptr()) } as isize).map(drop)
}

/// The queue's limits and contents. An error for a descriptor of anything else.
pub(crate) fn status(fd: &Fd) -> io::Result<Status> {
    // SAFETY: all zero is a valid value of this structure of numbers.
    let mut got: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `got` is valid for the call.
    done(unsafe { libc::mq_getattr(fd.as_fd().as_raw_fd(), &raw mut got) } as isize)?;
    let number = |n: libc::c_long| usize::try_from(n).unwrap_or(0);
    Ok(Status {
        capacity: number(got.mq_maxmsg),
        max_message: number(got.mq_msgsize),
        messages: number(got.mq_curmsgs),
    })
}

/// Bytes of all messages. Linux has them in the text that a read of the descriptor returns.
pub(crate) fn bytes(fd: &Fd) -> io::Result<u64> {
    let mut text = [0; 128];
    let count = fd.read_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text[..count]).into_owned();
    let size =
        text.strip_prefix("QSIZE:").and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    size.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sends one message; `WouldBlock` if the queue is full.
pub(crate) fn send(fd: &Fd, priority: u32, message: &[u8]) -> io::Result<()> {
    // A copy in writable memory: qemu-user writes the timeout back.
    let past = PAST;
    retry(|| {
        // SAFETY: the descriptor is open, and `message.len()` bytes at `message.as_ptr()` are
        // readable.
        let code = unsafe {
            libc::mq_timedsend(
                fd.as_fd().as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                priority,
                &raw const past,
            )
        };
        done(code as isize).map(drop)
    })
}

/// Receives one message into the buffer, which has room for the longest. Returns length and
/// priority; `WouldBlock` if the queue is empty.
pub(crate) fn receive(fd: &Fd, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
    retry(|| {
        let (mut priority, past) = (0, PAST);
        // SAFETY: the descriptor is open, `buffer.len()` bytes at `buffer.as_mut_ptr()` are ours to
        // write, and `priority` and `past` are valid for the call.
        let count = unsafe {
            libc::mq_timedreceive(
                fd.as_fd().as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut priority,
                &raw const past,
            )
        };
        Ok((done(count)?, priority))
    })
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // How the past timeout shows on a descriptor without `O_NONBLOCK`.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            done => return done,
        }
    }
}

fn done(code: isize) -> io::Result<usize> {
    usize::try_from(code).map_err(|_| io::Error::last_os_error())
}

/// The number of this process's IPC namespace, unique among living namespaces. An error without
/// `/proc`.
pub(crate) fn namespace() -> io::Result<u64> {
    match std::fs::metadata("/proc/self/ns/ipc") {
        Ok(namespace) => Ok(namespace.ino()),
        // A kernel built without IPC namespaces.
        Err(_) if std::fs::exists("/proc/self/ns")? => Ok(0),
        Err(error) => Err(error),
    }
}

/// A limit of the kernel, by the name of its file.
pub(crate) fn limit(file: &str) -> Option<usize> {
    std::fs::read_to_string(format!("/proc/sys/fs/mqueue/{file}")).ok()?.trim().parse().ok()
}

/// The reason why [`open`] failed, and what would help.
pub(crate) fn explain(error: &io::Error, shape: &Shape) -> (ErrorKind, String) {
    let Shape { messages, max_message, .. } = shape;
    let limit = |file| limit(file).map_or("unknown".to_owned(), |limit| limit.to_string());
    match error.raw_os_error() {
        Some(libc::EINVAL) => {
            let why = format!(
                "{messages} messages of {max_message} bytes are more than the kernel allows: \
                 /proc/sys/fs/mqueue/msg_max is {}, /proc/sys/fs/mqueue/msgsize_max is {}; raise \
                 them, or choose a smaller capacity= or max_message=",
                limit("msg_max"),
                limit("msgsize_max")
            );
            (ErrorKind::InvalidOption, why)
        }
        Some(libc::EMFILE) => {
            let why = "all queues of this user together, or the descriptors of this process, are \
                       at their limit (`ulimit -q`, `ulimit -n`); raise it, close queues, remove \
                       those of killed processes (`anyipc doctor --fix`), or choose a smaller \
                       capacity=";
            (ErrorKind::OutOfMemory, why.to_owned())
        }
        Some(libc::ENOSPC) => {
            let why = format!(
                "there are as many queues as the kernel allows: /proc/sys/fs/mqueue/queues_max is \
                 {}; raise it",
                limit("queues_max")
            );
            (ErrorKind::OutOfMemory, why)
        }
        Some(libc::ENOSYS) => {
            let why = "this kernel has no POSIX message queues; mq:// needs none";
            (ErrorKind::Unsupported, why.to_owned())
        }
        _ => (ErrorKind::of_io(error), "making the kernel's queue".to_owned()),
    }
}
