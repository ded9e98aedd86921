//! A channel's halves, whichever queues it is made of.

use std::task::Waker;
use std::time::Duration;

use anyipc_core::{Armed, Flags, RecvHalf, Result, SendHalf, Source, Wait, Waiter};

use crate::{channel, posix};

/// The sending half of a channel.
#[derive(Debug)]
pub struct Sender(pub(crate) SenderOver);

#[derive(Debug)]
pub(crate) enum SenderOver {
    /// Queues in shared memory.
    Memory(channel::Sender),
    /// The kernel's queues.
    Posix(posix::Sender),
}

impl Sender {
    #[inline]
    fn half(&self) -> &dyn SendHalf {
        match &self.0 {
            SenderOver::Memory(half) => half,
            SenderOver::Posix(half) => half,
        }
    }

    #[inline]
    fn half_mut(&mut self) -> &mut dyn SendHalf {
        match &mut self.0 {
            SenderOver::Memory(half) => half,
            SenderOver::Posix(half) => half,
        }
    }
}

impl SendHalf for Sender {
    fn max_frame(&self) -> usize {
        self.half().max_frame()
    }
    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.half_mut().try_send_with(max, flags, fill)
    }
    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.half_mut().try_send(flags, payload)
    }
    fn try_flush(&mut self) -> Result<()> {
        self.half_mut().try_flush()
    }
}

impl Wait for Sender {
    fn source(&self) -> Result<Source> {
        self.half().source()
    }
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.half_mut().arm(waiter)
    }
    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        self.half_mut().rearm(waker)
    }
    fn park(&mut self, timeout: Duration) {
        self.half_mut().park(timeout);
    }
    fn disarm(&mut self) {
        self.half_mut().disarm();
    }
}

/// The receiving half of a channel.
#[derive(Debug)]
pub struct Receiver(pub(crate) ReceiverOver);

#[derive(Debug)]
pub(crate) enum ReceiverOver {
    /// Queues in shared memory.
    Memory(channel::Receiver),
    /// The kernel's queues.
    Posix(posix::Receiver),
}

impl Receiver {
    #[inline]
    fn half(&self) -> &dyn RecvHalf {
        match &self.0 {
            ReceiverOver::Memory(half) => half,
            ReceiverOver::Posix(half) => half,
        }
    }

    #[inline]
    fn half_mut(&mut self) -> &mut dyn RecvHalf {
        match &mut self.0 {
            ReceiverOver::Memory(half) => half,
            ReceiverOver::Posix(half) => half,
        }
    }
}

impl RecvHalf for Receiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        self.half_mut().try_recv_with(read)
    }
    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        self.half_mut().try_recv_into(buffer)
    }
    fn token(&self) -> Option<u64> {
        self.half().token()
    }
}

impl Wait for Receiver {
    fn source(&self) -> Result<Source> {
        self.half().source()
    }
    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.half_mut().arm(waiter)
    }
    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        self.half_mut().rearm(waker)
    }
    fn park(&mut self, timeout: Duration) {
        self.half_mut().park(timeout);
    }
    fn disarm(&mut self) {
        self.half_mut().disarm();
    }
}
