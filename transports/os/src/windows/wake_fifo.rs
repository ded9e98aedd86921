use std::io;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;

use anyipc_core::Handles;

use super::dir::Dir;
use super::event::Event;
use super::fd::read_text;
use crate::{FileKind, Token, write_atomically};

/// An event whose token stands in a file of the private directory. Signalled, it wakes the task
/// that made it.
#[derive(Debug)]
pub struct WakeFifo(Arc<Event>);

impl WakeFifo {
    /// What stands at its name.
    pub const KIND: FileKind = FileKind::Regular;

    /// Creates the wake FIFO at this name, replacing an old one. The name stays when it is dropped.
    pub fn make(dir: &Dir, name: &str) -> io::Result<Self> {
        match dir.unlink(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let token = Token::random()?;
        let event = Event::named(&token)?;
        write_atomically(dir, name, token.as_str().as_bytes())?;
        Ok(Self(event))
    }

    /// Opens the wake FIFO at a name, to wake its reader. `NotFound` without one.
    pub fn open(dir: &Dir, name: &str) -> io::Result<Self> {
        let file = dir.open_file(name)?;
        let status = file.status()?;
        // One byte more than a token has shows that there are more.
        let text = read_text(&file, Token::LEN + 1)?;
        match Token::parse(text.as_bytes()) {
            Some(token) if status.kind == Self::KIND && status.ours => {
                Event::open(&token).map(Self)
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Makes it readable.
    pub fn wake(&self) {
        self.0.set();
    }

    /// Ends that; true if it was readable.
    pub fn drain(&self) -> bool {
        let woken = self.0.is_set();
        if woken {
            self.0.reset();
        }
        woken
    }
}

impl Handles for WakeFifo {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.0.each(see);
    }
}
