use std::any::Any;
use std::ffi::CStr;
use std::fmt::{self, Debug};

use crate::{
    Armed, Error, ErrorKind, Hello, Name, Operation, Queue, RecvHalf, Result, SendHalf, Source,
    Waiter,
};

/// Which side of a named object a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one handle that accepts.
    Owner,
    /// One of any number of handles that connect.
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

/// The other side of a channel.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// Its process, where the transport knows. Also `None` for a process that has no number in this
    /// PID namespace (another container), for which the kernel reports 0.
    pub pid: Option<u32>,
    /// Its user, where the transport knows and the system has user numbers.
    pub uid: Option<u32>,
    /// The hello that it sent.
    pub hello: Hello,
}

/// `Peer(process 12, user 1000, Hello(shm))`.
impl Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer(")?;
        for (what, number) in [("process", self.pid), ("user", self.uid)] {
            if let Some(number) = number {
                write!(f, "{what} {number}, ")?;
            }
        }
        write!(f, "{:?})", self.hello)
    }
}

/// The connectors that an owner rejected. Over most transports a connector that gave up before its
/// handshake was complete counts, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rejections {
    /// Their number since the owner was created.
    pub count: u64,
    /// The error of the last one, in words.
    pub last: Option<String>,
}

/// The state of one attempt to connect or to accept.
///
/// It belongs to the caller, so that several threads can connect through one endpoint at once. The
/// backend stores in it what it has begun, such as a half-open handshake. Dropping the attempt
/// gives that up, and must leave nothing behind on either side.
///
/// ```
/// # use anyipc_core::{Armed, Attempt, Endpoint, Hello, Peer, Result, Waiter};
/// /// Connects or accepts. A real loop also sleeps on `Armed::Source`, and has a deadline.
/// fn meet<E: Endpoint>(endpoint: &E, hello: Hello) -> Result<(E::Sender, E::Receiver, Peer)> {
///     let mut attempt = Attempt::new(hello);
///     loop {
///         match endpoint.try_connect(&mut attempt) {
///             Err(error) if error.is_would_block() => {}
///             done => return done,
///         }
///         match endpoint.arm(&mut attempt, Waiter::Thread)? {
///             Armed::After(time) => std::thread::sleep(time),
///             _ => std::thread::yield_now(),
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Attempt {
    /// The hello that this side sends.
    pub hello: Hello,
    /// True if the accepted channel will be one of many in an inbox, so that [`Endpoint::ready`]
    /// should report it.
    pub inbox: bool,
    progress: Option<Box<dyn Any + Send>>,
}

impl Attempt {
    /// An attempt that has not begun.
    pub fn new(hello: Hello) -> Self {
        Self { hello, inbox: false, progress: None }
    }

    /// What the backend stored. If it stored nothing of this type, `begin` makes it first.
    ///
    /// # Errors
    /// Those of `begin`.
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

    /// Drops what the backend stored: the next try begins anew.
    pub fn reset(&mut self) {
        self.progress = None;
    }
}

/// A handle of a named object: its owner, which accepts, or an opener, which connects.
///
/// An opener that outlives its owner connects to the next owner of the name. Channels outlive the
/// endpoints that made them. In a forked child every fallible method is `Forked`.
pub trait Endpoint: Debug + Send + Sync + 'static {
    /// The sending half of its channels.
    type Sender: SendHalf;
    /// The receiving half of its channels.
    type Receiver: RecvHalf;

    /// Owner or opener. Constant.
    fn role(&self) -> Role;

    /// Takes one step of connecting (opener) or accepting (owner). Never blocks, and does a bounded
    /// amount of work, whatever connectors do.
    ///
    /// After any result but `WouldBlock` the attempt has begun anew: it can be used again.
    ///
    /// # Errors
    /// `WouldBlock` until a peer is there. For an owner no fault of a connector is an error; it is
    /// counted in [`rejections`](Self::rejections). `Removed` if its name was removed by force. For
    /// an opener: `NoOwner` (the name has no owner now, another one may come), `Mismatch` (the
    /// hellos differ), `PermissionDenied` (a side does not trust the other's user or secret),
    /// `OutOfMemory`, `Corrupt` (the owner does not speak the handshake), `TimedOut` (the owner
    /// began to answer and did not finish within the transport's limit, 1 s or more). `Unsupported`
    /// without [`CHANNEL`](crate::Capabilities::CHANNEL).
    fn try_connect(&self, attempt: &mut Attempt) -> Result<(Self::Sender, Self::Receiver, Peer)>;

    /// Prepares to wait for the attempt, as [`Wait::arm`](crate::Wait::arm) does for a half. Never
    /// [`Armed::Park`]. There is no disarm: dropping the attempt is one.
    ///
    /// # Errors
    /// What the system says; an error to arm ends the wait.
    fn arm(&self, attempt: &mut Attempt, waiter: Waiter<'_>) -> Result<Armed>;

    /// The source to sleep on after [`Armed::Source`].
    ///
    /// # Errors
    /// `Unsupported` if [`arm`](Self::arm) never answers `Source` for this attempt.
    fn source(&self, _attempt: &Attempt) -> Result<Source> {
        Err(Error::new(Operation::Accept, ErrorKind::Unsupported))
    }

    /// Shows the tokens ([`RecvHalf::token`]) of channels that may have something to receive, among
    /// those that were accepted with [`Attempt::inbox`]. Returns false if the backend has no such
    /// hints.
    ///
    /// The tokens are hints, which a peer may forge or omit: the caller looks at all channels now
    /// and then. A backend with hints and a [`source`](Self::source) makes that source ready for
    /// these channels, too, so that their halves need no arming. Without a source each half is
    /// armed by itself.
    ///
    /// `keep` is a channel that the caller looks at in each call anyway. Its hint may stay set, so
    /// that its peer need not set it again for each message. The caller passes `None` in the last
    /// call before it sleeps.
    fn ready(&self, _keep: Option<u64>, _visit: &mut dyn FnMut(u64)) -> bool {
        false
    }

    /// Shows the text stored by `alloc_lpsz`, exactly once on `Ok`, otherwise never. May block for
    /// the address's `timeout` where the owner has to send the text.
    ///
    /// # Errors
    /// `NotFound` if the object has no text or its holder left, `TimedOut`, `Corrupt` (all −3).
    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()>;

    /// The connectors that this owner rejected.
    fn rejections(&self) -> Rejections {
        Rejections::default()
    }

    /// The name under which others reach this object, if it differs from the one it was created
    /// with: with a port that the system chose, for example.
    fn local_name(&self) -> Option<Name> {
        None
    }

    /// A new handle of this object's queue. Handles are independent; each thread that waits needs
    /// its own.
    ///
    /// # Errors
    /// `Unsupported` without [`QUEUE`](crate::Capabilities::QUEUE), `OutOfMemory`, `Forked`.
    fn queue(&self) -> Result<Box<dyn Queue>> {
        Err(Error::new(Operation::Queue, ErrorKind::Unsupported)
            .because("this transport has no queues; choose mq://"))
    }

    /// What only this transport has, such as a block. The facade's `Endpoint::get` finds it by its
    /// type.
    fn extension(&self) -> Option<&dyn Any> {
        None
    }
}
