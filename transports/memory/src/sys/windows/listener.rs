use std::io;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;

use anyipc_core::Handles;
use anyipc_os::{Dir, PipeListener};

use super::socket::Socket;

/// Bytes that each direction of a connection holds.
pub(super) const ROOM: usize = 16 << 10;

/// A listening pipe, which a file leads to.
#[derive(Debug)]
pub(crate) struct Listener {
    pipe: PipeListener,
    dir: Dir,
}

impl Listener {
    /// Listens at a name; `AddrInUse` if the name is taken. A connector can send no memory until
    /// [`Socket::take_descriptors`].
    pub(crate) fn bind(dir: &Dir, name: &str) -> io::Result<Self> {
        Ok(Self { pipe: PipeListener::at(dir, name, ROOM)?, dir: dir.clone() })
    }

    /// The next connector, if one is waiting.
    pub(crate) fn accept(&self) -> io::Result<Option<Socket>> {
        Ok(self.pipe.accept()?.map(|pipe| Socket::accepted(pipe, self.dir.clone())))
    }
}

impl Handles for Listener {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.pipe.each(see);
    }
}
