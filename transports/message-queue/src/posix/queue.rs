use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use anyipc_core::{
    Armed, Error, ErrorKind, Interest, Operation, Queue, QueueStatus, Result, Source, Wait, Waiter,
};
use anyipc_memory::Memory;
use anyipc_os::Fd;

use super::record::{DROPPED, Record, Shape};
use super::sys;
use crate::layout::Full;
use crate::waiters::{MESSAGES, ROOM};

/// A handle of a kernel queue, with a descriptor of its own.
#[derive(Debug)]
pub(crate) struct Handle {
    memory: Arc<Memory>,
    shape: Shape,
    queue: Arc<Fd>,
    /// What was received last, with room for the longest.
    copy: Vec<u8>,
    /// What is waited for.
    kind: usize,
}

impl Handle {
    pub(crate) fn new(memory: &Arc<Memory>, record: &Record) -> Result<Self> {
        memory.check(Operation::Queue)?;
        let queue = record.queue(Operation::Queue)?;
        // Whoever made it may have had another shape in mind.
        let longest = sys::status(&queue).map_err(|e| failed(Operation::Queue, e))?.longest;
        let shape = Shape { longest: u32::try_from(longest).unwrap_or(u32::MAX), ..record.shape };
        Ok(Self {
            memory: Arc::clone(memory),
            shape,
            queue: Arc::new(queue),
            copy: vec![0; longest],
            kind: MESSAGES,
        })
    }

    fn operation(&self) -> Operation {
        if self.kind == ROOM { Operation::Send } else { Operation::Receive }
    }

    #[cold]
    fn refuse(&self, priority: u32, len: usize) -> Error {
        let Shape { priorities, longest, .. } = self.shape;
        if priority >= priorities {
            return Error::new(Operation::Send, ErrorKind::InvalidOption).because(format!(
                "priority {priority}: this queue has 0 to {}; make it with priorities= for more",
                priorities - 1
            ));
        }
        let limit =
            sys::limit("msgsize_max").map_or("unknown".to_owned(), |limit| limit.to_string());
        Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
            "{len} bytes are more than the {longest} that this queue takes; make it with a larger max_message=, up to \
             /proc/sys/fs/mqueue/msgsize_max, which is {limit}"
        ))
    }

    fn receive(&mut self) -> Result<(usize, u32)> {
        sys::receive(&self.queue, &mut self.copy).map_err(|error| failed(Operation::Receive, error))
    }
}

/// What a call of the kernel says; the one that a busy loop meets allocates nothing.
pub(super) fn failed(operation: Operation, error: std::io::Error) -> Error {
    match ErrorKind::of_io(&error) {
        ErrorKind::WouldBlock => Error::new(operation, ErrorKind::WouldBlock),
        _ => Error::io(operation, "the kernel's queue", error),
    }
}

impl Queue for Handle {
    fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.memory.check(Operation::Send)?;
        if priority >= self.shape.priorities || message.len() > self.shape.longest as usize {
            return Err(self.refuse(priority, message.len()));
        }
        let sent = sys::send(&self.queue, priority, message)
            .map_err(|error| failed(Operation::Send, error));
        match (sent, self.shape.full) {
            (Err(error), Full::Error) if error.is_would_block() => {
                Err(Error::new(Operation::Send, ErrorKind::Full))
            }
            (Err(error), Full::DropNew) if error.is_would_block() => {
                self.memory.region().u64(DROPPED).fetch_add(1, SeqCst);
                Ok(())
            }
            (sent, _) => sent,
        }
    }

    fn try_recv_with(&mut self, read: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
        self.memory.check(Operation::Receive)?;
        let received = self.receive();
        if received.as_ref().is_err_and(Error::is_would_block) {
            self.memory.recall_named(Operation::Receive)?;
        }
        let (len, priority) = received?;
        read(priority, &self.copy[..len.min(self.copy.len())]);
        Ok(())
    }

    fn is_ready(&self) -> Result<bool> {
        self.memory.check(Operation::Queue)?;
        let status = sys::status(&self.queue).map_err(|error| failed(Operation::Queue, error))?;
        if status.messages == 0 {
            // An error that the next try tells.
            self.memory.recall_named(Operation::Queue)?;
        }
        Ok(status.messages > 0)
    }

    fn status(&self) -> Result<QueueStatus> {
        self.memory.check(Operation::Queue)?;
        let fail = |error| failed(Operation::Queue, error);
        let status = sys::status(&self.queue).map_err(fail)?;
        Ok(QueueStatus {
            messages: status.messages as u64,
            bytes: sys::bytes(&self.queue).map_err(fail)?,
            capacity: (status.most as u64).saturating_mul(status.longest as u64),
            max_message: status.longest as u64,
            priorities: self.shape.priorities,
            dropped: self.memory.region().u64(DROPPED).load(SeqCst),
        })
    }

    fn purge(&mut self) -> Result<u64> {
        self.memory.check(Operation::Queue)?;
        // As many as there can be: who sends meanwhile does not keep us.
        for count in 0..u64::from(self.shape.most) {
            match self.receive() {
                Ok(_) => {}
                Err(error) if error.is_would_block() => return Ok(count),
                Err(error) => return Err(error.during(Operation::Queue)),
            }
        }
        Ok(self.shape.most.into())
    }

    fn room(&mut self) -> &mut dyn Wait {
        self.kind = ROOM;
        self
    }

    fn messages(&mut self) -> &mut dyn Wait {
        self.kind = MESSAGES;
        self
    }
}

/// The kernel says when: threads and tasks sleep on the descriptor.
impl Wait for Handle {
    fn source(&self) -> Result<Source> {
        Ok(self.queue.clone())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.memory.check(self.operation())?;
        self.memory.insist_named(self.operation())?;
        Ok(Armed::Source(if self.kind == ROOM { Interest::Writable } else { Interest::Readable }))
    }
}
