use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{self, TryRecvError};

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Operation, RecvHalf, Result, SendHalf, Source, Wait, Waiter,
};

use crate::doorbell::Doorbell;

type Frame = (Flags, Vec<u8>);

/// What both ends of one direction see.
#[derive(Debug, Default)]
struct Flow {
    /// Frames on their way.
    taken: AtomicUsize,
    receiver_left: AtomicBool,
    sender_sleeps: AtomicBool,
    receiver_sleeps: AtomicBool,
}

/// One direction of a channel.
pub(crate) fn direction(
    slots: usize,
    max_frame: usize,
) -> Result<(MailboxSender, MailboxReceiver)> {
    let (frames, arrivals) = mpsc::channel();
    let flow = Arc::new(Flow::default());
    let (here, there) = Doorbell::pair()?;
    let sender = MailboxSender { frames, flow: flow.clone(), doorbell: here, slots, max_frame };
    Ok((sender, MailboxReceiver { arrivals, next: None, flow, doorbell: there }))
}

/// The waiter's half of the protocol: after this, the re-check sees the change, or the peer rings.
fn fall_asleep(flag: &AtomicBool, doorbell: &Doorbell) {
    doorbell.hush();
    flag.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
}

/// The other half, after the change.
fn wake(flag: &AtomicBool, doorbell: &Doorbell) {
    fence(Ordering::SeqCst);
    if flag.swap(false, Ordering::Relaxed) {
        doorbell.ring();
    }
}

/// The sending half.
#[derive(Debug)]
pub struct MailboxSender {
    frames: mpsc::Sender<Frame>,
    flow: Arc<Flow>,
    doorbell: Doorbell,
    slots: usize,
    max_frame: usize,
}

impl MailboxSender {
    fn check(&self) -> Result<()> {
        if self.flow.receiver_left.load(Ordering::Acquire) {
            Err(Error::new(Operation::Send, ErrorKind::Closed))
        } else if self.flow.taken.load(Ordering::Acquire) >= self.slots {
            Err(Error::new(Operation::Send, ErrorKind::WouldBlock))
        } else {
            Ok(())
        }
    }
}

impl SendHalf for MailboxSender {
    fn max_frame(&self) -> usize {
        self.max_frame
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        if max > self.max_frame {
            return Err(Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
                "a frame of {max} bytes; at most {} are carried",
                self.max_frame
            )));
        }
        self.check()?;
        let mut frame = vec![0; max];
        let Some(used) = fill(&mut frame) else { return Ok(()) };
        frame.truncate(used);
        self.flow.taken.fetch_add(1, Ordering::AcqRel);
        self.frames
            .send((flags, frame))
            .map_err(|_| Error::new(Operation::Send, ErrorKind::Closed))?;
        wake(&self.flow.receiver_sleeps, &self.doorbell);
        Ok(())
    }
}

impl Wait for MailboxSender {
    fn source(&self) -> Result<Source> {
        self.doorbell.source()
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        fall_asleep(&self.flow.sender_sleeps, &self.doorbell);
        Ok(if self.check().is_err_and(|error| error.is_would_block()) {
            self.doorbell.armed()
        } else {
            Armed::Ready
        })
    }

    fn disarm(&mut self) {
        self.flow.sender_sleeps.store(false, Ordering::Relaxed);
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct MailboxReceiver {
    arrivals: mpsc::Receiver<Frame>,
    /// What a look found; `mpsc` cannot look without taking.
    next: Option<Frame>,
    flow: Arc<Flow>,
    doorbell: Doorbell,
}

impl MailboxReceiver {
    /// Makes `next` hold the next frame.
    fn look(&mut self) -> Result<()> {
        if self.next.is_some() {
            return Ok(());
        }
        let kind = match self.arrivals.try_recv() {
            Ok(frame) => {
                self.next = Some(frame);
                return Ok(());
            }
            Err(TryRecvError::Empty) => ErrorKind::WouldBlock,
            Err(TryRecvError::Disconnected) => ErrorKind::Closed,
        };
        Err(Error::new(Operation::Receive, kind))
    }
}

impl RecvHalf for MailboxReceiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        self.look()?;
        if let Some((flags, frame)) = self.next.take() {
            self.flow.taken.fetch_sub(1, Ordering::AcqRel);
            wake(&self.flow.sender_sleeps, &self.doorbell);
            read(flags, &frame);
        }
        Ok(())
    }
}

impl Wait for MailboxReceiver {
    fn source(&self) -> Result<Source> {
        self.doorbell.source()
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        fall_asleep(&self.flow.receiver_sleeps, &self.doorbell);
        let nothing = self.look().is_err_and(|error| error.is_would_block());
        Ok(if nothing { self.doorbell.armed() } else { Armed::Ready })
    }

    fn disarm(&mut self) {
        self.flow.receiver_sleeps.store(false, Ordering::Relaxed);
    }
}

// Fields drop in order: `frames` first, then the doorbell, which wakes a sleeping receiver.
impl Drop for MailboxReceiver {
    fn drop(&mut self) {
        self.flow.receiver_left.store(true, Ordering::Release);
    }
}
