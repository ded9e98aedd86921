use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyipc_core::{
    Armed, Attempt, Capabilities, Endpoint, Error, ErrorKind, Hello, Key, KeyKind, Name, Operation,
    Options, Peer, Queue, Rejections, Reply, Result, Role, Side, Transport, Waiter, keys,
};

use crate::channel::{MailboxReceiver, MailboxSender, direction};
use crate::queue::{Handle, Shared};

/// `slots`: how many frames may be on their way.
pub const SLOTS: Key = Key::new(
    "slots",
    KeyKind::Count,
    Side::Owner,
    "frames in flight per direction, 1 to 1024 (default 16)",
);

const MAX_FRAME: usize = 4 << 10;
const LOOK_AGAIN: Duration = Duration::from_millis(1);

type Halves = (MailboxSender, MailboxReceiver, Peer);

/// A connector's request.
#[derive(Debug)]
struct Request {
    hello: Hello,
    reply: mpsc::Sender<Result<Halves>>,
}

#[derive(Debug, Clone)]
struct Entry {
    slots: u64,
    requests: mpsc::Sender<Request>,
    shared: Arc<Mutex<Shared>>,
}

/// Every live name. An owner's entry is removed by the owner.
static NAMES: Mutex<BTreeMap<Name, Entry>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The `mailbox://` transport.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mailbox;

impl Mailbox {
    fn slots(options: &Options, operation: Operation) -> Result<Option<u64>> {
        match options.number(SLOTS) {
            Some(slots) if !(1..=1024).contains(&slots) => {
                Err(Error::new(operation, ErrorKind::InvalidOption)
                    .because(format!("slots={slots}: choose from 1 to 1024")))
            }
            slots => Ok(slots),
        }
    }

    fn opener(
        name: &Name,
        entry: &Entry,
        slots: Option<u64>,
        operation: Operation,
    ) -> Result<MailboxEndpoint> {
        if slots.is_some_and(|slots| slots != entry.slots) {
            return Err(Error::new(operation, ErrorKind::Mismatch)
                .because(format!("the owner chose slots={}", entry.slots)));
        }
        Ok(MailboxEndpoint { name: name.clone(), owned: None, shared: Arc::clone(&entry.shared) })
    }
}

impl Transport for Mailbox {
    type Endpoint = MailboxEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["mailbox"]
    }

    fn keys(&self) -> &'static [Key] {
        &[SLOTS]
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CHANNEL
            | Capabilities::HANDSHAKE
            | Capabilities::QUEUE
            | Capabilities::PRIORITIES
    }

    fn create(&self, name: &Name, options: &Options) -> Result<MailboxEndpoint> {
        let slots = Self::slots(options, Operation::Create)?;
        let mut offices = lock(&NAMES);
        match offices.get(name) {
            Some(entry) if options.text(keys::CREATE) == Some("open_or_create") => {
                Self::opener(name, entry, slots, Operation::Create)
            }
            Some(_) => {
                Err(Error::new(Operation::Create, ErrorKind::Exists).because("its owner is alive"))
            }
            None => {
                let (requests, slot) = mpsc::channel();
                let slots = slots.unwrap_or(16);
                let shared = Shared::new(slots as usize);
                offices
                    .insert(name.clone(), Entry { slots, requests, shared: Arc::clone(&shared) });
                let owned = Owned {
                    slots: slots as usize,
                    requests: Mutex::new(slot),
                    rejections: Mutex::default(),
                };
                Ok(MailboxEndpoint { name: name.clone(), owned: Some(owned), shared })
            }
        }
    }

    fn open(&self, name: &Name, options: &Options) -> Result<MailboxEndpoint> {
        let slots = Self::slots(options, Operation::Open)?;
        match lock(&NAMES).get(name) {
            Some(entry) => Self::opener(name, entry, slots, Operation::Open),
            None => Err(Error::new(Operation::Open, ErrorKind::NotFound)),
        }
    }

    fn alloc_lpsz(
        &self,
        _name: &Name,
        _text: &[u8],
        _options: &Options,
    ) -> Result<MailboxEndpoint> {
        Err(Error::new(Operation::AllocLpsz, ErrorKind::Unsupported)
            .because("mailbox:// carries no texts"))
    }

    fn close(&self, endpoint: MailboxEndpoint) -> Result<()> {
        drop(endpoint);
        Ok(())
    }
}

/// The handle of a name.
#[derive(Debug)]
pub struct MailboxEndpoint {
    name: Name,
    owned: Option<Owned>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Owned {
    slots: usize,
    requests: Mutex<mpsc::Receiver<Request>>,
    rejections: Mutex<Rejections>,
}

impl Owned {
    fn accept(&self, hello: &Hello) -> Result<Halves> {
        loop {
            let request = lock(&self.requests).try_recv();
            let request =
                request.map_err(|_| Error::new(Operation::Accept, ErrorKind::WouldBlock))?;
            if let Err(error) = hello.check(&request.hello) {
                let mut rejections = lock(&self.rejections);
                rejections.count += 1;
                rejections.last = Some(error.to_string());
                drop(rejections);
                let _ = request.reply.send(Reply::reject(&error).into_result().and(Err(error)));
                continue;
            }
            let (our_sender, their_receiver) = direction(self.slots, MAX_FRAME)?;
            let (their_sender, our_receiver) = direction(self.slots, MAX_FRAME)?;
            let us = Peer { hello: hello.clone(), ..Peer::default() };
            // A connector that no longer waits is forgotten.
            if request.reply.send(Ok((their_sender, their_receiver, us))).is_ok() {
                return Ok((
                    our_sender,
                    our_receiver,
                    Peer { hello: request.hello, ..Peer::default() },
                ));
            }
        }
    }
}

impl Drop for MailboxEndpoint {
    fn drop(&mut self) {
        if self.owned.is_some() {
            lock(&NAMES).remove(&self.name);
        }
    }
}

impl Endpoint for MailboxEndpoint {
    type Sender = MailboxSender;
    type Receiver = MailboxReceiver;

    fn role(&self) -> Role {
        if self.owned.is_some() { Role::Owner } else { Role::Opener }
    }

    fn try_connect(&self, attempt: &mut Attempt) -> Result<Halves> {
        if let Some(owned) = &self.owned {
            return owned.accept(&attempt.hello);
        }
        let no_owner = || Error::new(Operation::Connect, ErrorKind::NoOwner);
        let hello = attempt.hello.clone();
        let answer = attempt.progress(|| {
            let entry = lock(&NAMES).get(&self.name).cloned().ok_or_else(no_owner)?;
            let (reply, answer) = mpsc::channel();
            entry.requests.send(Request { hello, reply }).map_err(|_| no_owner())?;
            Ok(answer)
        })?;
        let outcome = match answer.try_recv() {
            Ok(outcome) => outcome,
            Err(TryRecvError::Empty) => {
                return Err(Error::new(Operation::Connect, ErrorKind::WouldBlock));
            }
            // The owner left, and the request with it.
            Err(TryRecvError::Disconnected) => Err(no_owner()),
        };
        attempt.reset();
        outcome
    }

    fn arm(&self, _attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        Ok(Armed::After(LOOK_AGAIN))
    }

    fn read_lpsz(&self, _read: &mut dyn FnMut(&CStr)) -> Result<()> {
        Err(Error::new(Operation::ReadLpsz, ErrorKind::Unsupported)
            .because("mailbox:// carries no texts"))
    }

    fn queue(&self) -> Result<Box<dyn Queue>> {
        Ok(Box::new(Handle::new(Arc::clone(&self.shared))))
    }

    fn rejections(&self) -> Rejections {
        self.owned.as_ref().map(|owned| lock(&owned.rejections).clone()).unwrap_or_default()
    }
}
