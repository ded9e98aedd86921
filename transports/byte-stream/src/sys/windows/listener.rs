use std::io;
use std::net::SocketAddr;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;

use anyipc_core::{Handles, Interest};
use anyipc_os::{Dir, PipeListener, SocketEvent, claim_port};
use socket2::Socket;

use super::local::Local;
use super::stream::Stream;
use super::tcp::{self, Tcp};
use crate::credit::BUFFER;

/// The length of the queue of TCP connectors.
const BACKLOG: i32 = 1024;

/// A listener for connectors.
#[derive(Debug)]
pub enum Listener {
    /// For local streams.
    Local(PipeListener),
    /// At a port. The event is signalled when a connector comes.
    Tcp(Socket, SocketEvent),
}

impl Listener {
    /// Listens at a name. `AddrInUse` if the name exists.
    pub(crate) fn local(dir: &Dir, name: &str, shared: bool) -> io::Result<Self> {
        if shared {
            return Err(io::ErrorKind::Unsupported.into());
        }
        PipeListener::at(dir, name, BUFFER).map(Self::Local)
    }

    /// Listens at a port. `AddrInUse` if another socket does.
    pub fn tcp(at: &SocketAddr) -> io::Result<Self> {
        let socket = tcp::socket(at)?;
        claim_port(&socket)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&(*at).into())?;
        socket.listen(BACKLOG)?;
        let event = SocketEvent::new(&socket)?;
        Ok(Self::Tcp(socket, event))
    }

    /// The address of a TCP listener.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket, _) => {
                socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported.into())
            }
            Self::Local(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The next connector, if one is waiting.
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        match self {
            Self::Local(pipe) => Ok(pipe.accept()?.map(|pipe| Stream::Local(Local::new(pipe)))),
            Self::Tcp(_, event) if event.is_quiet() => Ok(None),
            Self::Tcp(socket, event) => {
                let mut watched = false;
                loop {
                    match socket.accept() {
                        // Setting options fails for a connector that is gone already.
                        Ok((socket, _)) => match Tcp::new(socket) {
                            Ok(tcp) => return Ok(Some(Stream::Tcp(tcp))),
                            Err(_) => continue,
                        },
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            if std::mem::replace(&mut watched, true) {
                                return Ok(None);
                            }
                            event.watch(socket, Interest::Readable)?;
                        }
                        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

impl Handles for Listener {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        match self {
            Self::Local(pipe) => pipe.each(see),
            Self::Tcp(_, event) => event.each(see),
        }
    }
}
