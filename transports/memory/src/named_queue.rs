//! What the transports with queues share. Their queues lie in named memory, or are recorded there:
//! the transport itself, making, opening and adopting a queue, and the handle of its name.

mod transport;

use std::ffi::CStr;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{
    Armed, Attempt, Capabilities, Error, ErrorKind, Key, Name, Operation, Options, Peer, Queue,
    RecvHalf, Rejections, Result, Role, SendHalf, Source, Waiter, keys,
};
use anyipc_os::{Dir, Scope};
pub use transport::NamedQueues;

use crate::handover::{ChannelFactory, Meeting};
use crate::{Kind, Path, Plan, Region, Segment, check_platform};

/// The longest wait for memory that another process makes or reclaims, unless the address has a
/// `timeout`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The options that say how a queue is reached.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// `scope`.
    pub scope: Scope,
    /// True with `create=open_or_create`.
    pub adopt: bool,
    /// `timeout`: the longest wait for memory that another process makes or reclaims.
    pub timeout: Duration,
}

impl Access {
    /// Reads the options.
    ///
    /// # Errors
    /// `Unsupported` on a platform without shared memory.
    pub fn read(options: &Options, operation: Operation) -> Result<Self> {
        check_platform(operation)?;
        let system = options.text(keys::SCOPE) == Some("system");
        Ok(Self {
            scope: if system { Scope::System } else { Scope::User },
            adopt: options.text(keys::CREATE) == Some("open_or_create"),
            timeout: options.span(keys::TIMEOUT).unwrap_or(TIMEOUT),
        })
    }
}

/// The checked options of a queue's address.
pub trait Settings: Debug + Copy + Send + Sync + 'static {
    /// Reads and checks the options.
    ///
    /// # Errors
    /// `InvalidOption`, `Unsupported`.
    fn read(options: &Options, operation: Operation) -> Result<Self>;

    /// How the queue is reached.
    fn access(&self) -> Access;

    /// True if a queue that is made stays without holders.
    fn persists(&self) -> bool;
}

/// The description of a queue: the part of its memory that is written when it is made.
pub trait Description: Debug + Send + Sync + Sized + 'static {
    /// The options of the transport.
    type Settings: Settings;
    /// The sending half of a channel.
    type Sender: SendHalf;
    /// The receiving half of a channel.
    type Receiver: RecvHalf;
    /// Makes the channels of an endpoint.
    type Channels<'a>: ChannelFactory<Sender = Self::Sender, Receiver = Self::Receiver>;

    /// The scheme of the transport.
    const SCHEME: &'static str;
    /// The options of its addresses.
    const KEYS: &'static [Key];
    /// How it works, in one sentence.
    const ABOUT: &'static str;
    /// The names of the transport's files.
    const KIND: &'static Kind;
    /// What its queues can do beyond what all can.
    const MORE: Capabilities = Capabilities::NONE;
    /// The version of the layout: the first word of the memory, 1 to 999.
    const LAYOUT: u32;

    /// The description of a queue to make, with a text of this many bytes.
    ///
    /// # Errors
    /// `Unsupported`.
    fn new(name: &Name, settings: &Self::Settings, text: usize, during: Operation) -> Result<Self>;

    /// The first bytes of the memory; the rest is zero but for the text.
    fn encode(&self) -> Vec<u8>;

    /// Bytes of the whole memory. `None` if that overflows.
    fn size(&self) -> Option<usize>;

    /// Reads a memory, which may hold anything. `None` unless each field is valid and fits.
    fn decode(region: &Region) -> Option<Self>;

    /// Where the text lies, and its bytes with the NUL; 0 without one.
    fn text(&self) -> (usize, usize);

    /// Compares an address with the queue.
    ///
    /// # Errors
    /// `Mismatch` if the address asks for something else than the queue is.
    fn check(&self, settings: &Self::Settings, persists: bool, during: Operation) -> Result<()>;

    /// Makes the part of a queue that lies outside of the memory, if it is missing.
    ///
    /// # Errors
    /// What the system says.
    fn complete(&self, _during: Operation) -> Result<()> {
        Ok(())
    }

    /// Repairs a queue that stayed without holders. False if it cannot be repaired.
    fn repair(&self, _region: &Region) -> bool {
        true
    }

    /// True if a queue without holders has no messages.
    fn is_unused(&self, region: &Region, during: Operation) -> bool;

    /// Makes the channels of an endpoint.
    fn channels<'a>(&'a self, settings: &'a Self::Settings) -> Self::Channels<'a>;

    /// A handle of the queue.
    ///
    /// # Errors
    /// `Mismatch`, `Busy`, what the system says.
    fn queue(&self, memory: &Arc<Segment>, settings: &Self::Settings) -> Result<Box<dyn Queue>>;
}

/// Opens a queue.
///
/// # Errors
/// `NotFound`, `Mismatch`, `Corrupt`, `Busy`.
fn open<C: Description>(name: &Name, options: &Options) -> Result<Endpoint<C>> {
    let operation = Operation::Open;
    let settings = C::Settings::read(options, operation)?;
    let dir = Arc::new(Dir::open(settings.access().scope, operation)?);
    let path = path::<C>(&dir, name, settings.access(), operation);
    let memory =
        Segment::open(path, &|region| repair::<C>(region, operation)).map_err(|error| {
            if error.kind() != ErrorKind::NotFound {
                return error;
            }
            error.because("no process holds a queue of this name, and none stayed; create it first")
        })?;
    let description: C = read(&memory.region(), operation)?;
    description.check(&settings, memory.persists(), operation)?;
    let meeting = Meeting::open(dir, C::KIND, name);
    Ok(Endpoint { meeting, settings, memory: Arc::new(memory), description })
}

/// Makes a queue or adopts an existing one, and becomes its owner if it has none.
///
/// A queue that persists is alive without holders, too: `Exists`, unless it is adopted. One that
/// does not persist, and has lost its owner, is taken over with its messages, although openers
/// still hold it. With a text `create=open_or_create` does not apply: a live name is `Exists`.
///
/// # Errors
/// `Exists`, `Mismatch`, `Corrupt`, `Busy`, `OutOfMemory`, what [`Description`] says.
fn create<C: Description>(
    name: &Name,
    options: &Options,
    text: Option<&[u8]>,
    operation: Operation,
) -> Result<Endpoint<C>> {
    let settings = C::Settings::read(options, operation)?;
    let access = settings.access();
    let dir = Arc::new(Dir::open(access.scope, operation)?);
    let len = text.map_or(0, |text| text.len().saturating_add(1));
    let description = C::new(name, &settings, len, operation)?;
    let size = description.size().ok_or(Error::new(operation, ErrorKind::OutOfMemory))?;
    let pieces: &[(usize, &[u8])] =
        &[(0, &description.encode()), (description.text().0, text.unwrap_or_default())];
    let plan = Plan { persist: settings.persists(), contents: pieces, ..Plan::zeroed(size) };
    let path = path::<C>(&dir, name, access, operation);
    let (memory, made) =
        Segment::open_or_create(path, plan, &|region| repair::<C>(region, operation))?;
    let found = Found { made, adopt: access.adopt && text.is_none(), text: text.is_some() };
    match own(name, &dir, &settings, &memory, found, operation) {
        Ok((description, meeting)) => {
            Ok(Endpoint { meeting, settings, memory: Arc::new(memory), description })
        }
        Err(error) => {
            // A failed creation leaves nothing, except messages that others have sent meanwhile.
            if made && memory.persists() {
                memory.discard(|region| {
                    read::<C>(region, operation)
                        .is_ok_and(|description| description.is_unused(region, operation))
                });
            }
            Err(error)
        }
    }
}

/// How a creation came by its memory.
struct Found {
    /// This call made the memory.
    made: bool,
    /// It may adopt memory that exists.
    adopt: bool,
    /// It brings a text.
    text: bool,
}

/// Reads and checks a queue's memory, and becomes its owner if it has none.
fn own<C: Description>(
    name: &Name,
    dir: &Arc<Dir>,
    settings: &C::Settings,
    memory: &Segment,
    found: Found,
    operation: Operation,
) -> Result<(C, Meeting)> {
    let exists = |why: &str| Err(Error::new(operation, ErrorKind::Exists).because(why));
    let description: C = read(&memory.region(), operation)?;
    // A queue that only openers hold gets a new owner, like any rendezvous; its messages stay.
    let stays = memory.persists() || description.text().1 != 0 || found.text;
    if !found.made && !found.adopt && stays {
        return exists(
            "open it, or say create=open_or_create to adopt it; `anyipc rm` removes what stayed",
        );
    }
    let meeting = match Meeting::own(Arc::clone(dir), C::KIND, name, operation)? {
        Some(owner) => owner,
        None if found.adopt => Meeting::open(Arc::clone(dir), C::KIND, name),
        None => return exists("it has a live owner; open it, or say create=open_or_create"),
    };
    description.check(settings, memory.persists(), operation)?;
    description.complete(operation)?;
    Ok((description, meeting))
}

fn path<'a, C: Description>(
    dir: &'a Arc<Dir>,
    name: &'a Name,
    access: Access,
    operation: Operation,
) -> Path<'a> {
    Path { dir, kind: C::KIND, name, timeout: access.timeout, operation }
}

/// Reads a queue's memory, which may hold anything.
///
/// # Errors
/// `Mismatch` for another layout, `Corrupt`.
pub fn read<C: Description>(region: &Region, operation: Operation) -> Result<C> {
    let mut first = [0; 4];
    region.load(0, &mut first);
    let (found, ours) = (u32::from_ne_bytes(first), C::LAYOUT);
    if (1..1000).contains(&found) && found != ours {
        return Err(Error::new(operation, ErrorKind::Mismatch).because(format!(
            "the queue has layout {found}, this program speaks layout {ours}; use it with the \
             version that made it, or remove it with `anyipc rm`"
        )));
    }
    C::decode(region).ok_or_else(|| damaged(operation))
}

/// Repairs a queue that stayed without holders.
///
/// # Errors
/// Those of [`read`], `Corrupt`.
pub fn repair<C: Description>(region: &Region, operation: Operation) -> Result<()> {
    match read::<C>(region, operation)?.repair(region) {
        true => Ok(()),
        false => Err(damaged(operation)),
    }
}

fn damaged(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Corrupt)
        .because("its memory holds what no queue holds; `anyipc rm` removes it")
}

/// A handle of a queue's name.
#[derive(Debug)]
pub struct Endpoint<C: Description> {
    meeting: Meeting,
    settings: C::Settings,
    memory: Arc<Segment>,
    description: C,
}

impl<C: Description> Endpoint<C> {
    /// Releases everything. Handles of the queue keep its memory.
    ///
    /// # Errors
    /// `StatFailed` if files were removed or replaced, `Forked`.
    fn close(self) -> Result<()> {
        let owned = self.meeting.close();
        match Arc::try_unwrap(self.memory) {
            Ok(memory) => memory.close().and(owned),
            Err(_) => owned,
        }
    }
}

impl<C: Description> anyipc_core::Endpoint for Endpoint<C> {
    type Sender = C::Sender;
    type Receiver = C::Receiver;

    fn role(&self) -> Role {
        self.meeting.role()
    }

    fn try_connect(&self, attempt: &mut Attempt) -> Result<(C::Sender, C::Receiver, Peer)> {
        let channels = self.description.channels(&self.settings);
        let check_named = || self.memory.check_named(Operation::Accept);
        self.meeting.try_connect(attempt, &channels, check_named)
    }

    fn arm(&self, attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        self.meeting.arm(attempt)
    }

    fn source(&self, attempt: &Attempt) -> Result<Source> {
        self.meeting.source(attempt)
    }

    fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        self.meeting.ready(keep, visit)
    }

    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        self.memory.check(Operation::ReadLpsz)?;
        let (at, len) = self.description.text();
        if len == 0 {
            return Err(Error::new(Operation::ReadLpsz, ErrorKind::NotFound)
                .because("this queue has no text; alloc_lpsz makes one that has"));
        }
        let mut bytes = vec![0; len];
        self.memory.region().load(at, &mut bytes);
        let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| {
            Error::new(Operation::ReadLpsz, ErrorKind::Corrupt).because("the text has lost its NUL")
        })?;
        read(text);
        Ok(())
    }

    fn rejections(&self) -> Rejections {
        self.meeting.rejections()
    }

    fn queue(&self) -> Result<Box<dyn Queue>> {
        self.description.queue(&self.memory, &self.settings)
    }
}
