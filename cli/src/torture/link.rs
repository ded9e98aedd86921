//! A worker's end of a connection: sends and receives in every way, and says what came of it.

use std::thread;
use std::time::Duration;

use anyipc::{
    AsyncQueue, AsyncReceiver, AsyncSender, Error, ErrorKind, Inbox, PeerId, Queue, Receiver,
    Result, Sender,
};

use super::context::{Context, Fault};
use super::message::{self, Id};
use super::random::Random;
use super::record::What;

/// The direction from connector to owner.
pub(super) const TO_OWNER: u8 = 0;
/// The direction from owner to connector.
pub(super) const TO_CONNECTOR: u8 = 1;

/// Faults on purpose happen to the message with this number.
const UNLUCKY: u64 = 3;

/// Messages between two rests of a sender, on average.
const BURST: u64 = 32;

/// What messages are sent with.
pub(super) trait Sends {
    fn send(&mut self, message: &[u8]) -> Result<()>;
    fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()>;
    fn try_send(&mut self, message: &[u8]) -> Result<()>;
}

impl Sends for Sender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send(message)
    }

    fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.send_timeout(message, timeout)
    }

    fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.try_send(message)
    }
}

impl Sends for (&mut Inbox, PeerId) {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0.send(self.1, message)
    }

    fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.0.send_timeout(self.1, message, timeout)
    }

    fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.0.try_send(self.1, message)
    }
}

/// What is used as tasks do, from this worker's threads.
pub(super) struct Tasks<'c, T>(pub(super) &'c Context, pub(super) T);

impl Sends for Tasks<'_, AsyncSender> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0.again(async || self.1.send(message).await)
    }

    fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.0.within(timeout, self.1.send(message))
    }

    fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.1.try_send(message)
    }
}

/// With a priority.
impl Sends for Tasks<'_, (&mut AsyncQueue, u32)> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let (queue, priority) = &mut self.1;
        self.0.again(async || queue.send(*priority, message).await)
    }

    fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        let (queue, priority) = &mut self.1;
        self.0.within(timeout, queue.send(*priority, message))
    }

    fn try_send(&mut self, message: &[u8]) -> Result<()> {
        let (queue, priority) = &mut self.1;
        queue.try_send(*priority, message)
    }
}

/// What messages are received with.
pub(super) trait Receives {
    fn recv(&mut self) -> Result<Vec<u8>>;
    fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>>;
}

impl Receives for Receiver {
    fn recv(&mut self) -> Result<Vec<u8>> {
        self.recv()
    }

    fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        self.recv_timeout(timeout)
    }
}

impl Receives for Tasks<'_, AsyncReceiver> {
    fn recv(&mut self) -> Result<Vec<u8>> {
        self.0.again(async || self.1.recv().await)
    }

    fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        self.0.within(timeout, self.1.recv())
    }
}

/// With a priority.
impl Sends for (&mut Queue, u32) {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0.send(self.1, message)
    }

    fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.0.send_timeout(self.1, message, timeout)
    }

    fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.0.try_send(self.1, message)
    }
}

/// One lane of messages that this worker sends.
#[derive(Debug)]
pub(super) struct Outgoing<'c> {
    context: &'c Context,
    next: Id,
    buffer: Vec<u8>,
    random: Random,
}

impl<'c> Outgoing<'c> {
    pub(super) fn new(context: &'c Context, stream: u64, lane: u8) -> Self {
        let random = Random::new(context.order.seed ^ stream << 8 ^ u64::from(lane));
        Self { context, next: Id { stream, lane, number: 0 }, buffer: Vec::new(), random }
    }

    /// Sends the next message, and reports it unless it fails.
    pub(super) fn send(&mut self, to: &mut impl Sends) -> Result<()> {
        if self.next.number == UNLUCKY && self.send_wrongly(to)? {
            return Ok(());
        }
        self.write();
        let sent = match self.random.below(8) {
            0 => match to.try_send(&self.buffer) {
                // It has more frames than one, or there is no room.
                Err(error) if is_later(&error) => to.send(&self.buffer),
                done => done,
            },
            1 => to.send_timeout(&self.buffer, self.random.instant(12)),
            _ => to.send(&self.buffer),
        };
        match sent {
            Ok(()) => self.report(What::Sent),
            Err(error) if error.kind() == ErrorKind::TimedOut => self.report(What::Unsent),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sends the next message with the plain call, which ends only when it is sent or fails.
    pub(super) fn send_surely(&mut self, to: &mut impl Sends) -> Result<()> {
        self.write();
        to.send(&self.buffer)?;
        self.report(What::Sent);
        Ok(())
    }

    pub(super) fn stream(&self) -> u64 {
        self.next.stream
    }

    fn write(&mut self) {
        message::write(self.next, self.context.order.size, &mut self.buffer);
    }

    fn report(&mut self, what: What) {
        self.context.log.write(what, self.next);
        self.next.number += 1;
        // The oracle must keep up, or workers would wait for it most of the time.
        if self.random.below(BURST) == 0 {
            thread::sleep(self.random.instant(13));
        }
    }

    /// What the oracle has to find, if that is asked for. True if the message is reported.
    fn send_wrongly(&mut self, to: &mut impl Sends) -> Result<bool> {
        self.write();
        if self.context.has(Fault::Lose) {
            self.report(What::Sent);
            return Ok(true);
        }
        if self.context.has(Fault::Duplicate) {
            to.send(&self.buffer)?;
        }
        if self.context.has(Fault::Tear) {
            let middle = self.buffer.len() / 2;
            self.buffer[middle] ^= 1;
            to.send(&self.buffer)?;
            self.report(What::Sent);
            return Ok(true);
        }
        if self.context.has(Fault::Reorder) {
            let first = self.next;
            self.next.number += 1;
            self.write();
            to.send(&self.buffer)?;
            self.next = first;
            self.write();
            to.send(&self.buffer)?;
            self.report(What::Sent);
            self.report(What::Sent);
            return Ok(true);
        }
        Ok(false)
    }
}

/// A call that does not wait says that another one would have to.
fn is_later(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::MessageTooLarge)
}

impl Context {
    /// Reports a message of a lane.
    pub(super) fn got(&self, message: &[u8], stream: u64, lane: u8) {
        match message::read(message, self.order.size) {
            Ok(id) if (id.stream, id.lane) == (stream, lane) => self.got_unlucky(id),
            Ok(id) => self.torn(stream, lane, &format!("{id} belongs elsewhere")),
            Err(why) => self.torn(stream, lane, &why),
        }
    }

    /// Reports a message of whatever lane it says.
    pub(super) fn got_any(&self, message: &[u8]) {
        match message::read(message, self.order.size) {
            Ok(id) => self.got_unlucky(id),
            Err(why) => self.torn(0, 0, &why),
        }
    }

    fn got_unlucky(&self, id: Id) {
        self.log.write(What::Got, id);
        // No later message helps: whatever process replaces this one hangs, too.
        if self.has(Fault::Hang) && id.number >= UNLUCKY {
            loop {
                thread::park();
            }
        }
        if self.has(Fault::Leave) && id.number == UNLUCKY {
            std::process::exit(3);
        }
    }

    fn torn(&self, stream: u64, lane: u8, why: &str) {
        self.log.record(What::Torn, Id { stream, lane, number: 0 }, 0, why);
    }

    /// Reports the end of a half: lane `SEND` or `RECEIVE`.
    pub(super) fn end(&self, stream: u64, half: u8, error: &Error) {
        if self.has(Fault::Late) && error.kind() == ErrorKind::PeerGone {
            thread::sleep(Duration::from_millis(1500));
        }
        let kind = if self.has(Fault::FalseDeath) && error.kind() == ErrorKind::Closed {
            ErrorKind::PeerGone
        } else {
            error.kind()
        };
        self.log.record(What::End, Id { stream, lane: half, number: 0 }, 0, kind.as_str());
    }

    /// Reports that this worker gives up a half, or both, just before it does.
    pub(super) fn close(&self, stream: u64, half: u8) {
        self.log.write(What::Close, Id { stream, lane: half, number: 0 });
    }
}
