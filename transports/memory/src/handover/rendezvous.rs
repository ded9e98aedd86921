//! Where an owner is reached: a lock file and a listening socket.
//!
//! `<os name>.lock` is held exclusively by the owner for as long as it lives, so the kernel knows
//! whether there is one; it contains the transport's heading, the owner's process id and the full
//! name. `<os name>.sock` is the listener. Other transports' files have a prefix. The process that
//! holds the lock may replace both; no other process touches them.

use std::io;
use std::sync::Arc;

use anyipc_core::{Error, Name, Operation, Result};

use crate::kind::Kind;
use crate::sys::{Dir, Listener, NameLock, Socket};

/// The owner's side, until dropped or killed.
#[derive(Debug)]
pub(super) struct Rendezvous {
    dir: Arc<Dir>,
    socket: String,
    name_lock: NameLock,
    listener: Listener,
}

impl Rendezvous {
    /// Becomes the owner of the name. `None` if another process is.
    pub(super) fn take(
        dir: Arc<Dir>,
        kind: &Kind,
        name: &Name,
        operation: Operation,
    ) -> Result<Option<Self>> {
        let socket = kind.socket(name);
        // An owner sees a connector that leaves without a hello.
        let answers = || match Socket::connect(&dir, &socket) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        let Some(name_lock) = NameLock::take(&dir, &kind.naming(), name, operation, answers)?
        else {
            return Ok(None);
        };
        let listen = || {
            // A dead owner's: the lock shows that no owner lives.
            match dir.unlink(&socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            Listener::bind(&dir, &socket)
        };
        let listener = listen().map_err(|error| {
            Error::io(
                operation,
                &format!("listening at {}", dir.path().join(&socket).display()),
                error,
            )
        })?;
        let name_lock = name_lock.with_listener(socket.clone());
        Ok(Some(Self { dir, socket, name_lock, listener }))
    }

    /// Gives the name up; `StatFailed` if it was removed from under the owner.
    pub(super) fn close(self) -> Result<()> {
        self.name_lock.check_close()
    }

    /// Looks, once a second at most, whether the name still leads to this owner; `Removed` if not.
    pub(super) fn check(&self, operation: Operation) -> Result<()> {
        self.name_lock.check(operation)
    }

    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        // Files that were removed and made again from outside are not ours to remove.
        if self.name_lock.holds() {
            let _ = self.dir.unlink(&self.socket);
        }
    }
}
