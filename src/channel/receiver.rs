use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Flags, Operation, Peer, RecvHalf, Result, Wait, give_back};

use crate::address::Address;
use crate::channel::{Link, Stats};
use crate::wait::select::{Member, Sleep};
use crate::wait::{Spinner, Waitable, deadline, wait};

/// What one try takes of an unfinished message, in bytes, before its caller looks at the clock: less than a
/// millisecond's work, also of one-byte fragments and of messages that are called off.
const STEP: usize = 2 << 20;
/// What a frame counts for beside its bytes.
const FRAME: usize = 4 << 10;

/// The receiving half of a channel.
#[derive(Debug)]
pub struct Receiver {
    half: Box<dyn RecvHalf>,
    link: Arc<Link>,
    limit: usize,
    /// The fragments of an unfinished message.
    partial: Vec<u8>,
    assembly: Assembly,
    /// The last try stopped after [`STEP`] bytes.
    interrupted: bool,
    /// `messages` when `partial` was of use last.
    assembled: u64,
    spinner: Spinner,
    messages: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Assembly {
    /// Between two messages.
    Idle,
    /// In the midst of one.
    Partial,
    /// A whole message is there that nobody asked for yet.
    Whole,
    /// The peer broke the rules; nothing it sends means anything any more.
    Broken,
}

impl Receiver {
    pub(crate) fn new(half: Box<dyn RecvHalf>, link: Arc<Link>) -> Self {
        let limit = usize::try_from(link.settings.max_message).unwrap_or(usize::MAX);
        let spinner = Spinner::new(link.settings.wait);
        let partial = Vec::new();
        Self {
            half,
            link,
            limit,
            partial,
            assembly: Assembly::Idle,
            interrupted: false,
            assembled: 0,
            spinner,
            messages: 0,
            bytes: 0,
        }
    }

    /// Receives one message; waits for it.
    ///
    /// # Errors
    /// `Closed` (the peer left; everything it sent was received), `PeerGone` (it died; likewise), `Corrupt`
    /// (it broke the protocol or sent more than `max_message`), `Forked`.
    pub fn recv(&mut self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.recv_into(&mut message)?;
        Ok(message)
    }

    /// Receives one message if there is one. One of more than 2 MiB, or of very many fragments, may take several calls,
    /// each of which takes a part of it.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.try_recv_into(&mut message)?;
        Ok(message)
    }

    /// As [`recv`](Self::recv), waiting this long at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.recv_into_timeout(&mut message, timeout)?;
        Ok(message)
    }

    /// Receives one message into `buffer`, which holds it and nothing else afterwards; returns its length.
    /// Waits for it. With a buffer that is used again, nothing is allocated.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv); the content of `buffer` is then unspecified.
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.recv_into_within(buffer, None)
    }

    /// As [`recv_into`](Self::recv_into), waiting this long at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
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
        if self.assembly == Assembly::Idle {
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

    /// Goes on after a first frame that was not a whole message, or none.
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

    /// As [`recv_into`](Self::recv_into), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of [`recv`](Self::recv).
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        match self.try_into(buffer) {
            Ok(()) => Ok(buffer.len()),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Receives one message and shows it to `read` where it lies; waits for it. A message whose `read` panics
    /// is used up.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv); `read` was not called then.
    #[inline]
    pub fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.recv_with_within(read, None)
    }

    /// As [`recv_with`](Self::recv_with), waiting this long at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
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

    /// As [`recv_with`](Self::recv_with), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of [`recv`](Self::recv).
    #[inline]
    pub fn try_recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.try_with(&mut Some(read)).map_err(|e| self.explain(e))
    }

    /// Who is on the other side, as far as the transport tells.
    pub fn peer(&self) -> &Peer {
        &self.link.peer
    }

    /// The address it came from.
    pub fn address(&self) -> &Address {
        &self.link.address
    }

    /// What came in so far.
    pub fn stats(&self) -> Stats {
        Stats {
            messages_received: self.messages,
            bytes_received: self.bytes,
            waits: self.spinner.waits,
            ..Stats::default()
        }
    }

    /// Tells the sender that nobody listens any more: it gets `Closed`. The same as dropping.
    pub fn close(self) {}

    /// It will be asked soon.
    pub(crate) fn prefetch(&self) {
        self.half.prefetch();
    }

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
        self.give_back();
        wait(self, Operation::Receive, deadline(timeout), attempt).map_err(|e| self.explain(e))
    }

    /// There is nothing to receive: the buffer that one large message made is not kept for the short ones.
    #[cold]
    fn give_back(&mut self) {
        if self.assembly == Assembly::Idle {
            give_back(&mut self.partial, self.messages - self.assembled);
        }
    }

    #[inline]
    fn count(&mut self, len: usize) {
        self.messages += 1;
        self.bytes += len as u64;
        self.spinner.last_len = len;
    }

    /// One message into `buffer`, if it is all there.
    #[inline]
    pub(crate) fn try_into(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        if self.assembly != Assembly::Idle {
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

    /// The rest of a message, of which `buffer` may hold the first frame.
    #[cold]
    fn try_rest(&mut self, first: Option<Flags>, buffer: &mut Vec<u8>) -> Result<()> {
        if first.is_some() {
            self.partial.clear();
            std::mem::swap(buffer, &mut self.partial);
        }
        self.try_assemble(first)?;
        std::mem::swap(buffer, &mut self.partial);
        self.partial.clear();
        Ok(())
    }

    /// One message shown to `read`, if it is all there.
    #[inline]
    pub(crate) fn try_with<R, F: FnOnce(&[u8]) -> R>(&mut self, read: &mut Option<F>) -> Result<R> {
        let mut first = None;
        if self.assembly == Assembly::Idle {
            let (mut len, mut result) = (0, None);
            let (partial, limit) = (&mut self.partial, self.limit);
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
                .inspect_err(|_| self.give_back())?;
            if let Some(result) = result {
                self.count(len);
                return Ok(result);
            }
        }
        self.try_assemble(first)?;
        match read.take() {
            Some(read) => Ok(read(&self.partial)),
            None => Err(Error::new(Operation::Receive, ErrorKind::Corrupt)
                .because("the transport showed one message twice")),
        }
    }

    /// Whether the next try has a message, or the end of the channel, to tell: a message is taken from the
    /// transport for that and kept.
    pub(crate) fn is_ready(&mut self) -> bool {
        match self.assembly {
            Assembly::Whole => return true,
            Assembly::Idle => self.partial.clear(),
            Assembly::Partial | Assembly::Broken => {}
        }
        match self.try_assemble(None) {
            Ok(()) => {
                self.assembly = Assembly::Whole;
                true
            }
            Err(error) => !error.is_would_block(),
        }
    }

    /// Puts fragments together in `partial` until the message is whole. `first` are the flags of a frame
    /// that is in `partial` already.
    fn try_assemble(&mut self, first: Option<Flags>) -> Result<()> {
        match self.assembly {
            Assembly::Broken => return Err(corrupt("it broke the protocol earlier")),
            Assembly::Whole => {
                self.assembly = Assembly::Idle;
                return Ok(());
            }
            Assembly::Idle | Assembly::Partial => {}
        }
        let (mut flags, mut before) = (first, 0);
        let mut done = 0;
        loop {
            if let Some(flags) = flags {
                let added = self.partial.len() - before;
                match self.fragment(flags, added) {
                    Ok(true) => {
                        self.count(self.partial.len());
                        self.assembled = self.messages;
                        return Ok(());
                    }
                    Ok(false) => {}
                    Err(error) => {
                        self.assembly = Assembly::Broken;
                        self.partial = Vec::new();
                        return Err(error);
                    }
                }
                done += FRAME + added;
                if done >= STEP {
                    self.interrupted = true;
                    return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
                }
            }
            before = self.partial.len();
            flags = Some(self.half.try_recv_into(&mut self.partial)?);
        }
    }

    /// Judges a frame whose `added` bytes stand at the end of `partial`. True if the message is whole.
    fn fragment(&mut self, flags: Flags, added: usize) -> Result<bool> {
        if flags.contains(Flags::ABORT) {
            if flags != Flags::ABORT || added != 0 || self.assembly != Assembly::Partial {
                return Err(corrupt("it called a message off that it had not begun"));
            }
            self.partial.clear();
            self.assembly = Assembly::Idle;
            return Ok(false);
        }
        if self.partial.len() > self.limit {
            return Err(corrupt(&format!(
                "it sent a message longer than max_message={}",
                self.limit
            )));
        }
        if flags == Flags::NONE {
            self.assembly = Assembly::Idle;
            return Ok(true);
        }
        if added == 0 {
            return Err(corrupt("it sent an empty fragment"));
        }
        self.assembly = Assembly::Partial;
        Ok(false)
    }
}

fn corrupt(why: &str) -> Error {
    Error::new(Operation::Receive, ErrorKind::Corrupt)
        .because(format!("the peer is not to be trusted: {why}"))
}

impl Waitable for Receiver {
    fn wait(&mut self) -> &mut dyn Wait {
        &mut *self.half
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
    fn interrupted(&mut self) -> bool {
        std::mem::take(&mut self.interrupted)
    }
}

impl Member for Receiver {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }
    fn sleep_on(&mut self, sleep: Sleep<'_>) -> Result<bool> {
        if self.interrupted() { Ok(false) } else { sleep.arm(self.wait()) }
    }
    fn stop_sleeping(&mut self) {
        self.wait().disarm();
    }
    fn spins(&mut self) -> bool {
        self.spinner().spins()
    }
}
