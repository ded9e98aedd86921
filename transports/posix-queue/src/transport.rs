use anyipc_core::{Capabilities, Key, Name, Object, Operation, Options, Result, Transport};
use anyipc_memory::named_queue::{self, dir};

use crate::description::PosixQueueEndpoint;
use crate::record::{KIND, Record};
use crate::settings::KEYS;

/// `posix-mq://`: the kernel's POSIX message queues, and channels over pairs of them. Linux only.
#[derive(Debug, Clone, Copy, Default)]
pub struct PosixQueue;

impl Transport for PosixQueue {
    type Endpoint = PosixQueueEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["posix-mq"]
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn about(&self) -> &'static str {
        "a queue of the kernel, and a file in the private directory that names it, mapped; \
         channels: two such queues without names, handed over a Unix socket"
    }

    fn file_stem(&self, name: &Name, _options: &Options) -> Option<String> {
        Some(KIND.stem(name))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::CROSS_PROCESS
            | Capabilities::OUTLIVES_CREATOR
            | Capabilities::LPSZ
            | Capabilities::CHANNEL
            | Capabilities::DELIVERS_AFTER_DEATH
            | Capabilities::PEER_CREDENTIALS
            | Capabilities::PERSISTS
            | Capabilities::PRIORITIES
            | Capabilities::QUEUE
            | Capabilities::INVENTORY
    }

    fn create(&self, name: &Name, options: &Options) -> Result<PosixQueueEndpoint> {
        named_queue::create(name, options, None, Operation::Create)
    }

    fn open(&self, name: &Name, options: &Options) -> Result<PosixQueueEndpoint> {
        named_queue::open(name, options)
    }

    fn alloc_lpsz(
        &self,
        name: &Name,
        text: &[u8],
        options: &Options,
    ) -> Result<PosixQueueEndpoint> {
        named_queue::create(name, options, Some(text), Operation::AllocLpsz)
    }

    fn close(&self, endpoint: PosixQueueEndpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        anyipc_memory::list(&dir::<Record>(options, Operation::List)?, &KIND)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        anyipc_memory::inspect(&dir::<Record>(options, Operation::Stat)?, &KIND, name)
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        anyipc_memory::remove(&dir::<Record>(options, Operation::Remove)?, &KIND, name, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        anyipc_memory::sweep(&dir::<Record>(options, Operation::List)?, &KIND, fix)
    }
}
