//! The part of a transport: its listener, and the steps of its handshake.

use std::io;
use std::time::Instant;

use anyipc_core::{Error, Interest, Result};

use super::{HalfOpen, Reserve};
use crate::{Set, Watched};

/// One connector's handshake. What a connector makes the owner keep is bounded.
pub trait Handshake {
    /// What its bytes come through.
    type Wire: Watched;

    /// What its bytes come through.
    fn wire(&self) -> &Self::Wire;

    /// The readiness of the wire that allows its next step. `None`: another connection completes
    /// it.
    fn interest(&self) -> Option<Interest> {
        Some(Interest::Readable)
    }

    /// From this moment on it is late.
    fn deadline(&self) -> Instant;

    /// From this moment on it is late while the list is full: others wait for its place.
    fn deadline_if_full(&self) -> Instant {
        self.deadline()
    }

    /// The error that a late one is rejected with.
    fn late(&self) -> Error;

    /// Reports to the connector why it is rejected, unless it may not know, or the wire is full.
    fn refuse(&self, error: &Error);

    /// True if the connector has sent anything.
    fn has_spoken(&self) -> bool;

    /// The descriptors that are kept free for a second connection of the same connector. `None` if
    /// there is none to come.
    fn reserve(&mut self) -> Option<&mut Reserve> {
        None
    }
}

/// The next connection of a listener.
#[derive(Debug)]
pub enum Next<H> {
    /// No connector is waiting.
    NoConnector,
    /// A connector begins its handshake.
    Begun(H),
    /// A connector that is rejected at once; the reason was sent to it unless it may not know.
    Rejected(Error),
    /// A connector that had left before it was taken.
    Left,
}

/// The result of a step.
#[derive(Debug)]
pub enum Step {
    /// The connector has to send more.
    Waits,
    /// The owner has work left, and a step does a part of it: the next round goes on.
    Works,
    /// It is done without a channel: it left without a hello, or it got what it asked for.
    Left,
    /// It lacks a descriptor: it is closed without an answer, and the connector tries again.
    Short,
    /// It can be admitted.
    Complete,
}

/// The result of an admission.
#[derive(Debug)]
pub enum Admission<H, C> {
    /// A channel with the connector.
    Channel(C),
    /// No channel, and why; with the handshake if the connector can still receive the reason.
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

    /// Takes the next connector. A shortage is an error, and the connector stays at the listener.
    ///
    /// # Errors
    /// The system's errors of the listener.
    fn next(&mut self, set: &Set) -> io::Result<Next<Self::Handshake>>;

    /// Takes the next connector with the only descriptor that there is: as the second connection of
    /// a connector that was admitted. Another connector must not be welcomed on it.
    ///
    /// # Errors
    /// The system's errors of the listener.
    fn next_second(&mut self, set: &Set) -> io::Result<Next<Self::Handshake>> {
        self.next(set)
    }

    /// True if bytes of connectors were read ahead and not processed: then there is work although
    /// the listener is not ready.
    fn has_more(&self) -> bool {
        false
    }

    /// Takes a handshake as far as the received bytes allow.
    ///
    /// # Errors
    /// Why the connector is rejected. If the error's source is a lack of descriptors, the
    /// connection is closed without an answer; then the connector tries again.
    fn step(
        &mut self,
        handshake: &mut Self::Handshake,
        others: &mut HalfOpen<Self::Handshake>,
    ) -> Result<Step>;

    /// Makes a channel of a complete handshake, which is no longer watched.
    fn admit(
        &mut self,
        handshake: Self::Handshake,
        set: &Set,
    ) -> Admission<Self::Handshake, Self::Channel>;
}
