//! anyipc: an async channel by address. The variant is as in [`anyipc_channel`](super::anyipc_channel), and a word as
//! in [`tasks`](super::tasks).

use anyipc::{AsyncChannel, Endpoint};

use super::anyipc_channel::owner;
use super::tasks::{Exchange, Meeting};
use crate::Result;
use crate::job::{Job, Pattern};
use crate::payload::{check, write};

/// An owned name.
pub(super) struct Owner(Endpoint);

impl Meeting for Owner {
    type End = End;

    fn new(what: &str) -> Result<Self> {
        Ok(Self(owner(what, "tasks")?))
    }

    fn place(&self) -> Result<String> {
        Ok(self.0.address().to_string())
    }

    async fn accept(&self, job: &Job) -> Result<End> {
        Ok(End::new(self.0.accept_async().await?, job))
    }

    async fn connect(place: String, job: Job) -> Result<End> {
        Ok(End::new(anyipc::connect_async(place).await?, &job))
    }
}

/// An end of a channel.
pub(super) struct End {
    channel: AsyncChannel,
    buffer: Vec<u8>,
    size: usize,
    pattern: Pattern,
}

impl End {
    fn new(channel: AsyncChannel, job: &Job) -> Self {
        Self { channel, buffer: vec![0; job.size], size: job.size, pattern: job.pattern }
    }
}

impl Exchange for End {
    async fn send(&mut self, number: u64) -> Result<()> {
        write(&mut self.buffer, number, self.pattern);
        Ok(self.channel.send(&self.buffer).await?)
    }

    async fn receive(&mut self, number: u64) -> Result<()> {
        self.channel.recv_into(&mut self.buffer).await?;
        check(&self.buffer, self.size, Some(number))
    }
}
