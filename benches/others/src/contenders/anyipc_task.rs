//! anyipc: an async channel by address. The variant is as in
//! [`anyipc_channel`](super::anyipc_channel), and a word as in [`tasks`](super::tasks).

use anyipc::{AsyncChannel, Endpoint};
use anyipc_measure::Result;
use anyipc_measure::payload::{Coverage, check, write};

use super::anyipc_channel::owner;
use super::tasks::{Exchange, Meeting};
use crate::job::Job;

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
}

impl End {
    fn new(channel: AsyncChannel, job: &Job) -> Self {
        Self { channel, buffer: vec![0; job.size], size: job.size }
    }
}

impl Exchange for End {
    async fn send(&mut self, number: u64) -> Result<()> {
        write(&mut self.buffer, number, Coverage::Full);
        Ok(self.channel.send(&self.buffer).await?)
    }

    async fn receive(&mut self, number: u64) -> Result<()> {
        self.channel.recv_into(&mut self.buffer).await?;
        check(&self.buffer, self.size, number, Coverage::Line)?;
        Ok(())
    }
}
