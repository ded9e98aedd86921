//! Messages over a channel.

use anyipc::{Channel, ErrorKind};

use crate::Result;
use crate::link::{Handling, Link};
use crate::payload::{self, Received};

/// A channel that carries checked messages.
#[derive(Debug)]
pub struct ChannelLink {
    channel: Channel,
    handling: Handling,
    /// The message that was sent or received last, unless handled in place.
    buffer: Vec<u8>,
    /// The messages of the last [`Link::send_many`].
    many: Vec<Vec<u8>>,
}

impl ChannelLink {
    /// Over this channel.
    pub fn new(channel: Channel, handling: Handling) -> Self {
        Self { channel, handling, buffer: Vec::new(), many: Vec::new() }
    }
}

impl Link for ChannelLink {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<()> {
        let written = self.handling.written;
        if self.handling.in_place {
            let fill = |frame: &mut [u8]| {
                payload::write(frame.get_mut(..size)?, stamp, written);
                Some(size)
            };
            return Ok(self.channel.send_with(size, fill)?);
        }
        self.buffer.resize(size, 0);
        payload::write(&mut self.buffer, stamp, written);
        Ok(self.channel.send(&self.buffer)?)
    }

    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<()> {
        self.many.resize(usize::try_from(count)?, Vec::new());
        for (message, sequence) in self.many.iter_mut().zip(first..) {
            message.resize(size, 0);
            payload::write(message, sequence, self.handling.written);
        }
        self.channel.send_many(&self.many)?;
        Ok(())
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received> {
        let checked = self.handling.checked;
        let found = if self.handling.in_place {
            self.channel.recv_with(|message| payload::check(message, size, expected, checked))
        } else {
            let received = self.channel.recv_into(&mut self.buffer);
            received.map(|_| payload::check(&self.buffer, size, expected, checked))
        };
        match found {
            Ok(message) => Ok(message?),
            Err(error) if error.kind() == ErrorKind::Closed => Ok(Received::End),
            Err(error) => Err(error.into()),
        }
    }

    fn finish(self, _size: usize) -> Result<()> {
        Ok(self.channel.close()?)
    }
}
