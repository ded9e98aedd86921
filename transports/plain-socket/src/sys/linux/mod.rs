//! Linux: names and paths as the interprocess crate maps them, `GenericNamespaced` to the abstract
//! namespace and `GenericFilePath` to the file system.

mod file;
mod listed;

use std::io;

use anyipc_byte_stream::{Listener, Stream};
use anyipc_core::{Error, Name, Operation, Result};
use anyipc_os::Fd;
use interprocess::ConnectWaitMode;
use interprocess::local_socket::{
    ConnectOptions, GenericFilePath, GenericNamespaced, ListenerNonblockingMode, ListenerOptions,
    ToFsName, ToNsName,
};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use interprocess::os::unix::uds_local_socket as uds;
use rustix::io::Errno;
use rustix::net::getpeername;

use super::bad_name;
pub(crate) use file::SocketFile;
pub(crate) use listed::is_listed;

/// The mode of a socket's file: a user that may write to it may connect.
const PRIVATE: u32 = 0o600;
const SHARED: u32 = 0o666;

/// The socket's name as interprocess has it.
fn target(name: &Name) -> io::Result<interprocess::local_socket::Name<'_>> {
    match name.is_path() {
        true => name.as_str().to_fs_name::<GenericFilePath>(),
        false => name.as_str().to_ns_name::<GenericNamespaced>(),
    }
}

/// Listens at a name. `None` if a program does already. `shared` opens a path to other users; a
/// name is open to them anyway.
pub(crate) fn bind(
    name: &Name,
    shared: bool,
    operation: Operation,
) -> Result<Option<(Listener, Option<SocketFile>)>> {
    if name.is_path() {
        let bound = file::bind(name, shared, operation)?;
        return Ok(bound.map(|(listener, file)| (listener, Some(file))));
    }
    match listen(name, PRIVATE) {
        Ok(listener) => Ok(Some((listener, None))),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(cannot_listen(name, operation, error)),
    }
}

fn cannot_listen(name: &Name, operation: Operation, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => bad_name(name, operation, error),
        _ => Error::io(operation, &format!("listening at {name}"), error),
    }
}

/// Binds and listens. `AddrInUse` if the name or path is taken, by a dead program as well.
fn listen(name: &Name, mode: u32) -> io::Result<Listener> {
    let fd = Fd::make(|| {
        let options = ListenerOptions::new()
            .name(target(name)?)
            .mode(mode)
            .nonblocking(ListenerNonblockingMode::Both)
            // By itself it would unlink whatever has the path by then.
            .reclaim_name(false);
        Ok(options.create_sync_as::<uds::Listener>()?.into())
    })?;
    Ok(Listener::adopt(fd))
}

/// Connects. `NotFound` or `ConnectionRefused`: no program listens; `WouldBlock`: its queue is
/// full.
pub(crate) fn connect(name: &Name) -> io::Result<Stream> {
    let fd = Fd::make(|| {
        let options = ConnectOptions::new()
            .name(target(name)?)
            .wait_mode(ConnectWaitMode::Deferred)
            .nonblocking_stream(true);
        Ok(options.connect_sync_as::<uds::Stream>()?.into())
    })?;
    match getpeername(&fd) {
        // With a full queue the kernel says EAGAIN and forgets the call. interprocess takes that
        // for a connect under way.
        Err(Errno::NOTCONN) => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(Stream::adopt(fd)),
    }
}
