//! What a transport brings: its listener, and the steps of its handshake.

use std::io;
use std::time::Instant;

use anyipc_core::{Error, Interest, Result};

use super::{HalfOpen, Reserve};
use crate::{Set, Watched};

/// One connector's handshake. What it makes the owner keep is bounded.
pub trait Handshake {
    /// What its bytes come through.
    type Wire: Watched;

    /// What its bytes come through.
    fn wire(&self) -> &Self::Wire;

    /// Which readiness of the wire allows its next step. `None`: another connector brings it on.
    fn interest(&self) -> Option<Interest> {
        Some(Interest::Readable)
    }

    /// The moment from which on it is late.
    fn deadline(&self) -> Instant;

    /// Why a late one is rejected.
    fn late(&self) -> Error;

    /// Tells the connector why it is rejected, if it may know, as far as there is room.
    fn refuse(&self, error: &Error);

    /// True if the connector has said something.
    fn has_spoken(&self) -> bool;

    /// The descriptors that are kept free for a connection that is still to come from the same
    /// connector. `None` if there is no such connection.
    fn reserve(&mut self) -> Option<&mut Reserve> {
        None
    }
}

/// What the listener gives.
#[derive(Debug)]
pub enum Next<H> {
    /// No connector is waiting.
    Nobody,
    /// A connector begins its handshake.
    Begun(H),
    /// One that is rejected at once; it was told as far as it may know.
    Rejected(Error),
    /// One that had left before it was taken.
    Left,
}

/// What came of a step.
#[derive(Debug)]
pub enum Step {
    /// The connector has to say more.
    Waits,
    /// The owner has work left, of which a step does a part: the next round takes it further.
    Works,
    /// It is done and gets no channel: it left without a word, or it got what it asked for.
    Left,
    /// The owner lacks a descriptor for what comes next. The connection ends without a word, after
    /// which the connector tries again.
    Short,
    /// It can be admitted.
    Complete,
}

/// What came of an admission.
#[derive(Debug)]
pub enum Admission<H, C> {
    /// A channel with the connector.
    Channel(C),
    /// None, and why; the handshake, if the connector can still be told.
    Refused(Option<H>, Error),
}

/// A transport's own part: its listener and the steps of its handshake.
pub trait Listening {
    /// A handshake.
    type Handshake: Handshake;
    /// What a complete one becomes.
    type Channel;
    /// What connectors come to.
    type Listener: Watched;

    /// What connectors come to.
    fn listener(&self) -> &Self::Listener;

    /// Takes the next connector. Of a shortage it is told by the error, and the connector stays.
    ///
    /// # Errors
    /// What the system says about the listener.
    fn next(&mut self, set: &Set) -> io::Result<Next<Self::Handshake>>;

    /// True if more of what connectors said was read than was looked at: the listener need not be
    /// ready then.
    fn has_more(&self) -> bool {
        false
    }

    /// Takes a handshake as far as what has arrived allows.
    ///
    /// # Errors
    /// Why the connector is rejected.
    fn step(
        &mut self,
        handshake: &mut Self::Handshake,
        others: &mut HalfOpen<Self::Handshake>,
    ) -> Result<Step>;

    /// Makes a channel of a complete handshake, which is not watched any more.
    fn admit(
        &mut self,
        handshake: Self::Handshake,
        set: &Set,
    ) -> Admission<Self::Handshake, Self::Channel>;
}
