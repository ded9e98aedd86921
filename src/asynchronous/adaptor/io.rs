//! A channel as a stream of bytes, in both directions.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyipc_core::{ErrorKind, Peer};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use super::polled::{PollReceiver, PollSender};
use crate::address::Address;
use crate::asynchronous::AsyncChannel;

/// The most bytes that one write takes.
const LONGEST: usize = 64 << 10;

/// A channel as a stream of bytes, from [`AsyncChannel::into_io`]: [`AsyncRead`] and [`AsyncWrite`]
/// of tokio, and with the feature `futures` also those of `futures-io`. Both sides of the channel
/// take it so: the lengths of messages mean nothing.
///
/// A write that returned is in memory that outlives this process; there is nothing to flush. A
/// future of a write that is dropped has written nothing. A shutdown closes this direction, so that
/// the peer reads to the end; the other direction goes on. An orderly end of the peer is the end of
/// the stream, its death is the error `ConnectionReset`.
pub struct Io {
    receiver: PollReceiver,
    /// What was received and not read yet.
    unread: Bytes,
    /// `None` once it was shut down.
    sender: Option<PollSender>,
    /// What the sender waits to send: no caller was told that it is written.
    unwritten: Option<Bytes>,
    address: Address,
    peer: Peer,
}

impl AsyncChannel {
    /// The channel as a stream of bytes, for protocols that frame their messages themselves. The
    /// other side does the same.
    pub fn into_io(self) -> Io {
        let (address, peer) = (self.address().clone(), self.peer().clone());
        let (sender, receiver) = self.split();
        Io {
            receiver: PollReceiver::new(receiver),
            unread: Bytes::new(),
            sender: Some(PollSender::new(sender)),
            unwritten: None,
            address,
            peer,
        }
    }
}

impl Io {
    /// The other side, as far as the transport reports it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The address of the endpoint that the channel came from.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Reads into `put`, which takes as many bytes as it returns, at most the given ones. Returns
    /// at the end of the stream without a call.
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        mut put: impl FnMut(&[u8]) -> usize,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.unread.is_empty() {
                let taken = put(&self.unread);
                self.unread.advance(taken);
                return Poll::Ready(Ok(()));
            }
            let received = ready!(self.receiver.poll_recv(cx, |message| {
                let taken = if message.is_empty() { 0 } else { put(message) };
                (message.is_empty(), Bytes::copy_from_slice(&message[taken..]))
            }));
            match received {
                // Not the end: nothing to read.
                Ok((true, _)) => {}
                Ok((false, rest)) => {
                    self.unread = rest;
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::Closed => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Writes as much of these as one message takes.
    fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(sender) = &mut self.sender else {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "this side was shut down",
            )));
        };
        if let Some(unwritten) = &self.unwritten {
            if begins_with(pieces, unwritten) {
                ready!(sender.poll(cx)).inspect_err(|_| self.unwritten = None)?;
                let written = self.unwritten.take().map_or(0, |unwritten| unwritten.len());
                return Poll::Ready(Ok(written));
            }
            // The caller has dropped that write, and writes something else.
            sender.cancel();
            self.unwritten = None;
        }
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let Some(half) = sender.half().filter(|_| total > 0) else { return Poll::Ready(Ok(0)) };
        let turn = ready!(poll_proceed(cx));
        let len = half.frame_for(total.min(LONGEST));
        let copy = |mut to: &mut [u8]| {
            for piece in pieces {
                let (head, rest) = to.split_at_mut(piece.len().min(to.len()));
                head.copy_from_slice(&piece[..head.len()]);
                to = rest;
            }
        };
        match half.try_send_with(len, |frame| {
            copy(frame);
            Some(len)
        }) {
            Err(error) if error.is_would_block() => {
                let mut message = vec![0; len];
                copy(&mut message);
                let message = Bytes::from(message);
                sender.begin(Some(message.clone()));
                self.unwritten = Some(message);
                self.poll_write_all(cx, pieces)
            }
            done => {
                turn.made_progress();
                Poll::Ready(Ok(done.map(|()| len)?))
            }
        }
    }

    fn shut_down(&mut self) {
        // Without a write that no caller waits for any more.
        self.unwritten = None;
        if let Some(sender) = &mut self.sender {
            sender.cancel();
        }
        self.sender = None;
    }
}

/// True if these pieces, one after the other, begin with the message.
fn begins_with(pieces: &[IoSlice<'_>], message: &[u8]) -> bool {
    let mut rest = message;
    for piece in pieces {
        let (head, tail) = rest.split_at(piece.len().min(rest.len()));
        if piece[..head.len()] != *head {
            return false;
        }
        rest = tail;
    }
    rest.is_empty()
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_read_with(cx, |bytes| {
            let len = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..len]);
            len
        })
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_all(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_all(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down();
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "futures")]
impl futures_io::AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut read = 0;
        ready!(self.poll_read_with(cx, |bytes| {
            read = bytes.len().min(buffer.len());
            buffer[..read].copy_from_slice(&bytes[..read]);
            read
        }))?;
        Poll::Ready(Ok(read))
    }
}

#[cfg(feature = "futures")]
impl futures_io::AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_all(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_all(cx, pieces)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down();
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Io({})", self.address)
    }
}
