use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};
use anyipc_os::{Dir, Lock, generation, hold, same_file, try_lock};

use crate::fifos::connection::{Connection, remove};
use crate::fifos::files::{DOWN, DOWN_STOP, UP, UP_STOP, of_connection};
use crate::fifos::request::CONNECTION_ID;
use crate::fifos::sys::Fifo;

/// A connector's connection that the owner has not joined yet. Dropping it removes its names.
#[derive(Debug)]
pub(crate) struct Offer {
    dir: Arc<Dir>,
    name: Name,
    connection_id: String,
    /// The fork generation of the process that made it.
    generation: u32,
    /// `None` once it was taken.
    connection: Option<Connection>,
}

impl Offer {
    /// Makes the FIFOs and opens the connector's ends.
    pub(crate) fn make(dir: &Arc<Dir>, name: &Name) -> Result<Self> {
        let fail = |error| Error::io(Operation::Connect, "making the FIFOs of a connection", error);
        loop {
            let (dir, name, connection_id) = (Arc::clone(dir), name.clone(), connection_id()?);
            let generation = generation();
            let mut offer = Self { dir, name, connection_id, generation, connection: None };
            if let Some(connection) = offer.begin().map_err(fail)? {
                offer.connection = Some(connection);
                return Ok(offer);
            }
        }
    }

    /// `None` if a sweeper took the first FIFO for a leftover before it was locked.
    fn begin(&self) -> io::Result<Option<Connection>> {
        let dir = &*self.dir;
        let path = |end| of_connection(&self.name, &self.connection_id, end);
        let made = |end, open: fn(&Dir, &str) -> io::Result<Fifo>| {
            Fifo::make(dir, &path(end))?;
            open(dir, &path(end))
        };
        let up = match made(UP, Fifo::writer) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            made => made?,
        };
        if !try_lock(up.fd(), Lock::Exclusive)? || !same_file(dir, &path(UP), up.fd())? {
            return Ok(None);
        }
        hold(up.fd())?;
        let (up_stop, down_stop) = (made(UP_STOP, Fifo::reader)?, made(DOWN_STOP, Fifo::writer)?);
        for stop in [&up_stop, &down_stop] {
            // They carry a few bytes only. What a FIFO can hold counts against the user's share.
            let _ = stop.resize(1);
        }
        let down = Arc::new(made(DOWN, Fifo::reader)?);
        Ok(Some(Connection { out: (up, up_stop), into: (down, down_stop) }))
    }

    pub(crate) fn connection_id(&self) -> &str {
        &self.connection_id
    }

    pub(crate) fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| Error::new(Operation::Connect, ErrorKind::NoOwner))
    }

    /// Takes out the connection, which the owner has joined.
    pub(crate) fn take(mut self) -> Result<Connection> {
        self.connection.take().ok_or_else(|| Error::new(Operation::Connect, ErrorKind::NoOwner))
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.generation == generation() {
            remove(&self.dir, &self.name, &self.connection_id);
        }
    }
}

/// A random id, which no other connection has and no other user can guess.
fn connection_id() -> Result<String> {
    let mut bytes = [0; CONNECTION_ID / 2];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::io(Operation::Connect, "drawing a connection id", io::Error::other(error))
    })?;
    Ok(bytes.iter().fold(String::with_capacity(CONNECTION_ID), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
