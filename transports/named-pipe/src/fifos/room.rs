//! The room in a sender's FIFO, and what tells of more.

use std::io;
use std::sync::Arc;

use anyipc_byte_stream::MARK;
use anyipc_core::{Interest, Source};
use anyipc_os::Set;

use crate::fifos::pages::Pages;
use crate::fifos::sys::Fifo;

/// A frame over this length, in bytes, may make its FIFO grow. Shorter ones would gain little, and
/// what FIFOs can hold counts against the user's share.
const LONG: usize = 4096;

/// The room in a sender's FIFO.
#[derive(Debug)]
pub(super) struct Room {
    pages: Pages,
    /// The size to which the FIFO may grow, in bytes.
    most: usize,
    lack: Lack,
    /// Ready when the receiver has said something, and while a [page](Lack::Page) is missing when
    /// one is free.
    set: Arc<Set>,
}

/// What a sender without room waits for. A FIFO is writable as soon as one page is free, which is
/// too little for a long frame. So its readiness counts only while no page is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    None,
    /// The answer to a mark, which the receiver gives when it has received everything before it.
    Answer,
    /// A free page: there is no room even for a mark.
    Page,
}

impl Room {
    /// `set` contains the FIFO in which the receiver answers.
    pub(super) fn new(pages: Pages, most: usize, set: Arc<Set>) -> Self {
        Self { pages, most, lack: Lack::None, set }
    }

    /// True if `len` bytes have room as far as is known. Then counts them.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> bool {
        self.pages.take(len)
    }

    /// As [`take`](Self::take), after asking the kernel, and growing the FIFO where that is
    /// allowed. If there is no room, the source becomes ready when there is.
    #[cold]
    pub(super) fn ask(&mut self, data: &Fifo, len: usize) -> io::Result<bool> {
        self.pages.are_unread(data.unread()?);
        if self.pages.take(len) || self.grow(data, len) {
            return Ok(true);
        }
        if self.lack != Lack::Answer {
            // A mark is shorter than a page, so it is written whole or not at all.
            match data.write(&MARK) {
                Ok(_) => {
                    self.pages.was_written(MARK.len());
                    self.set_lack(data, Lack::Answer)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.set_lack(data, Lack::Page)?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The receiver has answered the mark.
    pub(super) fn mark_answered(&mut self) {
        if self.lack == Lack::Answer {
            self.lack = Lack::None;
        }
    }

    /// Doubles the FIFO, if the system grants it.
    pub(super) fn double(&mut self, data: &Fifo) {
        let larger = 2 * self.pages.capacity();
        if data.resize(larger).is_ok() {
            self.pages.resized(larger);
        }
    }

    pub(super) fn source(&self) -> Source {
        self.set.source()
    }

    fn set_lack(&mut self, data: &Fifo, lack: Lack) -> io::Result<()> {
        match (self.lack == Lack::Page, lack == Lack::Page) {
            (false, true) => self.set.watch(data, Interest::Writable)?,
            (true, false) => self.set.forget(data),
            _ => {}
        }
        self.lack = lack;
        Ok(())
    }

    /// Grows the FIFO until it takes a long frame. False if it may not, or if the system does not
    /// grant it.
    fn grow(&mut self, data: &Fifo, len: usize) -> bool {
        while len > LONG && self.pages.capacity() < self.most {
            let held = self.pages.capacity();
            let resized = data.resize((2 * held).min(self.most));
            match resized.and_then(|()| data.capacity()) {
                Ok(larger) if larger > held => self.pages.resized(larger),
                _ => {
                    self.most = held;
                    return false;
                }
            }
            if self.pages.take(len) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use anyipc_core::Operation;
    use anyipc_os::{Dir, Scope};

    use super::*;
    use crate::fifos::sys::page_size;

    /// An owner may choose any capacity, also one that is no multiple of a page.
    #[test]
    fn a_fifo_grows_to_an_odd_capacity_and_no_further() {
        let (done, finished) = channel();
        std::thread::spawn(move || {
            let dir = Dir::open(Scope::User, Operation::Create).unwrap();
            let name = format!("pipe.grows.{}.fifo", std::process::id());
            Fifo::make(&dir, &name).unwrap();
            let data = Fifo::writer(&dir, &name).unwrap();
            dir.unlink(&name).unwrap();
            let pages = Pages::new(data.capacity().unwrap(), page_size());
            let mut room = Room::new(pages, 100_001, Set::new().unwrap());
            let frame = vec![0; 60_000];
            while room.take(frame.len()) || room.ask(&data, frame.len()).unwrap() {
                assert_eq!(data.write(&frame).unwrap(), frame.len());
            }
            done.send(data.capacity().unwrap()).unwrap();
        });
        assert_eq!(finished.recv_timeout(Duration::from_secs(30)).unwrap(), 128 << 10);
    }
}
