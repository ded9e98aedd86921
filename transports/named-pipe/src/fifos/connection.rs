use std::io;
use std::sync::Arc;

use anyipc_byte_stream::MAX_FRAME;
use anyipc_core::{FRAME_HEADER, Interest, Name};
use anyipc_os::{Dir, Set};

use crate::fifos::files::{CONNECTION, DOWN, DOWN_STOP, UP, UP_STOP, of_connection};
use crate::fifos::halves::{PipeReceiver, PipeSender, RecvEnd, SendEnd};
use crate::fifos::pages::Pages;
use crate::fifos::room::Room;
use crate::fifos::sys::{Fifo, largest, page_size};

/// One side's ends of a connection's four FIFOs: two per direction.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The direction that this side sends: the frames, and what the receiver says back.
    pub(super) out: (Fifo, Fifo),
    /// The direction that this side receives: the frames, and what this receiver says back.
    pub(super) into: (Arc<Fifo>, Fifo),
}

impl Connection {
    /// Opens the owner's ends. `NotFound`: the connector gave up.
    pub(crate) fn join(dir: &Dir, name: &Name, connection_id: &str) -> io::Result<Self> {
        let path = |end| of_connection(name, connection_id, end);
        let connection = Self {
            out: (Fifo::writer(dir, &path(DOWN))?, Fifo::reader(dir, &path(DOWN_STOP))?),
            into: (Arc::new(Fifo::reader(dir, &path(UP))?), Fifo::writer(dir, &path(UP_STOP))?),
        };
        // Both sides have them open. Without names, nothing is left behind if both die.
        remove(dir, name, connection_id);
        Ok(connection)
    }

    /// The FIFO from which the other side's handshake is read.
    pub(crate) fn incoming(&self) -> &Arc<Fifo> {
        &self.into.0
    }

    /// The FIFO into which this side's handshake is written.
    pub(crate) fn outgoing(&self) -> &Fifo {
        &self.out.0
    }

    /// Makes both directions hold `capacity` bytes.
    pub(crate) fn resize(&self, capacity: usize) -> io::Result<()> {
        self.out.0.resize(capacity)?;
        self.into.0.resize(capacity)
    }

    /// Makes the halves of the channel. Each direction may grow to `capacity` bytes. `greeting` is
    /// written before the first frame, and as the last step here, when nothing else can fail.
    pub(crate) fn halves(
        self,
        greeting: &[u8],
        capacity: u64,
    ) -> io::Result<(PipeSender, PipeReceiver)> {
        let ((data, back), (fifo, stop)) = (self.out, self.into);
        let set = Set::new()?;
        set.watch(&back, Interest::Readable)?;
        let mut pages = Pages::new(data.capacity()?, page_size());
        let max_frame = MAX_FRAME.min(pages.capacity().saturating_sub(FRAME_HEADER));
        if !greeting.is_empty()
            && (!pages.take(greeting.len()) || data.write(greeting)? != greeting.len())
        {
            return Err(io::ErrorKind::WriteZero.into());
        }
        // The owner chose the capacity; a user may not ask the system for more than `largest`.
        let most = usize::try_from(capacity).unwrap_or(usize::MAX).min(largest());
        let room = Room::new(pages, most, set);
        Ok((
            PipeSender::new(SendEnd::new(data, back, room, max_frame)),
            PipeReceiver::new(RecvEnd::new(fifo, stop)),
        ))
    }
}

/// Removes the names of a connection.
pub(crate) fn remove(dir: &Dir, name: &Name, connection_id: &str) {
    for end in CONNECTION {
        let _ = dir.unlink(&of_connection(name, connection_id, end));
    }
}
