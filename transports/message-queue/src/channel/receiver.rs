use std::task::Waker;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Operation, RecvHalf, Result, Source, Wait, Waiter,
};
use anyipc_memory::handover::{Half, Link, Liveness, ReadySlot};

use super::PeerHalf;
use crate::client::QueueClient;
use crate::store::state;
use crate::waiters::MESSAGES;

/// The receiving half of a channel over queues.
#[derive(Debug)]
pub struct QueueReceiver {
    client: QueueClient<PeerHalf>,
    liveness: Liveness,
    token: Option<ReadySlot>,
    /// The private copy that the closure of `try_recv_with` reads.
    copy: Vec<u8>,
}

impl QueueReceiver {
    pub(super) fn new(client: QueueClient<PeerHalf>, token: Option<ReadySlot>) -> Self {
        Self { client, liveness: Liveness::new(), token, copy: Vec::new() }
    }

    fn link(&self) -> &Link {
        &self.client.peers.link
    }

    /// Receives one frame, appending it to the buffer.
    #[inline]
    fn pop(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        self.link().check_generation(Operation::Receive)?;
        let mut end = None;
        loop {
            let start = buffer.len();
            match self.client.receive(buffer) {
                Ok(Some((_, flags))) => {
                    return Flags::from_bits(flags).ok_or_else(|| {
                        buffer.truncate(start);
                        super::explain(Error::new(Operation::Receive, ErrorKind::Corrupt))
                    });
                }
                // Also if the peer is about to give the lock back, as one that leaves: whether the
                // queue is empty is not known.
                Err(error) => return Err(super::explain(error)),
                Ok(None) => {}
            }
            // All frames were sent before the end became visible: look once more after it has.
            match (end, self.end()) {
                (Some(kind), _) => return Err(Error::new(Operation::Receive, kind)),
                (None, None) => return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
                (None, known) => end = known,
            }
        }
    }

    /// How the direction has ended, if it has.
    #[cold]
    fn end(&mut self) -> Option<ErrorKind> {
        let gone = self.link().is_gone() || self.liveness.is_due() && self.link().check_gone();
        // After the look at the socket: an orderly sender sets the bit before it hangs up.
        if self.client.store().has_state(state::SENDER_LEFT) {
            Some(ErrorKind::Closed)
        } else {
            gone.then_some(ErrorKind::PeerGone)
        }
    }
}

impl RecvHalf for QueueReceiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        let mut copy = std::mem::take(&mut self.copy);
        copy.clear();
        let received = self.pop(&mut copy);
        if let Ok(flags) = received {
            read(flags, &copy);
        }
        self.copy = copy;
        received.map(drop)
    }

    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        self.pop(buffer)
    }

    fn token(&self) -> Option<u64> {
        self.token.as_ref().map(|slot| slot.index().into())
    }
}

impl Wait for QueueReceiver {
    fn source(&self) -> Result<Source> {
        self.link().source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        super::arm(&mut self.client, MESSAGES, Half::Receiver, waiter, Operation::Receive)
    }

    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        super::rearm(&mut self.client, MESSAGES, Half::Receiver, waker, Operation::Receive)
    }

    fn park(&mut self, timeout: Duration) {
        super::park(&self.client, Half::Receiver, timeout);
    }

    fn disarm(&mut self) {
        if self.link().is_ours() {
            self.client.disarm();
        }
    }
}

impl Drop for QueueReceiver {
    fn drop(&mut self) {
        if self.link().is_ours() {
            self.client.leave(state::RECEIVER_LEFT);
        } else {
            // Giving the slot back takes a lock that another thread of the parent may have held
            // at the fork.
            std::mem::forget(self.token.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use anyipc_core::{COMMON_KEYS, Options, Role, SendHalf, Transport};
    use anyipc_memory::handover::{ChannelFactory, Side};
    use anyipc_memory::named_queue::Settings as _;
    use anyipc_memory::{Map, Region, anonymous};
    use anyipc_ring::robust::{lock, unlock};

    use super::*;
    use crate::channel::{QueueSender, SENDER};
    use crate::settings::Settings;
    use crate::waiters::ROOM;

    const CAPACITY: usize = 4096;

    fn pair() -> (QueueSender, QueueReceiver) {
        let options = Options::parse([], &[COMMON_KEYS, crate::MessageQueue.keys()]).unwrap();
        let settings = Settings::read(&options, Operation::Create).unwrap();
        let bytes = settings.extent(CAPACITY, 0).unwrap().len;
        let memory = anonymous(bytes, bytes).unwrap();
        let (ours, theirs) = Link::pair().unwrap();
        let half = |link, role| {
            let side = Side {
                link: std::sync::Arc::new(link),
                role,
                ready: None,
                uid: 0,
                extra: 0,
                extras: Vec::new(),
            };
            let region = Region::whole(Map::new(&memory, bytes).unwrap());
            settings.halves(region, CAPACITY, side).unwrap()
        };
        (half(ours, Role::Owner).0, half(theirs, Role::Opener).1)
    }

    /// A sender that leaves says so, and then takes both locks to wake the receiver. The system may
    /// stop it there for longer than a receiver waits for a lock.
    #[test]
    fn what_was_sent_is_received_although_the_leaving_sender_holds_the_lock() {
        let (mut sender, mut receiver) = pair();
        sender.try_send(Flags::NONE, b"the last").unwrap();
        let word = receiver.client.store().lock(ROOM);
        lock(word, SENDER, &receiver.client.peers, Duration::ZERO).unwrap();
        receiver.client.store().set_state(state::SENDER_LEFT);
        let mut got = Vec::new();
        for _ in 0..3 {
            let error = receiver.try_recv_into(&mut got).unwrap_err();
            assert!(error.is_would_block(), "{error}");
        }
        unlock(receiver.client.store().lock(ROOM), &receiver.client.peers);
        receiver.try_recv_into(&mut got).unwrap();
        assert_eq!(got, b"the last");
        assert_eq!(receiver.try_recv_into(&mut got).unwrap_err().kind(), ErrorKind::Closed);
    }
}
