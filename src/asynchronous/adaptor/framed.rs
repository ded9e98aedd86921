//! A channel as a stream and a sink of messages.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyipc_core::{Error, ErrorKind, Operation, Peer};
use bytes::Bytes;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;

use super::polled::{PollReceiver, PollSender};
use crate::address::Address;
use crate::asynchronous::AsyncChannel;

/// A channel as a [`Stream`] and a [`Sink`] of whole messages, from
/// [`AsyncChannel::into_framed`].
///
/// The stream ends after the peer has closed; the death of the peer is an error before the end. The
/// sink collects short messages until it is flushed, as
/// [`send_many`](AsyncChannel::send_many) does; what was flushed without an error is in memory that
/// outlives this process. Closing the sink closes this direction, and the stream goes on.
///
/// A future of `next`, `send`, `feed` or `flush` that is dropped loses nothing: a message that the
/// sink has taken goes out with the next flush.
pub struct Framed {
    receiver: PollReceiver,
    /// `None` once it is closed.
    sender: Option<PollSender>,
    /// The stream has ended.
    ended: bool,
    address: Address,
    peer: Peer,
}

impl AsyncChannel {
    /// The channel as a [`Stream`] of `io::Result<Bytes>` and a [`Sink`] of [`Bytes`], one for each
    /// message.
    pub fn into_framed(self) -> Framed {
        let (address, peer) = (self.address().clone(), self.peer().clone());
        let (sender, receiver) = self.split();
        Framed {
            receiver: PollReceiver::new(receiver),
            sender: Some(PollSender::new(sender)),
            ended: false,
            address,
            peer,
        }
    }
}

impl Framed {
    /// The other side, as far as the transport reports it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The address of the endpoint that the channel came from.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn sender(&mut self) -> io::Result<&mut PollSender> {
        let closed =
            || Error::new(Operation::Send, ErrorKind::Closed).because("the sink is closed");
        self.sender.as_mut().ok_or_else(|| closed().at(&self.address).into())
    }
}

impl Stream for Framed {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.receiver.poll_recv(cx, Bytes::copy_from_slice)) {
            Ok(message) => Poll::Ready(Some(Ok(message))),
            Err(error) => {
                self.ended = true;
                let closed = error.kind() == ErrorKind::Closed;
                Poll::Ready((!closed).then(|| Err(error.into())))
            }
        }
    }
}

impl FusedStream for Framed {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl Sink<Bytes> for Framed {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.sender()?.poll(cx))?))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        let sender = self.sender()?;
        let Some(half) = sender.half() else {
            return Err(io::Error::other("start_send before poll_ready was ready"));
        };
        if !half.try_batch(&message)? {
            sender.begin(Some(message));
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.sender {
            Some(sender) => Poll::Ready(Ok(ready!(sender.poll_flush(cx))?)),
            // It was flushed when it was closed.
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.sender = None;
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for Framed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Framed({})", self.address)
    }
}
