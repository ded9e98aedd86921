//! A third party's queue: a deque per priority under a lock, with room for one message per slot.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Operation, Queue, QueueStatus, Result, Wait, Waiter};

const PRIORITIES: usize = 4;
const LONGEST: usize = 64 << 10;

/// What all handles of one queue share.
#[derive(Debug)]
pub(crate) struct Shared {
    slots: usize,
    messages: [VecDeque<Vec<u8>>; PRIORITIES],
}

impl Shared {
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
    shared: Arc<Mutex<Shared>>,
    clock: Clock,
}

/// There are no wake-ups: a waiter looks again.
#[derive(Debug)]
struct Clock;

impl Wait for Clock {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        Ok(Armed::After(Duration::from_millis(1)))
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Mutex<Shared>>) -> Self {
        Self { shared, clock: Clock }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue for Handle {
    fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        if message.len() > LONGEST {
            return Err(Error::new(Operation::Send, ErrorKind::MessageTooLarge)
                .because(format!("{} bytes; at most {LONGEST} fit", message.len())));
        }
        let mut shared = self.shared();
        let full = shared.count() == shared.slots;
        match shared.messages.get_mut(priority as usize) {
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
            let mut shared = self.shared();
            let highest = shared.messages.iter_mut().enumerate().rev();
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
        let shared = self.shared();
        Ok(QueueStatus {
            messages: shared.count() as u64,
            bytes: shared.messages.iter().flatten().map(|message| message.len() as u64).sum(),
            capacity: 0,
            max_message: LONGEST as u64,
            priorities: PRIORITIES as u32,
            ..QueueStatus::default()
        })
    }

    fn purge(&mut self) -> Result<u64> {
        let mut shared = self.shared();
        let count = shared.count() as u64;
        shared.messages.iter_mut().for_each(VecDeque::clear);
        Ok(count)
    }

    fn room(&mut self) -> &mut dyn Wait {
        &mut self.clock
    }

    fn messages(&mut self) -> &mut dyn Wait {
        &mut self.clock
    }
}
