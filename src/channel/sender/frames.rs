//! From messages to frames: how long each may be, fragments, batches, and what an earlier call left
//! to do.

use anyipc_core::{Error, ErrorKind, Flags, Operation, Result, SendHalf};

use super::Sender;
use crate::channel::Link;

/// What a sender may send in one piece, in bytes. `copied <= direct <= limit`, and both only grow.
#[derive(Debug)]
pub(super) struct Lengths {
    /// The longest message: the lesser of both sides' `max_message`.
    pub(super) limit: usize,
    /// The longest frame of the transport, at least 1.
    pub(super) max_frame: usize,
    /// Length of the fragments of a message that is copied in, 1 to `max_frame`.
    pub(super) fragment: usize,
    /// The longest message that is one frame if it is written in place.
    pub(super) direct: usize,
    /// The longest message that is one frame if it is copied in.
    pub(super) copied: usize,
}

impl Lengths {
    pub(super) fn new(half: &dyn SendHalf, link: &Link) -> Self {
        let theirs = match link.peer.hello.max_message {
            0 => u64::MAX,
            limit => limit,
        };
        let limit = usize::try_from(theirs.min(link.settings.max_message)).unwrap_or(usize::MAX);
        let mut lengths = Self { limit, max_frame: 1, fragment: 1, direct: 0, copied: 0 };
        lengths.update(half);
        lengths
    }

    /// Takes over the frames of the half, which may have grown.
    fn update(&mut self, half: &dyn SendHalf) {
        self.max_frame = half.max_frame().max(self.max_frame);
        self.fragment = half.fragment().clamp(1, self.max_frame);
        self.direct = self.max_frame.min(self.limit);
        self.copied = self.fragment.min(self.limit);
    }
}

/// What an earlier call left to do before the next message can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    Nothing,
    /// A batch has begun and is not flushed.
    Flush,
    /// Fragments of a message went out that will not be finished: they are called off.
    Abort,
    /// The scratch buffer is large; it is given back once enough messages did not need it.
    LargeScratch,
}

impl Sender {
    /// Sends the rest of a message from `offset` on, as far as there is room, and moves `offset`.
    ///
    /// An offset above zero says that the fragments in the transport are this message's. At zero,
    /// pending fragments belong to an earlier message and are called off.
    pub(crate) fn try_send_rest(&mut self, message: &[u8], offset: &mut usize) -> Result<()> {
        if *offset == 0 {
            if message.len() > self.lengths.copied {
                self.reserve(message.len());
            }
            self.try_finish_pending()?;
        }
        loop {
            let rest = message.get(*offset..).unwrap_or_default();
            let Some((fragment, _)) =
                rest.split_at_checked(self.lengths.fragment).filter(|(_, tail)| !tail.is_empty())
            else {
                self.half.try_send(Flags::NONE, rest)?;
                self.pending = self.pending_between_messages();
                self.count(message.len());
                return Ok(());
            };
            self.half.try_send(Flags::MORE, fragment)?;
            self.pending = Pending::Abort;
            *offset += fragment.len();
        }
    }

    /// The longest message that is one frame if it is written in place, in bytes.
    #[cfg(feature = "tokio")]
    pub(crate) fn direct(&self) -> usize {
        self.lengths.direct
    }

    /// Asks the transport for frames of `len` bytes. True if it has them now.
    pub(crate) fn reserve(&mut self, len: usize) -> bool {
        self.half.reserve(len.min(self.lengths.limit));
        self.lengths.update(&*self.half);
        len <= self.lengths.direct
    }

    /// Sends one frame that `fill` writes.
    #[inline]
    pub(crate) fn try_fill(
        &mut self,
        max: usize,
        mut fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.try_finish_pending()?;
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

    /// Adds a message to the current batch. False if it must be sent on its own.
    #[inline]
    pub(crate) fn try_batch(&mut self, message: &[u8]) -> bool {
        if message.len() > self.lengths.copied
            || self.pending != Pending::Flush && !self.begin_batch()
        {
            return false;
        }
        let sent = self.half.try_send(Flags::NONE, message).is_ok();
        if sent {
            self.count(message.len());
        }
        sent
    }

    /// Begins a batch, unless something else is pending.
    #[cold]
    fn begin_batch(&mut self) -> bool {
        if self.pending == Pending::Nothing {
            self.half.cork();
            self.pending = Pending::Flush;
        }
        self.pending == Pending::Flush
    }

    pub(crate) fn try_flush(&mut self) -> Result<()> {
        if self.pending == Pending::Flush {
            self.pending = self.pending_between_messages();
        }
        self.half.try_flush()
    }

    /// Does what is pending.
    pub(super) fn try_finish_pending(&mut self) -> Result<()> {
        match self.pending {
            Pending::Nothing => {}
            Pending::Flush => self.try_flush()?,
            Pending::Abort => {
                self.half.try_send(Flags::ABORT, &[])?;
                self.pending = self.pending_between_messages();
            }
            Pending::LargeScratch => {
                self.scratch.give_back(self.messages);
                self.pending = self.pending_between_messages();
            }
        }
        Ok(())
    }

    /// What is pending where neither a batch nor fragments are.
    pub(super) fn pending_between_messages(&self) -> Pending {
        if self.scratch.is_large() { Pending::LargeScratch } else { Pending::Nothing }
    }
}

pub(super) fn overfilled(len: usize, max: usize) -> Error {
    Error::new(Operation::Send, ErrorKind::MessageTooLarge)
        .because(format!("the closure returned {len}, more than the {max} bytes it was given"))
}
