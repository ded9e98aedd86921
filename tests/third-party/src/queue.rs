//! A queue as a stranger would write it: a deque per priority under a lock, as many messages as there are slots.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Operation, Queue, QueueStatus, Result, Wait, Waiter};

const PRIORITIES: usize = 4;
const LONGEST: usize = 64 << 10;

/// What all handles of one queue share.
#[derive(Debug)]
pub(crate) struct Shelf {
    slots: usize,
    messages: [VecDeque<Vec<u8>>; PRIORITIES],
}

impl Shelf {
    pub(crate) fn new(slots: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { slots, messages: Default::default() }))
    }

    fn count(&self) -> usize {
        self.messages.iter().map(VecDeque::len).sum()
    }
}

/// A handle.
#[derive(Debug)]
pub(crate) struct Handle {
    shelf: Arc<Mutex<Shelf>>,
    clock: Clock,
}

/// Nobody wakes anyone here: who waits looks again.
#[derive(Debug)]
struct Clock;

impl Wait for Clock {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        Ok(Armed::After(Duration::from_millis(1)))
    }
}

impl Handle {
    pub(crate) fn new(shelf: Arc<Mutex<Shelf>>) -> Self {
        Self { shelf, clock: Clock }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue for Handle {
    fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        if message.len() > LONGEST {
            return Err(Error::new(Operation::Send, ErrorKind::MessageTooLarge)
                .because(format!("{} bytes; at most {LONGEST} fit", message.len())));
        }
        let mut shelf = self.shelf();
        let full = shelf.count() == shelf.slots;
        match shelf.messages.get_mut(priority as usize) {
            None => Err(Error::new(Operation::Send, ErrorKind::InvalidOption)
                .because(format!("priority {priority}: choose from 0 to {}", PRIORITIES - 1))),
            Some(_) if full => Err(Error::new(Operation::Send, ErrorKind::WouldBlock)),
            Some(messages) => {
                messages.push_back(message.to_vec());
                Ok(())
            }
        }
    }

    fn try_recv_with(&mut self, read: &mut dyn FnMut(u32, &[u8])) -> Result<()> {
        let found = {
            let mut shelf = self.shelf();
            let highest = shelf.messages.iter_mut().enumerate().rev();
            let mut found =
                highest.filter_map(|(priority, messages)| Some((priority, messages.pop_front()?)));
            found.next()
        };
        let (priority, message) =
            found.ok_or(Error::new(Operation::Receive, ErrorKind::WouldBlock))?;
        read(priority as u32, &message);
        Ok(())
    }

    fn status(&self) -> Result<QueueStatus> {
        let shelf = self.shelf();
        Ok(QueueStatus {
            messages: shelf.count() as u64,
            bytes: shelf.messages.iter().flatten().map(|message| message.len() as u64).sum(),
            capacity: 0,
            max_message: LONGEST as u64,
            priorities: PRIORITIES as u32,
            dropped: 0,
        })
    }

    fn purge(&mut self) -> Result<u64> {
        let mut shelf = self.shelf();
        let count = shelf.count() as u64;
        shelf.messages.iter_mut().for_each(VecDeque::clear);
        Ok(count)
    }

    fn room(&mut self) -> &mut dyn Wait {
        &mut self.clock
    }

    fn messages(&mut self) -> &mut dyn Wait {
        &mut self.clock
    }
}
