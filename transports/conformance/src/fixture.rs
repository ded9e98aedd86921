use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyipc_core::{
    COMMON_KEYS, Capabilities, DynEndpoint, DynHalves, DynTransport, ErrorKind, Hello, Interest,
    Name, Options, Peer, RecvHalf, SendHalf, Source, Transport,
};

use crate::wait_loop::WaitLoop;

/// Sleeps until the source is ready, for at most this time. Returns true if the caller should try
/// again.
pub type Sleeper = fn(&Source, Interest, Duration) -> bool;

/// A transport under test, and what the suite needs to test it.
#[derive(Debug)]
pub struct Fixture<'t> {
    transport: Held<'t>,
    options: Vec<(&'static str, &'static str)>,
    pub(crate) sleeper: Sleeper,
    namer: Option<fn(u64) -> String>,
    /// Why the check that runs is skipped.
    skipped: Mutex<Option<String>>,
}

#[derive(Debug)]
enum Held<'t> {
    Owned(Box<dyn DynTransport>),
    Borrowed(&'t dyn DynTransport),
}

impl<T: Transport> From<T> for Fixture<'_> {
    fn from(transport: T) -> Self {
        Self::new(transport)
    }
}

impl<'t> Fixture<'t> {
    /// Tests this transport, without options.
    pub fn new(transport: impl Transport) -> Self {
        Self::over(Held::Owned(Box::new(transport)))
    }

    /// Tests a transport that is chosen at run time, such as the one that a registry finds for an
    /// address.
    pub fn of(transport: &'t dyn DynTransport) -> Self {
        Self::over(Held::Borrowed(transport))
    }

    fn over(transport: Held<'t>) -> Self {
        Self {
            transport,
            options: Vec::new(),
            sleeper: look_again_soon,
            namer: None,
            skipped: Mutex::new(None),
        }
    }

    /// Adds an option with which every object is created and opened. The checks need frames of at
    /// least 128 bytes.
    #[must_use]
    pub fn option(mut self, key: &'static str, value: &'static str) -> Self {
        self.options.push((key, value));
        self
    }

    /// Sets how to sleep on a [`Source`], such as a `poll` of the platform. Without it the suite
    /// tries again every 200 µs, and does not notice a source that never becomes ready.
    #[must_use]
    pub fn sleeper(mut self, sleeper: Sleeper) -> Self {
        self.sleeper = sleeper;
        self
    }

    /// Sets how to make names, for a transport that needs a form such as `host:port`. Each call in
    /// a process gets another number; names must also differ between processes.
    #[must_use]
    pub fn names(mut self, namer: fn(u64) -> String) -> Self {
        self.namer = Some(namer);
        self
    }

    /// True if the transport takes no names but those of a form of its own: then the check is
    /// skipped, and returns.
    pub(crate) fn skips_names(&self) -> bool {
        if self.namer.is_some() {
            self.skip("names have a form of their own");
        }
        self.namer.is_some()
    }

    pub(crate) fn transport(&self) -> &dyn DynTransport {
        match &self.transport {
            Held::Owned(transport) => &**transport,
            Held::Borrowed(transport) => *transport,
        }
    }

    pub(crate) fn can(&self, capability: Capabilities) -> bool {
        self.transport().capabilities().contains(capability)
    }

    /// True if the transport lacks what the check is about: then it is skipped, and returns.
    pub(crate) fn skips_without(&self, capability: Capabilities) -> bool {
        let lacks = !self.can(capability);
        if lacks {
            self.skip(format!("does not claim {capability:?}"));
        }
        lacks
    }

    /// True if the transport has what the check is to miss: then it is skipped, and returns.
    pub(crate) fn skips_with(&self, capability: Capabilities) -> bool {
        let has = self.can(capability);
        if has {
            self.skip(format!("claims {capability:?}"));
        }
        has
    }

    /// Notes why the check that runs is skipped.
    pub(crate) fn skip(&self, reason: impl Into<String>) {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
    }

    /// Why the last check was skipped. Forgets it.
    pub(crate) fn take_skipped(&self) -> Option<String> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What a death is called: without a handshake it cannot be told from an orderly close.
    pub(crate) fn death(&self) -> ErrorKind {
        if self.can(Capabilities::HANDSHAKE) { ErrorKind::PeerGone } else { ErrorKind::Closed }
    }

    pub(crate) fn has_key(&self, name: &str) -> bool {
        self.transport().keys().iter().any(|key| key.name == name)
    }

    /// A name that no other check uses.
    pub(crate) fn name(&self) -> Name {
        self.name_like("")
    }

    /// A name that no other check uses and that begins with `like`.
    pub(crate) fn name_like(&self, like: &str) -> Name {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = match self.namer {
            Some(namer) => namer(serial),
            None => format!("{like}conformance-{}-{serial}", process::id()),
        };
        Name::new(&name).or_else(|_| Name::path(&name)).expect("a legal name or a path")
    }

    /// The fixture's options with these, which count for a key that both have.
    pub(crate) fn options(&self, more: &[(&'static str, &'static str)]) -> Options {
        let mut pairs = self.options.clone();
        pairs.retain(|(key, _)| !more.iter().any(|(other, _)| other == key));
        pairs.extend(more);
        Options::parse(pairs, &[self.transport().keys(), COMMON_KEYS])
            .expect("the transport does not declare these options")
    }

    #[track_caller]
    pub(crate) fn create(&self, name: &Name) -> Box<dyn DynEndpoint> {
        self.transport().create(name, &self.options(&[])).expect("create of a free name failed")
    }

    #[track_caller]
    pub(crate) fn open(&self, name: &Name) -> Box<dyn DynEndpoint> {
        self.transport().open(name, &self.options(&[])).expect("open of a live name failed")
    }

    #[track_caller]
    pub(crate) fn close(&self, endpoint: Box<dyn DynEndpoint>) {
        self.transport().close(endpoint).expect("close failed");
    }

    /// The hello of an untyped side.
    pub(crate) fn hello(&self) -> Hello {
        let transport = self.transport().schemes().first().copied().unwrap_or_default().to_owned();
        Hello { transport, max_message: 16 << 20, ..Hello::default() }
    }

    /// A new name with one channel.
    pub(crate) fn pair(&self) -> Pair {
        let name = self.name();
        let (owner, opener) = (self.create(&name), self.open(&name));
        let (here, there) = self.meet(&*owner, &*opener);
        Pair { here, there, owner, opener }
    }

    /// Connects and accepts one channel.
    pub(crate) fn meet(&self, owner: &dyn DynEndpoint, opener: &dyn DynEndpoint) -> (End, End) {
        let wait_loop = WaitLoop::thread(self);
        thread::scope(|scope| {
            let there = scope.spawn(|| wait_loop.connect(opener, self.hello()).expect("connect"));
            let here = wait_loop.connect(owner, self.hello()).expect("accept");
            (here.into(), there.join().expect("connect").into())
        })
    }
}

fn look_again_soon(_: &Source, _: Interest, timeout: Duration) -> bool {
    thread::sleep(timeout.min(Duration::from_micros(200)));
    true
}

/// One side of a channel.
pub(crate) struct End {
    pub(crate) sender: Box<dyn SendHalf>,
    pub(crate) receiver: Box<dyn RecvHalf>,
    pub(crate) peer: Peer,
}

impl From<DynHalves> for End {
    fn from((sender, receiver, peer): DynHalves) -> Self {
        Self { sender, receiver, peer }
    }
}

/// Both sides of a channel, and their endpoints.
pub(crate) struct Pair {
    /// The owner's.
    pub(crate) here: End,
    /// The opener's.
    pub(crate) there: End,
    pub(crate) owner: Box<dyn DynEndpoint>,
    pub(crate) opener: Box<dyn DynEndpoint>,
}
