//! The receiving half of a channel: whole messages from a backend's frames.
//!
//! A message of one frame is the fast path: it goes straight to the caller's buffer or closure.
//! Fragments are put together in [`assembly`].

mod assembly;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Flags, Operation, Peer, RecvHalf, Result, Wait};

use super::{Link, Stats};
use crate::address::Address;
use crate::wait::select::{Arming, Member};
use crate::wait::spin::Spinner;
use crate::wait::{Waitable, deadline, wait};
use assembly::{Assembly, State};

/// The receiving half of a channel.
///
/// Dropping it tells the sender that nothing is received any more: its calls return `Closed`.
pub struct Receiver {
    half: Box<dyn RecvHalf>,
    link: Arc<Link>,
    /// Longest message accepted, in bytes.
    limit: usize,
    assembly: Assembly,
    spinner: Spinner,
    /// Messages received, each counted once it is whole.
    messages: u64,
    /// Their bytes.
    bytes: u64,
}

impl Receiver {
    pub(crate) fn new(half: Box<dyn RecvHalf>, link: Arc<Link>) -> Self {
        let limit = usize::try_from(link.settings.max_message).unwrap_or(usize::MAX);
        let spinner = Spinner::new(link.settings.wait);
        Self { half, link, limit, assembly: Assembly::default(), spinner, messages: 0, bytes: 0 }
    }

    /// Receives one message. Blocks until there is one, without a limit of time.
    ///
    /// # Errors
    /// `Closed` (the peer left, and everything it sent was received), `PeerGone` (it died;
    /// likewise), `Corrupt` (it broke the protocol, or sent more than `max_message`), `Forked`.
    pub fn recv(&mut self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.recv_into(&mut message)?;
        Ok(message)
    }

    /// Receives one message if there is one, without blocking.
    ///
    /// A message of more than 2 MiB, or of very many fragments, may take several calls, each of
    /// which takes a part of it and returns `WouldBlock`.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.try_recv_into(&mut message)?;
        Ok(message)
    }

    /// As [`recv`](Self::recv), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.recv_into_timeout(&mut message, timeout)?;
        Ok(message)
    }

    /// Receives one message into `buffer`, replacing its content, and returns the length. Blocks as
    /// [`recv`](Self::recv). Allocates nothing if the buffer is used again and is large enough.
    ///
    /// # Errors
    /// Those of `recv`; the content of `buffer` is then unspecified.
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.recv_into_within(buffer, None)
    }

    /// As [`recv_into`](Self::recv_into), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv_into`.
    #[inline]
    pub fn recv_into_timeout(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> Result<usize> {
        self.recv_into_within(buffer, Some(timeout))
    }

    #[inline]
    fn recv_into_within(
        &mut self,
        buffer: &mut Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<usize> {
        if self.assembly.state == State::Idle {
            buffer.clear();
            let got = self.half.try_recv_into(buffer);
            if matches!(got, Ok(Flags::NONE)) && buffer.len() <= self.limit {
                self.count(buffer.len());
                return Ok(buffer.len());
            }
            self.recv_slowly(Some(got), buffer, timeout)
        } else {
            self.recv_slowly(None, buffer, timeout)
        }
    }

    /// Continues after a first frame that was not a whole message, or without a frame.
    #[cold]
    fn recv_slowly(
        &mut self,
        first: Option<Result<Flags>>,
        buffer: &mut Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<usize> {
        let tried = match first {
            Some(Err(error)) => Err(error),
            Some(Ok(flags)) => self.try_rest(Some(flags), buffer),
            None => self.try_rest(None, buffer),
        };
        match tried {
            Ok(()) => Ok(buffer.len()),
            Err(error) => self.wait_for(error, timeout, |receiver| {
                receiver.try_into(buffer)?;
                Ok(buffer.len())
            }),
        }
    }

    /// As [`recv_into`](Self::recv_into), without blocking; of a long message as
    /// [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of `recv_into`.
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        match self.try_into(buffer) {
            Ok(()) => Ok(buffer.len()),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Receives one message and shows it to `read` where it lies: in the transport's memory if it
    /// is one frame. Blocks as [`recv`](Self::recv). If `read` panics, the message is used up.
    ///
    /// # Errors
    /// Those of `recv`; `read` was not called then.
    #[inline]
    pub fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.recv_with_within(read, None)
    }

    /// As [`recv_with`](Self::recv_with), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv_with`.
    #[inline]
    pub fn recv_with_timeout<R>(
        &mut self,
        timeout: Duration,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        self.recv_with_within(read, Some(timeout))
    }

    #[inline]
    fn recv_with_within<R>(
        &mut self,
        read: impl FnOnce(&[u8]) -> R,
        timeout: Option<Duration>,
    ) -> Result<R> {
        let mut read = Some(read);
        match self.try_with(&mut read) {
            Ok(result) => Ok(result),
            Err(error) => self.wait_for(error, timeout, |receiver| receiver.try_with(&mut read)),
        }
    }

    /// As [`recv_with`](Self::recv_with), without blocking; of a long message as
    /// [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of `recv_with`.
    #[inline]
    pub fn try_recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.try_with(&mut Some(read)).map_err(|e| self.explain(e))
    }

    /// The other side, as far as the transport reports it.
    pub fn peer(&self) -> &Peer {
        &self.link.peer
    }

    /// The address of the endpoint that the channel came from.
    pub fn address(&self) -> &Address {
        &self.link.address
    }

    /// Messages and bytes received so far, and calls that had to wait.
    pub fn stats(&self) -> Stats {
        Stats {
            messages_received: self.messages,
            bytes_received: self.bytes,
            waits: self.spinner.waits,
            ..Stats::default()
        }
    }

    /// Closes this direction: the sender's calls return `Closed`. The same as dropping.
    pub fn close(self) {}

    /// Says that this receiver will be tried soon, so that memory can be fetched meanwhile.
    pub(crate) fn prefetch(&self) {
        self.half.prefetch();
    }

    /// The number by which the transport's hints name this half, if it gives hints.
    pub(crate) fn token(&self) -> Option<u64> {
        self.half.token()
    }

    pub(crate) fn explain(&self, error: Error) -> Error {
        self.link.explain(error.during(Operation::Receive))
    }

    #[cold]
    fn wait_for<R>(
        &mut self,
        error: Error,
        timeout: Option<Duration>,
        attempt: impl FnMut(&mut Self) -> Result<R>,
    ) -> Result<R> {
        if !error.is_would_block() {
            return Err(self.explain(error));
        }
        self.assembly.give_back(self.messages);
        wait(self, Operation::Receive, deadline(timeout), attempt).map_err(|e| self.explain(e))
    }

    #[inline]
    fn count(&mut self, len: usize) {
        self.messages += 1;
        self.bytes += len as u64;
        self.spinner.last_len = len;
    }

    /// Receives one message into `buffer` if all of it is there.
    #[inline]
    pub(crate) fn try_into(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        if self.assembly.state != State::Idle {
            return self.try_rest(None, buffer);
        }
        buffer.clear();
        let flags = self.half.try_recv_into(buffer)?;
        if flags == Flags::NONE && buffer.len() <= self.limit {
            self.count(buffer.len());
            return Ok(());
        }
        self.try_rest(Some(flags), buffer)
    }

    /// Receives the rest of a message; `first` are the flags of its first frame if that is in
    /// `buffer`.
    #[cold]
    fn try_rest(&mut self, first: Option<Flags>, buffer: &mut Vec<u8>) -> Result<()> {
        if first.is_some() {
            self.assembly.partial.clear();
            std::mem::swap(buffer, &mut self.assembly.partial);
        }
        self.try_assemble(first)?;
        std::mem::swap(buffer, &mut self.assembly.partial);
        self.assembly.partial.clear();
        Ok(())
    }

    /// Shows one message to `read` if all of it is there.
    #[inline]
    pub(crate) fn try_with<R, F: FnOnce(&[u8]) -> R>(&mut self, read: &mut Option<F>) -> Result<R> {
        let mut first = None;
        if self.assembly.state == State::Idle {
            let (mut len, mut result) = (0, None);
            let (partial, limit) = (&mut self.assembly.partial, self.limit);
            partial.clear();
            self.half
                .try_recv_with(&mut |flags, frame| {
                    if flags == Flags::NONE && frame.len() <= limit {
                        len = frame.len();
                        result = read.take().map(|read| read(frame));
                    } else {
                        first = Some(flags);
                        partial.extend_from_slice(frame);
                    }
                })
                .inspect_err(|_| self.assembly.give_back(self.messages))?;
            if let Some(result) = result {
                self.count(len);
                return Ok(result);
            }
        }
        self.try_assemble(first)?;
        match read.take() {
            Some(read) => Ok(read(&self.assembly.partial)),
            None => Err(Error::new(Operation::Receive, ErrorKind::Corrupt)
                .because("the transport showed one message twice")),
        }
    }

    /// True if the next try returns a message or an error. Takes the message from the transport and
    /// keeps it.
    pub(crate) fn is_ready(&mut self) -> bool {
        match self.assembly.state {
            State::Whole => return true,
            State::Idle => self.assembly.partial.clear(),
            State::Partial | State::Broken => {}
        }
        match self.try_assemble(None) {
            Ok(()) => {
                self.assembly.state = State::Whole;
                true
            }
            Err(error) => !error.is_would_block(),
        }
    }
}

impl Waitable for Receiver {
    fn target(&mut self) -> &mut dyn Wait {
        &mut *self.half
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
    fn take_interrupted(&mut self) -> bool {
        std::mem::take(&mut self.assembly.interrupted)
    }
}

impl Member for Receiver {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }
    fn arm_in_select(&mut self, arming: Arming<'_>) -> Result<bool> {
        if self.take_interrupted() { Ok(false) } else { arming.arm(self.target()) }
    }
    fn disarm_in_select(&mut self) {
        self.target().disarm();
    }
    fn may_spin(&mut self) -> bool {
        self.spinner.may_spin()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.show(f, "Receiver", format_args!("{} received", self.messages))
    }
}
