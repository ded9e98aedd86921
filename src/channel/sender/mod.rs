//! The sending half of a channel: whole messages over a backend's frames.
//!
//! `send` and `try_send` of a message of one frame are the fast path: one comparison with what is
//! pending, one call of the backend. Everything else (fragments, batches, waiting) is in [`frames`]
//! and in `#[cold]` methods.

mod frames;
mod scratch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Flags, Operation, Peer, Result, SendHalf, Wait};

use super::{Link, Stats};
use crate::address::Address;
use crate::wait::spin::Spinner;
use crate::wait::{Waitable, deadline, wait};
use frames::{Lengths, Pending};
use scratch::Scratch;

/// The sending half of a channel.
///
/// Dropping it closes this direction: the peer receives everything that was sent, then `Closed`.
pub struct Sender {
    half: Box<dyn SendHalf>,
    link: Arc<Link>,
    lengths: Lengths,
    pending: Pending,
    spinner: Spinner,
    scratch: Scratch,
    /// Messages sent, each counted once it is whole.
    messages: u64,
    /// Their bytes.
    bytes: u64,
}

impl Sender {
    pub(crate) fn new(half: Box<dyn SendHalf>, link: Arc<Link>) -> Self {
        let lengths = Lengths::new(&*half, &link);
        let spinner = Spinner::new(link.settings.wait);
        Self {
            half,
            link,
            lengths,
            pending: Pending::Nothing,
            spinner,
            scratch: Scratch::default(),
            messages: 0,
            bytes: 0,
        }
    }

    /// Sends one message of at most [`max_message`](Self::max_message) bytes. Blocks while there is
    /// no room, **without a limit of time**.
    ///
    /// Room comes when the peer receives. Two sides that both send more than the channel holds
    /// (`capacity`) before they receive wait for each other forever. Where both may send at once,
    /// receive on another thread ([`Channel::split`](crate::Channel::split)), or use
    /// [`send_timeout`](Self::send_timeout), or use [`try_send`](Self::try_send) and receive after
    /// each `WouldBlock`.
    ///
    /// `Ok` means that the whole message is in memory that outlives this process: it arrives even
    /// if this process is killed next.
    ///
    /// # Errors
    /// `MessageTooLarge` (over `max_message`), `Closed` (the receiver left), `PeerGone` (it died),
    /// `Forked`.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_within(message, None)
    }

    /// As [`send`](Self::send), for `timeout` at most.
    ///
    /// After `TimedOut` nothing of the message arrives. Frames of a long message that went out
    /// before keep their room until the peer receives.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.send_within(message, Some(timeout))
    }

    #[inline]
    fn send_within(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        if message.len() <= self.lengths.copied && self.pending == Pending::Nothing {
            let tried = self.half.try_send(Flags::NONE, message);
            if tried.is_ok() {
                self.count(message.len());
                return Ok(());
            }
            return self.send_after(tried, message, timeout);
        }
        self.send_slowly(message, timeout)
    }

    #[cold]
    fn send_after(
        &mut self,
        tried: Result<()>,
        message: &[u8],
        timeout: Option<Duration>,
    ) -> Result<()> {
        match tried {
            Err(error) if !error.is_would_block() => Err(self.explain(error)),
            _ => self.send_slowly(message, timeout),
        }
    }

    #[cold]
    fn send_slowly(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        self.check_len(message.len())?;
        self.spinner.last_len = message.len();
        let mut offset = 0;
        match self.try_send_rest(message, &mut offset) {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Send, deadline(timeout), |sender| {
                    sender.try_send_rest(message, &mut offset)
                })
            }
            done => done,
        }
        .map_err(|e| self.explain(e))
    }

    /// Sends one message of one frame, without blocking.
    ///
    /// # Errors
    /// `WouldBlock` (no room now), `MessageTooLarge` (longer than a frame: only the blocking calls
    /// take a message apart), and those of [`send`](Self::send).
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        if message.len() > self.lengths.direct && !self.reserve(message.len()) {
            return Err(self.too_large(message.len(), true));
        }
        self.try_finish_pending()
            .and_then(|()| self.half.try_send(Flags::NONE, message))
            .map_err(|e| self.explain(e))?;
        self.count(message.len());
        Ok(())
    }

    /// Sends one message that `fill` writes. Blocks while there is no room, as
    /// [`send`](Self::send).
    ///
    /// `fill` gets `max` bytes of unspecified content and returns the length of the message. If it
    /// returns `None` or panics, nothing is sent.
    ///
    /// Over shared memory with `trust=same-user`, a peer of the same user and a message of one
    /// frame, `fill` writes in place, and the peer can change the bytes meanwhile. Otherwise the
    /// bytes are private and copied.
    ///
    /// # Errors
    /// Those of `send`; `MessageTooLarge` also if `max` is over [`max_message`](Self::max_message),
    /// or if `fill` returns more than `max`.
    pub fn send_with(
        &mut self,
        max: usize,
        fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.send_with_within(max, None, fill)
    }

    /// As [`send_with`](Self::send_with), for `timeout` at most. After `TimedOut` nothing of the
    /// message arrives.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send_with`.
    pub fn send_with_timeout(
        &mut self,
        max: usize,
        timeout: Duration,
        fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.send_with_within(max, Some(timeout), fill)
    }

    fn send_with_within(
        &mut self,
        max: usize,
        timeout: Option<Duration>,
        mut fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        if max > self.lengths.direct && !self.reserve(max) {
            let Some(message) = self.write_scratch(max, &mut fill)? else { return Ok(()) };
            let sent = self.send_within(&message, timeout);
            self.return_scratch(message);
            return sent;
        }
        match self.try_fill(max, &mut fill) {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Send, deadline(timeout), |sender| {
                    sender.try_fill(max, &mut fill)
                })
            }
            done => done,
        }
        .map_err(|e| self.explain(e))
    }

    /// As [`send_with`](Self::send_with) for a message of one frame, without blocking. `fill` is
    /// called only if there is room.
    ///
    /// # Errors
    /// `WouldBlock` (no room now), `MessageTooLarge` (also if `max` is longer than a frame), and
    /// those of `send_with`.
    pub fn try_send_with(
        &mut self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        if max > self.lengths.direct && !self.reserve(max) {
            return Err(self.too_large(max, true));
        }
        let mut fill = Some(fill);
        self.try_fill(max, |frame| fill.take()?(frame)).map_err(|e| self.explain(e))
    }

    /// Sends messages in order, in batches where the transport can, [flushes](Self::flush) once at
    /// the end, and returns their number. Blocks while there is no room, without a limit of time.
    ///
    /// # Errors
    /// Those of [`send`](Self::send). It is then unknown how many of the last messages went out.
    pub fn send_many<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        let mut count = 0;
        for message in messages {
            let message = message.as_ref();
            if !self.try_batch(message) {
                self.flush()?;
                self.send(message)?;
            }
            count += 1;
        }
        self.flush()?;
        Ok(count)
    }

    /// Blocks until everything that was sent has left this process, without a limit of time.
    ///
    /// # Errors
    /// `Closed`, `PeerGone`, `Forked`.
    pub fn flush(&mut self) -> Result<()> {
        self.flush_within(None)
    }

    fn flush_within(&mut self, timeout: Option<Duration>) -> Result<()> {
        match self.try_flush() {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Send, deadline(timeout), Self::try_flush)
            }
            done => done,
        }
        .map_err(|e| self.explain(e))
    }

    /// Flushes and closes this direction. Blocks as long as the address's `timeout` at most.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush), and `TimedOut`.
    pub fn close(mut self) -> Result<()> {
        self.flush_within(Some(self.link.settings.timeout))
    }

    /// The other side, as far as the transport reports it.
    pub fn peer(&self) -> &Peer {
        &self.link.peer
    }

    /// The address of the endpoint that the channel came from.
    pub fn address(&self) -> &Address {
        &self.link.address
    }

    /// The length of the longest message in bytes: the lesser of both sides' `max_message`.
    pub fn max_message(&self) -> usize {
        self.lengths.limit
    }

    /// The length of the longest message that is one frame, in bytes: [`try_send`](Self::try_send)
    /// takes it, and [`send_with`](Self::send_with) writes it in one piece. At most
    /// [`max_message`](Self::max_message). It never falls; over `shm://` it grows with the ring,
    /// where a `try_send` that is too long for it is what lets it grow.
    pub fn max_frame(&self) -> usize {
        self.half.max_frame().clamp(self.lengths.direct, self.lengths.limit)
    }

    /// False once the receiver has left or died. Sends nothing, and does not block. True says
    /// nothing of the next send: the receiver may leave at any time.
    pub fn is_heard(&mut self) -> bool {
        self.half.is_heard()
    }

    /// Messages and bytes sent so far, and calls that had to wait.
    pub fn stats(&self) -> Stats {
        Stats {
            messages_sent: self.messages,
            bytes_sent: self.bytes,
            waits: self.spinner.waits,
            ..Stats::default()
        }
    }

    #[cfg(any(feature = "serde", feature = "tokio"))]
    pub(crate) fn settings(&self) -> &crate::address::settings::Settings {
        &self.link.settings
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn as_wait(&self) -> &dyn Wait {
        &*self.half
    }

    pub(crate) fn explain(&self, error: Error) -> Error {
        self.link.explain(error.during(Operation::Send))
    }

    #[inline]
    fn count(&mut self, len: usize) {
        self.messages += 1;
        self.bytes += len as u64;
    }

    pub(crate) fn check_len(&self, len: usize) -> Result<()> {
        if len > self.lengths.limit { Err(self.too_large(len, false)) } else { Ok(()) }
    }

    #[cold]
    fn too_large(&self, len: usize, one_frame: bool) -> Error {
        let Lengths { limit, max_frame, .. } = self.lengths;
        let why = if len > limit {
            let side =
                if limit as u64 == self.link.settings.max_message { "this" } else { "the other" };
            format!(
                "{len} bytes are more than the max_message={limit} of {side} side; raise it there"
            )
        } else if one_frame {
            format!("{len} bytes are more than the {max_frame} of one frame; send() takes it apart")
        } else {
            format!("{len} bytes")
        };
        self.explain(Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(why))
    }
}

impl Waitable for Sender {
    fn target(&mut self) -> &mut dyn Wait {
        &mut *self.half
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.show(f, "Sender", format_args!("{} sent", self.messages))
    }
}
