//! tokio's own `UnixStream` and `TcpStream`, framed like the bare ones.

use std::fs;

use anyipc_measure::Result;
use anyipc_measure::framed::{Incoming, Outgoing};
use anyipc_measure::link::left_early;
use anyipc_measure::payload::{Coverage, check};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::tasks::{Exchange, Meeting};
use crate::job::Job;

/// A Unix socket that listens, and its path.
pub(super) struct Unix(UnixListener, String);

impl Meeting for Unix {
    type End = Framed<UnixStream>;

    fn new(_what: &str) -> Result<Self> {
        let place = super::path("tokio");
        Ok(Self(UnixListener::bind(&place)?, place))
    }

    fn place(&self) -> Result<String> {
        Ok(self.1.clone())
    }

    async fn accept(&self, job: &Job) -> Result<Self::End> {
        let (stream, _) = self.0.accept().await?;
        fs::remove_file(&self.1)?;
        Ok(Framed::new(stream, job))
    }

    async fn connect(place: String, job: Job) -> Result<Self::End> {
        Ok(Framed::new(UnixStream::connect(place).await?, &job))
    }
}

/// A TCP socket that listens.
pub(super) struct Tcp(TcpListener);

impl Meeting for Tcp {
    type End = Framed<TcpStream>;

    fn new(_what: &str) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self(TcpListener::from_std(listener)?))
    }

    fn place(&self) -> Result<String> {
        Ok(self.0.local_addr()?.to_string())
    }

    async fn accept(&self, job: &Job) -> Result<Self::End> {
        let (stream, _) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok(Framed::new(stream, job))
    }

    async fn connect(place: String, job: Job) -> Result<Self::End> {
        let stream = TcpStream::connect(place).await?;
        stream.set_nodelay(true)?;
        Ok(Framed::new(stream, &job))
    }
}

/// Messages over a stream.
pub(super) struct Framed<S> {
    stream: S,
    out: Outgoing,
    incoming: Incoming,
    size: usize,
}

impl<S> Framed<S> {
    fn new(stream: S, job: &Job) -> Self {
        Self { stream, out: Outgoing::default(), incoming: Incoming::new(job.size), size: job.size }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Exchange for Framed<S> {
    async fn send(&mut self, number: u64) -> Result<()> {
        Ok(self.stream.write_all(self.out.fill(self.size, number, 1)).await?)
    }

    async fn receive(&mut self, number: u64) -> Result<()> {
        loop {
            if let Some(message) = self.incoming.take() {
                check(message, self.size, number, Coverage::Line)?;
                return Ok(());
            }
            let length = self.stream.read(self.incoming.room()).await?;
            if !self.incoming.filled(length)? {
                return Err(left_early());
            }
        }
    }
}
