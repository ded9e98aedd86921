use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Error, ErrorKind, Flags, KEPT, Operation, Peer, Result, SendHalf, Wait, give_back,
};

use crate::address::Address;
use crate::channel::{Link, Stats};
use crate::wait::{Spinner, Waitable, deadline, wait};

/// The sending half of a channel.
#[derive(Debug)]
pub struct Sender {
    half: Box<dyn SendHalf>,
    link: Arc<Link>,
    /// The longest message, by both sides' limits.
    limit: usize,
    max_frame: usize,
    /// What a message that is copied in is taken apart into.
    fragment: usize,
    /// The longest message that is one frame if it is written in place.
    direct: usize,
    /// The longest message that is one frame if it is copied in.
    copied: usize,
    left: Left,
    spinner: Spinner,
    messages: u64,
    bytes: u64,
    /// For `send_with` above one frame.
    scratch: Vec<u8>,
    /// `messages` when `scratch` was of use last.
    filled: u64,
}

/// What an earlier call left to be done before the next message can go its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// To finish a batch.
    Cork,
    /// To call off fragments of a message that will not be finished.
    Fragments,
    /// To give back what `scratch` has for a large message, if some shorter ones follow.
    Memory,
}

impl Sender {
    pub(crate) fn new(half: Box<dyn SendHalf>, link: Arc<Link>) -> Self {
        let theirs = match link.peer.hello.max_message {
            0 => u64::MAX,
            limit => limit,
        };
        let limit = usize::try_from(theirs.min(link.settings.max_message)).unwrap_or(usize::MAX);
        let max_frame = half.max_frame().max(1);
        let fragment = half.fragment().clamp(1, max_frame);
        let spinner = Spinner::new(link.settings.wait);
        Self {
            half,
            link,
            limit,
            max_frame,
            fragment,
            direct: max_frame.min(limit),
            copied: fragment.min(limit),
            left: Left::Nothing,
            spinner,
            messages: 0,
            bytes: 0,
            scratch: Vec::new(),
            filled: 0,
        }
    }

    /// Sends one message; waits while there is no room, **without a limit of time**. Room comes when the other
    /// side receives: two sides that both send more than the channel holds (`capacity`) before they receive wait
    /// for each other for ever. Where both may send at once, receive on another thread ([`Channel::split`](crate::Channel::split)), or use
    /// [`send_timeout`](Self::send_timeout), or [`try_send`](Self::try_send) and receive after each `WouldBlock`.
    ///
    /// # Errors
    /// `MessageTooLarge` (over [`max_message`](Self::max_message)), `Closed` (the receiver left),
    /// `PeerGone` (it died), `Forked`.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_within(message, None)
    }

    /// As [`send`](Self::send), waiting this long at most. After `TimedOut` nothing of the message arrives, but the
    /// frames of a long one that went out keep their room until the peer receives.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.send_within(message, Some(timeout))
    }

    #[inline]
    fn send_within(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        if message.len() <= self.copied && self.left == Left::Nothing {
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

    /// Sends one message of one frame, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` (no room now), `MessageTooLarge` (over one frame: only the waiting calls take a message
    /// apart), and those of [`send`](Self::send).
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        if message.len() > self.direct && !self.makes_room(message.len()) {
            return Err(self.too_large(message.len(), true));
        }
        self.try_finish()
            .and_then(|()| self.half.try_send(Flags::NONE, message))
            .map_err(|e| self.explain(e))?;
        self.count(message.len());
        Ok(())
    }

    /// Sends one message of at most `max` bytes that `fill` writes, and of which it returns the length; waits
    /// while there is no room. `None` or a panic sends nothing. The bytes given to `fill` have unspecified
    /// content.
    ///
    /// Over shared memory with `trust=same-user`, a peer of the same user, and a message of one frame, `fill`
    /// writes in place, and the peer can change the bytes meanwhile. Otherwise they are private, and copied.
    ///
    /// # Errors
    /// Those of [`send`](Self::send); `MessageTooLarge` also if `max` is over the limit or `fill` returns more
    /// than `max`.
    pub fn send_with(
        &mut self,
        max: usize,
        fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        let mut fill = fill;
        if max > self.direct && !self.makes_room(max) {
            let Some(message) = self.write_scratch(max, &mut fill)? else { return Ok(()) };
            let sent = self.send(&message);
            self.keep_scratch(message);
            return sent;
        }
        match self.try_fill(max, &mut fill) {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Send, None, |sender| sender.try_fill(max, &mut fill))
            }
            done => done,
        }
        .map_err(|e| self.explain(e))
    }

    /// Sends messages one after the other, as many at once as the transport can, and finishes them with one
    /// [`flush`](Self::flush). Returns how many. Waits while there is no room.
    ///
    /// # Errors
    /// Those of [`send`](Self::send). Whether the last messages went out is not known then.
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

    /// Sends a message together with those that follow, up to the next flush. False if it has to go alone.
    #[inline]
    pub(crate) fn try_batch(&mut self, message: &[u8]) -> bool {
        if message.len() > self.copied || self.left != Left::Cork && !self.cork() {
            return false;
        }
        let sent = self.half.try_send(Flags::NONE, message).is_ok();
        if sent {
            self.count(message.len());
        }
        sent
    }

    /// Begins a batch, unless fragments are to be called off first.
    #[cold]
    fn cork(&mut self) -> bool {
        if self.left == Left::Nothing {
            self.half.cork();
            self.left = Left::Cork;
        }
        self.left == Left::Cork
    }

    /// Waits until everything sent has left this process.
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

    /// Finishes what is left to send, within the address's `timeout`, and closes this direction.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush), and `TimedOut`.
    pub fn close(mut self) -> Result<()> {
        self.flush_within(Some(self.link.settings.timeout))
    }

    /// Who is on the other side, as far as the transport tells.
    pub fn peer(&self) -> &Peer {
        &self.link.peer
    }

    /// The address it came from.
    pub fn address(&self) -> &Address {
        &self.link.address
    }

    /// The longest message: the lesser of both sides' `max_message`, in bytes.
    pub fn max_message(&self) -> usize {
        self.limit
    }

    /// What went out so far.
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

    /// Whether the other side still receives, as far as is known.
    pub(crate) fn is_heard(&mut self) -> bool {
        self.half.is_heard()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn direct(&self) -> usize {
        self.direct
    }

    pub(crate) fn explain(&self, error: Error) -> Error {
        self.link.explain(error.during(Operation::Send))
    }

    pub(crate) fn try_flush(&mut self) -> Result<()> {
        if self.left == Left::Cork {
            self.left = self.rest();
        }
        self.half.try_flush()
    }

    #[inline]
    fn count(&mut self, len: usize) {
        self.messages += 1;
        self.bytes += len as u64;
    }

    #[cold]
    fn send_slowly(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        self.check(message.len())?;
        self.spinner.last_len = message.len();
        let mut offset = 0;
        match self.try_rest(message, &mut offset) {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Send, deadline(timeout), |sender| {
                    sender.try_rest(message, &mut offset)
                })
            }
            done => done,
        }
        .map_err(|e| self.explain(e))
    }

    /// Sends what is left of a message after `offset`, as far as there is room. An offset above zero says
    /// that the call continues its own message; at zero, fragments of an earlier one are called off.
    pub(crate) fn try_rest(&mut self, message: &[u8], offset: &mut usize) -> Result<()> {
        if *offset == 0 {
            if message.len() > self.copied {
                self.makes_room(message.len());
            }
            self.try_finish()?;
        }
        loop {
            let rest = message.get(*offset..).unwrap_or_default();
            let Some((fragment, _)) =
                rest.split_at_checked(self.fragment).filter(|(_, tail)| !tail.is_empty())
            else {
                self.half.try_send(Flags::NONE, rest)?;
                self.left = self.rest();
                self.count(message.len());
                return Ok(());
            };
            self.half.try_send(Flags::MORE, fragment)?;
            self.left = Left::Fragments;
            *offset += fragment.len();
        }
    }

    /// Whether the transport has longer frames by now, and a message of `len` bytes fits into one.
    pub(crate) fn makes_room(&mut self, len: usize) -> bool {
        self.half.reserve(len.min(self.limit));
        self.max_frame = self.half.max_frame().max(self.max_frame);
        self.fragment = self.half.fragment().clamp(1, self.max_frame);
        self.direct = self.max_frame.min(self.limit);
        self.copied = self.fragment.min(self.limit);
        len <= self.direct
    }

    /// Does what an abandoned call left.
    fn try_finish(&mut self) -> Result<()> {
        match self.left {
            Left::Nothing => {}
            Left::Cork => self.try_flush()?,
            Left::Fragments => {
                self.half.try_send(Flags::ABORT, &[])?;
                self.left = self.rest();
            }
            Left::Memory => {
                give_back(&mut self.scratch, self.messages - self.filled);
                self.left = self.rest();
            }
        }
        Ok(())
    }

    /// What is left when neither a batch nor fragments are.
    fn rest(&self) -> Left {
        if self.scratch.capacity() > KEPT { Left::Memory } else { Left::Nothing }
    }

    #[inline]
    pub(crate) fn try_fill(
        &mut self,
        max: usize,
        mut fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.try_finish()?;
        let mut used = None;
        self.half.try_send_with(max, Flags::NONE, &mut |frame| {
            used = fill(frame);
            used.filter(|len| *len <= frame.len())
        })?;
        match used {
            Some(len) if len > max => Err(overfilled(len, max)),
            Some(len) => {
                self.count(len);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Fills the scratch buffer, cut to the message, and hands it over (to be put back).
    pub(crate) fn write_scratch(
        &mut self,
        max: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<Option<Vec<u8>>> {
        self.check(max)?;
        let mut message = std::mem::take(&mut self.scratch);
        message.resize(max, 0);
        match fill(&mut message) {
            Some(len) if len > max => Err(self.explain(overfilled(len, max))),
            Some(len) => {
                message.truncate(len);
                Ok(Some(message))
            }
            None => {
                self.keep_scratch(message);
                Ok(None)
            }
        }
    }

    pub(crate) fn keep_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
        self.filled = self.messages;
        if self.left == Left::Nothing {
            self.left = self.rest();
        }
    }

    pub(crate) fn check(&self, len: usize) -> Result<()> {
        if len > self.limit { Err(self.too_large(len, false)) } else { Ok(()) }
    }

    #[cold]
    fn too_large(&self, len: usize, at_once: bool) -> Error {
        let why = if len > self.limit {
            let whose = if self.limit as u64 == self.link.settings.max_message {
                "this"
            } else {
                "the other"
            };
            format!(
                "{len} bytes are more than the max_message={} of {whose} side; raise it there",
                self.limit
            )
        } else if at_once {
            format!(
                "{len} bytes are more than the {} of one frame; send() takes it apart",
                self.max_frame
            )
        } else {
            format!("{len} bytes")
        };
        self.explain(Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(why))
    }
}

fn overfilled(len: usize, max: usize) -> Error {
    Error::new(Operation::Send, ErrorKind::MessageTooLarge)
        .because(format!("the closure returned {len}, more than the {max} bytes it was given"))
}

impl Waitable for Sender {
    fn wait(&mut self) -> &mut dyn Wait {
        &mut *self.half
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
}
