use std::convert::Infallible;
use std::io;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;

use anyipc_core::Handles;

use super::dir::Dir;

/// The FIFO that wakes a task of another process: not built here yet.
#[derive(Debug)]
pub struct WakeFifo(Infallible);

impl WakeFifo {
    /// `Unsupported`.
    pub fn make(_dir: &Dir, _name: &str) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// `Unsupported`.
    pub fn open(dir: &Dir, name: &str) -> io::Result<Self> {
        Self::make(dir, name)
    }

    /// Makes it readable.
    pub fn wake(&self) {
        match self.0 {}
    }

    /// Takes its bytes; true if there were any.
    pub fn drain(&self) -> bool {
        match self.0 {}
    }
}

impl Handles for WakeFifo {
    fn each(&self, _see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        match self.0 {}
    }
}
