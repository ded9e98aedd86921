use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use anyipc_core::{
    Armed, Error, ErrorKind, Full, Interest, Operation, Queue, QueueStatus, Result, Source, Wait,
    Waiter,
};
use anyipc_memory::Segment;
use anyipc_os::Fd;

use crate::record::{DROPPED, Record, Shape};
use crate::sys;

/// A handle of a kernel queue, with a descriptor of its own.
#[derive(Debug)]
pub(crate) struct Handle {
    memory: Arc<Segment>,
    shape: Shape,
    queue: Arc<Fd>,
    /// Receives messages; as long as the longest.
    buffer: Vec<u8>,
    /// What the next `arm` waits for: `Writable` is room, `Readable` a message.
    interest: Interest,
}

impl Handle {
    pub(crate) fn new(memory: &Arc<Segment>, record: &Record) -> Result<Self> {
        memory.check(Operation::Queue)?;
        let queue = record.queue(Operation::Queue)?;
        // A record may be damaged: the kernel knows how long a message can be.
        let status = sys::status(&queue).map_err(|error| failed(Operation::Queue, error))?;
        let max_message = u32::try_from(status.max_message).unwrap_or(u32::MAX);
        Ok(Self {
            memory: Arc::clone(memory),
            shape: Shape { max_message, ..record.shape },
            queue: Arc::new(queue),
            buffer: vec![0; status.max_message],
            interest: Interest::Readable,
        })
    }

    fn operation(&self) -> Operation {
        match self.interest {
            Interest::Readable => Operation::Receive,
            Interest::Writable => Operation::Send,
        }
    }

    #[cold]
    fn refuse(&self, priority: u32, len: usize) -> Error {
        let Shape { priorities, max_message, .. } = self.shape;
        if priority >= priorities {
            return Error::new(Operation::Send, ErrorKind::InvalidOption).because(format!(
                "priority {priority}: this queue has 0 to {}; make it with priorities= for more",
                priorities - 1
            ));
        }
        let limit =
            sys::limit("msgsize_max").map_or("unknown".to_owned(), |limit| limit.to_string());
        Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
            "{len} bytes are more than the {max_message} that this queue takes; make it with a \
             larger max_message= or capacity=, which is ten messages or more; the kernel's limit \
             is /proc/sys/fs/mqueue/msgsize_max, {limit}"
        ))
    }

    fn receive(&mut self) -> Result<(usize, u32)> {
        sys::receive(&self.queue, &mut self.buffer)
            .map_err(|error| failed(Operation::Receive, error))
    }
}

/// The error of a system call. `WouldBlock`, which a busy loop meets, allocates nothing.
pub(crate) fn failed(operation: Operation, error: std::io::Error) -> Error {
    match ErrorKind::of_io(&error) {
        ErrorKind::WouldBlock => Error::new(operation, ErrorKind::WouldBlock),
        _ => Error::io(operation, "the kernel's queue", error),
    }
}

impl Queue for Handle {
    fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.memory.check(Operation::Send)?;
        if priority >= self.shape.priorities || message.len() > self.shape.max_message as usize {
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
        read(priority, &self.buffer[..len.min(self.buffer.len())]);
        Ok(())
    }

    fn is_ready(&self) -> Result<bool> {
        self.memory.check(Operation::Queue)?;
        let status = sys::status(&self.queue).map_err(|error| failed(Operation::Queue, error))?;
        if status.messages == 0 {
            // The next receive returns this error.
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
            capacity: (status.capacity as u64).saturating_mul(status.max_message as u64),
            max_message: status.max_message as u64,
            priorities: self.shape.priorities,
            dropped: self.memory.region().u64(DROPPED).load(SeqCst),
            ..QueueStatus::default()
        })
    }

    fn purge(&mut self) -> Result<u64> {
        self.memory.check(Operation::Queue)?;
        // At most as many as fit: concurrent senders do not prolong the call.
        for count in 0..u64::from(self.shape.messages) {
            match self.receive() {
                Ok(_) => {}
                Err(error) if error.is_would_block() => return Ok(count),
                Err(error) => return Err(error.during(Operation::Queue)),
            }
        }
        Ok(self.shape.messages.into())
    }

    fn room(&mut self) -> &mut dyn Wait {
        self.interest = Interest::Writable;
        self
    }

    fn messages(&mut self) -> &mut dyn Wait {
        self.interest = Interest::Readable;
        self
    }
}

/// Threads and tasks sleep on the queue's descriptor.
impl Wait for Handle {
    fn source(&self) -> Result<Source> {
        Ok(self.queue.clone())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.memory.check(self.operation())?;
        self.memory.insist_named(self.operation())?;
        Ok(Armed::Source(self.interest))
    }
}
