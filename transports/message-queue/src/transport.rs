use anyipc_core::{Capabilities, Key, Name, Object, Operation, Options, Result, Transport};
use anyipc_memory::named_queue::{self, dir};

use crate::description::QueueEndpoint;
use crate::kind::KIND;
use crate::layout::Geometry;
use crate::settings::KEYS;

/// `mq://`: bounded priority queues for many senders and many receivers, and channels over queues.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageQueue;

impl Transport for MessageQueue {
    type Endpoint = QueueEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["mq"]
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn about(&self) -> &'static str {
        "a file in the private directory, mapped: chunks of 128 bytes, two locks that survive \
         their owners, 256 handles at a time; channels: such queues in a memfd, handed over a Unix \
         socket"
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

    fn create(&self, name: &Name, options: &Options) -> Result<QueueEndpoint> {
        named_queue::create(name, options, None, Operation::Create)
    }

    fn open(&self, name: &Name, options: &Options) -> Result<QueueEndpoint> {
        named_queue::open(name, options)
    }

    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<QueueEndpoint> {
        named_queue::create(name, options, Some(text), Operation::AllocLpsz)
    }

    fn close(&self, endpoint: QueueEndpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        anyipc_memory::list(&dir::<Geometry>(options, Operation::List)?, &KIND)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        anyipc_memory::inspect(&dir::<Geometry>(options, Operation::Stat)?, &KIND, name)
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        anyipc_memory::remove(&dir::<Geometry>(options, Operation::Remove)?, &KIND, name, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        anyipc_memory::sweep(&dir::<Geometry>(options, Operation::List)?, &KIND, fix)
    }
}
