use std::any::Any;
use std::ffi::CStr;
use std::fmt::Debug;

use crate::{
    Armed, Capabilities, Error, ErrorKind, Hello, Key, Name, Object, Operation, Options, Queue,
    RecvHalf, Result, SendHalf, Source, Waiter,
};

/// A way for processes of one machine to reach each other.
pub trait Transport: Debug + Send + Sync + 'static {
    /// The handle that `create` and `open` give.
    type Endpoint: Endpoint;

    /// The schemes it answers to, such as `shm`.
    fn schemes(&self) -> &'static [&'static str];

    /// The options it understands beside [`COMMON_KEYS`](crate::COMMON_KEYS).
    fn keys(&self) -> &'static [Key];

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// One sentence for people: which objects of the operating system it is made of, and their limits.
    fn about(&self) -> &'static str {
        ""
    }

    /// What the names of a name's files begin with; `None` if it has none.
    fn file_stem(&self, _name: &Name, _options: &Options) -> Option<String> {
        None
    }

    /// Creates the named object and becomes its owner.
    ///
    /// # Errors
    /// `Exists` (−1) if it is alive; `OutOfMemory` (−4); anything else is −2. Never blocks longer than it
    /// takes to outlive an object that is just being reclaimed.
    fn create(&self, name: &Name, options: &Options) -> Result<Self::Endpoint>;

    /// Opens a live object.
    ///
    /// # Errors
    /// `NotFound` if nobody holds it, `Mismatch`, `Corrupt`, …: all −3, but for `OutOfMemory` (−4).
    fn open(&self, name: &Name, options: &Options) -> Result<Self::Endpoint>;

    /// Creates an object that holds `text` and a NUL. `text` has no NUL in it.
    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Self::Endpoint>;

    /// Gives the handle up. Always releases, even when it reports `StatFailed` (−5). Dropping the endpoint
    /// does the same without the report.
    fn close(&self, endpoint: Self::Endpoint) -> Result<()>;

    /// All objects of this transport that the user can see.
    fn list(&self, _options: &Options) -> Result<Vec<Object>> {
        Err(unlisted(Operation::List))
    }

    /// The objects of one name (a block and a rendezvous are two).
    fn inspect(&self, _name: &Name, _options: &Options) -> Result<Vec<Object>> {
        Err(unlisted(Operation::Stat))
    }

    /// Removes the objects of one name. What is alive is `Busy` unless `force`.
    fn remove(&self, _name: &Name, _options: &Options, _force: bool) -> Result<()> {
        Err(unlisted(Operation::Remove))
    }

    /// What crashes left behind; with `fix` it is gone afterwards.
    fn sweep(&self, _options: &Options, _fix: bool) -> Result<Vec<Object>> {
        Err(unlisted(Operation::List))
    }
}

fn unlisted(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Unsupported)
        .because("this transport keeps no list of its objects; they go with their owners")
}

/// Which side of a named object a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that accepts.
    Owner,
    /// One of those that connect.
    Opener,
}

impl Role {
    /// The role in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Opener => "opener",
        }
    }
}

/// Who is on the other side of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// Its process, where the transport tells. `None` for a process that has no number here: of another
    /// container (PID namespace), which the kernel shows as 0.
    pub pid: Option<u32>,
    /// Its user, where the transport tells.
    pub uid: Option<u32>,
    /// What it said about itself.
    pub hello: Hello,
}

/// How often, and why last, the owner turned a connector away. Over most transports a connector that gave up before
/// its handshake ended counts, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rejections {
    /// How many.
    pub count: u64,
    /// The last one's error, in words.
    pub last: Option<String>,
}

/// One attempt to connect or to accept. A backend keeps what it has begun in here; dropping the attempt
/// gives it up.
#[derive(Debug)]
pub struct Attempt {
    /// What this side says about itself.
    pub hello: Hello,
    /// The accepted channel will be one of many in an inbox: [`Endpoint::ready`] should report it.
    pub inbox: bool,
    progress: Option<Box<dyn Any + Send>>,
}

impl Attempt {
    /// A fresh attempt.
    pub fn new(hello: Hello) -> Self {
        Self { hello, inbox: false, progress: None }
    }

    /// What the backend stored, made by `begin` if there is nothing yet.
    pub fn progress<T: Any + Send>(&mut self, begin: impl FnOnce() -> Result<T>) -> Result<&mut T> {
        if !self.progress.as_ref().is_some_and(|p| p.is::<T>()) {
            self.progress = Some(Box::new(begin()?));
        }
        match self.progress.as_mut().and_then(|p| p.downcast_mut()) {
            Some(progress) => Ok(progress),
            None => {
                Err(Error::new(Operation::Connect, ErrorKind::Io)
                    .because("an attempt lost its state"))
            }
        }
    }

    /// What the backend stored, if anything.
    pub fn stored<T: Any + Send>(&self) -> Option<&T> {
        self.progress.as_ref()?.downcast_ref()
    }

    /// Forgets what the backend stored: the next try begins anew.
    pub fn reset(&mut self) {
        self.progress = None;
    }
}

/// A handle of a named object.
pub trait Endpoint: Debug + Send + Sync + 'static {
    /// The sending half of its channels.
    type Sender: SendHalf;
    /// The receiving half of its channels.
    type Receiver: RecvHalf;

    /// Owner or opener.
    fn role(&self) -> Role;

    /// Takes one step of connecting (opener) or accepting (owner); never blocks.
    ///
    /// # Errors
    /// `WouldBlock` until a peer is there. For an owner no peer's fault is an error: it is counted in
    /// [`rejections`](Self::rejections). For an opener: `NoOwner` (try again: one may come), `Mismatch`,
    /// `PermissionDenied`, `Corrupt`, `TimedOut` (the owner answered a begun handshake no further for 1 s).
    fn try_connect(&self, attempt: &mut Attempt) -> Result<(Self::Sender, Self::Receiver, Peer)>;

    /// Prepares to wait for the attempt, as [`Wait::arm`](crate::Wait::arm) does. Never [`Armed::Park`].
    fn arm(&self, attempt: &mut Attempt, waiter: Waiter<'_>) -> Result<Armed>;

    /// What to register with a reactor for this attempt.
    fn source(&self, _attempt: &Attempt) -> Result<Source> {
        Err(Error::new(Operation::Accept, ErrorKind::Unsupported))
    }

    /// Names the channels (by [`RecvHalf::token`]) that may have something to receive, of those accepted
    /// with [`Attempt::inbox`]. A hint: look at all of them now and then. False if the backend has no such
    /// hints. A backend that has them and a [`source`](Self::source) lets that source tell of these channels,
    /// too, so that their halves need no arming; without a source each half is armed by itself.
    ///
    /// `keep` is one that the caller looks at anyway, at each call: its hint may stay, so that its peer need not give it
    /// anew for each message. It must not be kept in the last call before a sleep.
    fn ready(&self, _keep: Option<u64>, _visit: &mut dyn FnMut(u64)) -> bool {
        false
    }

    /// Shows the text stored by `alloc_lpsz`.
    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()>;

    /// How often this owner turned a connector away.
    fn rejections(&self) -> Rejections {
        Rejections::default()
    }

    /// The name under which others reach this object, where it differs from the one it was made with: a port
    /// that the system chose.
    fn local_name(&self) -> Option<Name> {
        None
    }

    /// A new handle of this object's queue.
    ///
    /// # Errors
    /// `Unsupported` where the transport has no queues, `OutOfMemory`, `Forked`.
    fn queue(&self) -> Result<Box<dyn Queue>> {
        Err(Error::new(Operation::Queue, ErrorKind::Unsupported)
            .because("this transport has no queues; choose mq://"))
    }

    /// What only this transport has, such as a block: found again by `Endpoint::get` of the facade.
    fn extension(&self) -> Option<&dyn Any> {
        None
    }
}
