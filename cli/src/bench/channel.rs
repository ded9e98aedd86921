//! Messages over a channel.

use anyipc::{Channel, ErrorKind};

use super::link::{Failure, Handling, Link, Received};
use super::payload;

/// A channel that carries checked messages.
#[derive(Debug)]
pub(crate) struct ChannelLink {
    channel: Channel,
    handling: Handling,
    /// One's own buffers: of the message sent or received, and of those sent together.
    buffer: Vec<u8>,
    many: Vec<Vec<u8>>,
}

impl ChannelLink {
    pub(crate) fn new(channel: Channel, handling: Handling) -> Self {
        Self { channel, handling, buffer: Vec::new(), many: Vec::new() }
    }
}

impl Link for ChannelLink {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        if self.handling.in_place {
            let fill = |frame: &mut [u8]| {
                payload::write(frame.get_mut(..size)?, stamp);
                Some(size)
            };
            return Ok(self.channel.send_with(size, fill)?);
        }
        self.buffer.resize(size, 0);
        payload::write(&mut self.buffer, stamp);
        Ok(self.channel.send(&self.buffer)?)
    }

    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<(), Failure> {
        self.many.resize(usize::try_from(count)?, Vec::new());
        for (message, sequence) in self.many.iter_mut().zip(first..) {
            message.resize(size, 0);
            payload::write(message, sequence);
        }
        self.channel.send_many(&self.many)?;
        Ok(())
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        let verify = self.handling.verify;
        let found = if self.handling.in_place {
            self.channel.recv_with(|message| payload::check(message, size, expected, verify))
        } else {
            let received = self.channel.recv_into(&mut self.buffer);
            received.map(|_| payload::check(&self.buffer, size, expected, verify))
        };
        match found {
            Ok(checked) => Ok(checked?),
            Err(error) if error.kind() == ErrorKind::Closed => Ok(Received::End),
            Err(error) => Err(error.into()),
        }
    }

    fn finish(self, _size: usize) -> Result<(), Failure> {
        Ok(self.channel.close()?)
    }
}
