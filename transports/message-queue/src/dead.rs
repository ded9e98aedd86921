//! Dead messages: those that were leased as often as `attempts=` says, and came back once more.
//!
//! A message moves to the queue of `dead=` in two steps: it is sent there, then acknowledged here,
//! under a lease of the handle that moves it. A death in between leaves it in both queues, and the
//! next receiver moves it once more; it is never in none. Where the other queue does not take it
//! (full, damaged, held by a process that was stopped), it stays here, and is tried again a second
//! later. A queue that is missing is made as large as this one, with `persist=true`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Full, LeaseId, Name, Operation, Queue as _, Result, Settle};
use anyipc_memory::{Path, Plan, Segment, named_queue};
use anyipc_os::{Dir, Scope};

use crate::client::{PeerWakers, QueueClient};
use crate::kind::KIND;
use crate::layout::Geometry;
use crate::queue::Handle;

/// How long a message waits after its queue did not take it.
const AGAIN: Duration = Duration::from_secs(1);

/// Bytes of the name in memory: its length, then as many bytes as the longest name has.
pub(crate) const NAME_BYTES: usize = 256;

/// The scheme that the queue for dead messages has, too.
const SCHEME: &str = "mq://";

/// The name of a queue for dead messages: a valid [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeadName([u8; NAME_BYTES]);

impl DeadName {
    /// Reads an address without options.
    ///
    /// # Errors
    /// A sentence that says what is valid.
    pub(crate) fn parse(address: &str) -> Result<Self, String> {
        let name = address.strip_prefix(SCHEME).filter(|name| !name.contains('?'));
        let name = name.ok_or("not a queue's address without options, such as mq://failed")?;
        let name = Name::new(name).map_err(|error| error.to_string())?;
        let mut bytes = [0; NAME_BYTES];
        for (to, from) in bytes.iter_mut().skip(1).zip(name.as_str().bytes()) {
            *to = from;
        }
        bytes[0] = name.as_str().len() as u8;
        Ok(Self(bytes))
    }

    /// Reads the memory, which may hold anything. `None` without a valid name.
    pub(crate) fn read(bytes: [u8; NAME_BYTES]) -> Option<Self> {
        Self(bytes).name().map(|_| Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name.
    pub(crate) fn name(&self) -> Option<Name> {
        let [len, bytes @ ..] = &self.0;
        let text = std::str::from_utf8(bytes.get(..usize::from(*len))?).ok()?;
        Name::new(text).ok()
    }
}

impl fmt::Display for DeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{SCHEME}{name}"),
            None => f.write_str("none"),
        }
    }
}

/// Moves dead messages, which are leased to this client, to the queue for them.
#[cold]
pub(crate) fn bury<P: PeerWakers>(client: &mut QueueClient<P>, scope: Scope, dying: &[LeaseId]) {
    let mut grave = None;
    for lease in dying {
        let moved = move_one(client, scope, &mut grave, *lease);
        // Without the lock it stays leased to this handle, and is dead again when that ends.
        let _ = match moved {
            Ok(()) => client.settle_dead(*lease),
            Err(_) => client.settle(*lease, Settle::Retry(AGAIN)),
        };
    }
}

fn move_one<P: PeerWakers>(
    client: &mut QueueClient<P>,
    scope: Scope,
    grave: &mut Option<Handle>,
    lease: LeaseId,
) -> Result<()> {
    let Some((priority, bytes)) = client.read_leased(lease)? else { return Ok(()) };
    let queue = match grave {
        Some(queue) => queue,
        None => grave.insert(open(client.store().geometry(), scope)?),
    };
    let priority = priority.min(queue.status()?.priorities.saturating_sub(1));
    queue.try_send(priority, &bytes)
}

/// The queue for the dead messages of a queue like this. Does not wait for other processes.
fn open(queue: &Geometry, scope: Scope) -> Result<Handle> {
    let during = Operation::Send;
    let name = queue.dead.and_then(|dead| dead.name());
    let name = name.ok_or(Error::new(during, ErrorKind::Corrupt))?;
    let dir = Arc::new(Dir::open(scope, during)?);
    let geometry = Geometry { attempts: 0, dead: None, text: 0, full: Full::Error, ..*queue };
    let size = geometry.size().ok_or(Error::new(during, ErrorKind::OutOfMemory))?;
    let plan = Plan { persist: true, contents: &[(0, &geometry.encode())], ..Plan::zeroed(size) };
    let path =
        Path { dir: &dir, kind: &KIND, name: &name, timeout: Duration::ZERO, operation: during };
    let (memory, _) = Segment::open_or_create(path, plan, &|region| {
        named_queue::repair::<Geometry>(region, during)
    })?;
    let geometry = named_queue::read::<Geometry>(&memory.region(), during)?;
    Handle::new(&Arc::new(memory), geometry, scope)
}
