use std::fmt;
use std::marker::PhantomData;

use anyipc_core::{Capabilities, Key, Name, Object, Operation, Options, Result, Transport};
use anyipc_os::Dir;

use super::{Description, Endpoint, Settings, create, open};

/// A transport with queues that have this description, and with channels over such queues.
///
/// One per scheme: `anyipc_message_queue::MessageQueue` and `anyipc_posix_queue::PosixQueue`.
pub struct NamedQueues<C>(PhantomData<fn() -> C>);

impl<C: Description> NamedQueues<C> {
    /// The transport.
    #[expect(clippy::new_without_default, reason = "a constant is made of it")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    fn dir(options: &Options, operation: Operation) -> Result<Dir> {
        Dir::open(C::Settings::read(options, operation)?.access().scope, operation)
    }
}

impl<C> Clone for NamedQueues<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for NamedQueues<C> {}

impl<C: Description> fmt::Debug for NamedQueues<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedQueues").field(&C::SCHEME).finish()
    }
}

impl<C: Description> Transport for NamedQueues<C> {
    type Endpoint = Endpoint<C>;

    fn schemes(&self) -> &'static [&'static str] {
        const { &[C::SCHEME] }
    }

    fn keys(&self) -> &'static [Key] {
        C::KEYS
    }

    fn about(&self) -> &'static str {
        C::ABOUT
    }

    fn file_stem(&self, name: &Name, _options: &Options) -> Option<String> {
        Some(C::KIND.stem(name))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::OUTLIVES_CREATOR
            | Capabilities::LPSZ
            | Capabilities::CHANNEL
            | Capabilities::HANDSHAKE
            | Capabilities::DELIVERS_AFTER_DEATH
            | Capabilities::PEER_CREDENTIALS
            | Capabilities::PERSISTS
            | Capabilities::PRIORITIES
            | Capabilities::QUEUE
            | Capabilities::INVENTORY
            | C::MORE
    }

    fn create(&self, name: &Name, options: &Options) -> Result<Endpoint<C>> {
        create(name, options, None, Operation::Create)
    }

    fn open(&self, name: &Name, options: &Options) -> Result<Endpoint<C>> {
        open(name, options)
    }

    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Endpoint<C>> {
        create(name, options, Some(text), Operation::AllocLpsz)
    }

    fn close(&self, endpoint: Endpoint<C>) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        crate::list(&Self::dir(options, Operation::List)?, C::KIND)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        crate::inspect(&Self::dir(options, Operation::Stat)?, C::KIND, name)
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        crate::remove(&Self::dir(options, Operation::Remove)?, C::KIND, name, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        crate::sweep(&Self::dir(options, Operation::List)?, C::KIND, fix)
    }
}
