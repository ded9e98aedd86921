use std::fmt::Debug;

use crate::{Flags, Result, Wait};

/// The sending half of a channel. Dropping it closes the direction: the peer receives every frame
/// that was sent, then `Closed`.
///
/// No method blocks. Each does a bounded amount of work, whatever the peer writes into shared
/// memory or onto the wire.
pub trait SendHalf: Wait + Debug + Send + 'static {
    /// The length of the longest frame, in bytes; 1 or more. It may grow, but never shrinks.
    fn max_frame(&self) -> usize;

    /// The length of the pieces, in bytes, into which the facade cuts longer messages. Less than
    /// [`max_frame`](Self::max_frame) may be faster: the receiver copies one piece out while the
    /// sender copies the next one in.
    fn fragment(&self) -> usize {
        self.max_frame()
    }

    /// Announces a message of `len` bytes, more than one frame takes, and perhaps more like it: the
    /// half may prepare for longer frames. Before the first fragment of each message the caller
    /// announces that message with its exact length, which a half without
    /// [`HANDSHAKE`](crate::Capabilities::HANDSHAKE) may have to send ahead.
    fn reserve(&mut self, _len: usize) {}

    /// Sends one frame that `fill` writes in place. `fill` is called at most once, with exactly
    /// `max` writable bytes of unspecified content, and returns how many of them are the frame. If
    /// it returns `None` or panics, nothing is sent.
    ///
    /// `Ok` means that the whole frame is in memory that outlives this process: it arrives even if
    /// the process is killed next (with
    /// [`DELIVERS_AFTER_DEATH`](crate::Capabilities::DELIVERS_AFTER_DEATH)). After an error the
    /// receiver gets no byte of it. Only between [`cork`](Self::cork) and
    /// [`try_flush`](Self::try_flush) may the frame stay in this half.
    ///
    /// # Errors
    /// `WouldBlock` (no room), `Closed` (the receiver closed), `PeerGone` (it died),
    /// `MessageTooLarge` (`max` is over [`max_frame`](Self::max_frame)), `OutOfMemory`, `Forked`.
    /// `WouldBlock` and `Closed` allocate nothing.
    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()>;

    /// As [`try_send_with`](Self::try_send_with), for a frame that is there already.
    ///
    /// # Errors
    /// The same.
    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.try_send_with(payload.len(), flags, &mut |frame| {
            frame[..payload.len()].copy_from_slice(payload);
            Some(payload.len())
        })
    }

    /// True if the receiver is still there, as far as this half can tell without sending. False
    /// after it closed or died, and then every later send fails. So a connection of which the other
    /// direction has ended is not kept for ever.
    fn is_heard(&mut self) -> bool {
        match self.try_send_with(0, Flags::NONE, &mut |_| None) {
            Err(error) => error.is_would_block(),
            Ok(()) => true,
        }
    }

    /// Begins a batch: until the next [`try_flush`](Self::try_flush), frames may stay in this half,
    /// up to about 64 KiB, to go out together. The caller flushes at the end of the batch, and
    /// after a send that is `WouldBlock`.
    fn cork(&mut self) {}

    /// Ends a batch: sends what a [`cork`](Self::cork) holds back.
    ///
    /// # Errors
    /// `WouldBlock` while a part of the batch is left, and those of
    /// [`try_send_with`](Self::try_send_with).
    fn try_flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The receiving half of a channel. Dropping it closes the direction: the sender then gets
/// `Closed`.
///
/// No method blocks. Each does a bounded amount of work, whatever the peer writes into shared
/// memory or onto the wire.
pub trait RecvHalf: Wait + Debug + Send + 'static {
    /// Receives one frame and shows it to `read`: exactly once on `Ok`, otherwise never.
    ///
    /// # Errors
    /// `WouldBlock` (empty), `Closed` (orderly end), `PeerGone` (the sender died), `Corrupt` (the
    /// peer broke the format), `Forked`. `Closed` and `PeerGone` come after every frame that was
    /// sent before, and then from every further call.
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()>;

    /// As [`try_recv_with`](Self::try_recv_with), but appends the frame to `buffer`. Override it
    /// where that saves a copy. After an error the buffer is unchanged.
    ///
    /// # Errors
    /// The same.
    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        let mut got = Flags::NONE;
        self.try_recv_with(&mut |flags, frame| {
            buffer.extend_from_slice(frame);
            got = flags;
        })?;
        Ok(got)
    }

    /// Announces that this half will be asked soon, after others: it may prefetch the cache lines
    /// that it will read. Has no other effect.
    fn prefetch(&self) {}

    /// The number by which [`Endpoint::ready`](crate::Endpoint::ready) reports this half; unique
    /// among the channels of that endpoint. `None` where the backend has no hints.
    fn token(&self) -> Option<u64> {
        None
    }
}
