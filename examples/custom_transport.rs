//! cargo run --example custom_transport
//!
//! A transport of your own, with public interfaces only: `queue://` carries frames through the
//! standard library's channels. To stay short, it polls and has no handshake.
//! `anyipc-in-process` is the smallest complete transport; `anyipc-conformance` checks one.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error as StdError;
use std::ffi::CStr;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use anyipc::transport::{
    Armed, Attempt, Endpoint, Flags, KeyKind, RecvHalf, SendHalf, Side, Transport, Wait, Waiter,
};
use anyipc::{
    Capabilities, Error, ErrorKind, Key, Name, Operation, Options, Peer, Registry, Result, Role,
};

const DEPTH: Key = Key::new(
    "depth",
    KeyKind::Count,
    Side::Owner,
    "frames in flight per direction, 1 to 1024 (default 8)",
);
const MAX_FRAME: usize = 4096;
/// How often a waiting call looks again.
const PAUSE: Duration = Duration::from_micros(100);

type Frame = (Flags, Vec<u8>);
type Halves = (Sending, Receiving);

/// What a name stands for: the connectors that the owner has not accepted yet.
#[derive(Debug)]
struct Rendezvous {
    depth: usize,
    waiting: Mutex<VecDeque<Halves>>,
}

static NAMES: Mutex<BTreeMap<Name, Weak<Rendezvous>>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Queue;

impl Transport for Queue {
    type Endpoint = Handle;

    fn schemes(&self) -> &'static [&'static str] {
        &["queue"]
    }

    fn keys(&self) -> &'static [Key] {
        &[DEPTH]
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CHANNEL | Capabilities::HANDSHAKE
    }

    fn create(&self, name: &Name, options: &Options) -> Result<Handle> {
        let mut names = lock(&NAMES);
        if names.get(name).is_some_and(|rendezvous| rendezvous.strong_count() > 0) {
            return Err(Error::new(Operation::Create, ErrorKind::Exists));
        }
        let depth = options.number(DEPTH).unwrap_or(8).clamp(1, 1024) as usize;
        let rendezvous = Arc::new(Rendezvous { depth, waiting: Mutex::default() });
        names.insert(name.clone(), Arc::downgrade(&rendezvous));
        Ok(Handle::Owner(rendezvous))
    }

    fn open(&self, name: &Name, _options: &Options) -> Result<Handle> {
        match lock(&NAMES).get(name).filter(|rendezvous| rendezvous.strong_count() > 0) {
            Some(rendezvous) => Ok(Handle::Opener(rendezvous.clone())),
            None => Err(Error::new(Operation::Open, ErrorKind::NotFound)),
        }
    }

    fn alloc_lpsz(&self, _name: &Name, _text: &[u8], _options: &Options) -> Result<Handle> {
        Err(Error::new(Operation::AllocLpsz, ErrorKind::Unsupported))
    }

    fn close(&self, _endpoint: Handle) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
enum Handle {
    Owner(Arc<Rendezvous>),
    Opener(Weak<Rendezvous>),
}

impl Endpoint for Handle {
    type Sender = Sending;
    type Receiver = Receiving;

    fn role(&self) -> Role {
        match self {
            Self::Owner(_) => Role::Owner,
            Self::Opener(_) => Role::Opener,
        }
    }

    fn try_connect(&self, _attempt: &mut Attempt) -> Result<(Sending, Receiving, Peer)> {
        let (sender, receiver) = match self {
            Self::Owner(rendezvous) => lock(&rendezvous.waiting)
                .pop_front()
                .ok_or_else(|| Error::new(Operation::Accept, ErrorKind::WouldBlock))?,
            Self::Opener(rendezvous) => {
                let rendezvous = rendezvous
                    .upgrade()
                    .ok_or_else(|| Error::new(Operation::Connect, ErrorKind::NoOwner))?;
                let ((out, theirs), (back, ours)) =
                    (sync_channel(rendezvous.depth), sync_channel(rendezvous.depth));
                lock(&rendezvous.waiting).push_back((Sending(back), Receiving(theirs)));
                (Sending(out), Receiving(ours))
            }
        };
        Ok((sender, receiver, Peer::default()))
    }

    fn arm(&self, _attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        Ok(Armed::After(PAUSE))
    }

    fn read_lpsz(&self, _read: &mut dyn FnMut(&CStr)) -> Result<()> {
        Err(Error::new(Operation::ReadLpsz, ErrorKind::Unsupported))
    }
}

#[derive(Debug)]
struct Sending(SyncSender<Frame>);

impl Wait for Sending {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        Ok(Armed::After(PAUSE))
    }
}

impl SendHalf for Sending {
    fn max_frame(&self) -> usize {
        MAX_FRAME
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        let mut frame = vec![0; max];
        let Some(used) = fill(&mut frame) else { return Ok(()) };
        frame.truncate(used);
        self.0.try_send((flags, frame)).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(Operation::Send, ErrorKind::WouldBlock),
            TrySendError::Disconnected(_) => Error::new(Operation::Send, ErrorKind::Closed),
        })
    }
}

#[derive(Debug)]
struct Receiving(Receiver<Frame>);

impl Wait for Receiving {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        Ok(Armed::After(PAUSE))
    }
}

impl RecvHalf for Receiving {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        let (flags, frame) = self.0.try_recv().map_err(|error| match error {
            TryRecvError::Empty => Error::new(Operation::Receive, ErrorKind::WouldBlock),
            TryRecvError::Disconnected => Error::new(Operation::Receive, ErrorKind::Closed),
        })?;
        read(flags, &frame);
        Ok(())
    }
}

fn main() -> std::result::Result<(), Box<dyn StdError>> {
    let registry = Registry::new().with(Queue);
    let owner = registry.create("queue://example?depth=2")?;
    thread::scope(|scope| {
        scope.spawn(|| -> Result<()> {
            // Longer than a frame and than both queues: the facade splits it and waits for room.
            registry.connect("queue://example")?.send(&vec![42; 100_000])
        });
        let message = owner.accept()?.recv()?;
        println!("{} bytes came through queue://", message.len());
        Ok::<(), Error>(())
    })?;
    println!("{}", registry.create("queue://example?deep=2").err().ok_or("deep= was taken")?);
    Ok(())
}
