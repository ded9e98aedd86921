//! Messages of several senders over one queue, all taken by one receiver. Each sender is a thread
//! of the driver with a handle and a sequence of its own.

use std::thread;

use crate::Result;
use crate::link::Link;
use crate::payload::{Received, numbered, sender_of};
use crate::queue::QueueLink;

/// The driver's end: each of its senders sends each message.
#[derive(Debug)]
pub struct FanInSenders(Vec<QueueLink>);

impl FanInSenders {
    /// One link per sender.
    pub fn new(senders: Vec<QueueLink>) -> Self {
        Self(senders)
    }
}

impl Link for FanInSenders {
    fn send(&mut self, size: usize, stamp: u64) -> Result<()> {
        (0..)
            .zip(&mut self.0)
            .try_for_each(|(sender, link)| link.send(size, numbered(sender, stamp)))
    }

    /// All senders at the same time.
    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<()> {
        thread::scope(|scope| {
            let mut started = Vec::new();
            for (sender, link) in (0..).zip(&mut self.0) {
                let all = move || link.send_many(size, numbered(sender, first), count);
                started.push(thread::Builder::new().spawn_scoped(scope, all)?);
            }
            let mut sent = started.into_iter().map(thread::ScopedJoinHandle::join);
            sent.try_for_each(|sent| sent.unwrap_or_else(|_| Err("a sender panicked".into())))
        })
    }

    /// The receiver's answer counts the messages of all senders.
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received> {
        let all = (expected + 1) * self.0.len() as u64 - 1;
        self.0.first_mut().ok_or("no senders")?.receive(size, all)
    }

    fn finish(self, size: usize) -> Result<()> {
        self.0.into_iter().next().map_or(Ok(()), |first| first.finish(size))
    }
}

/// The peer's end: takes the messages of a [`FanInSenders`].
#[derive(Debug)]
pub struct FanInReceiver {
    link: QueueLink,
    /// The number of each sender's next message.
    next: Vec<u64>,
    /// Number of last messages of this phase that have arrived, one per sender.
    ended: usize,
}

impl FanInReceiver {
    /// Takes the messages of this many senders.
    pub fn new(link: QueueLink, senders: usize) -> Self {
        Self { link, next: vec![0; senders], ended: 0 }
    }
}

impl Link for FanInReceiver {
    fn send(&mut self, size: usize, stamp: u64) -> Result<()> {
        self.link.send(size, stamp)
    }

    /// The next message of any sender. It is the last one if all senders have sent their last.
    #[inline]
    fn receive(&mut self, size: usize, _expected: u64) -> Result<Received> {
        let (next, mut sender) = (&self.next, 0);
        let received = self.link.take(size, |message| {
            sender = sender_of(message);
            numbered(sender as u64, next.get(sender).copied().unwrap_or_default())
        })?;
        if received == Received::End {
            return Ok(received);
        }
        *self.next.get_mut(sender).ok_or("a message of an unknown sender arrived")? += 1;
        if received == Received::Last {
            self.ended += 1;
            if self.ended < self.next.len() {
                return Ok(Received::Message);
            }
            self.ended = 0;
            self.next.fill(0);
        }
        Ok(received)
    }

    fn finish(self, size: usize) -> Result<()> {
        self.link.finish(size)
    }
}
