//! The record as the description of a queue in named memory.

use std::sync::Arc;

use anyipc_core::{Key, Name, Operation, Queue, Result};
use anyipc_memory::named_queue::{self, Description, NamedQueues};
use anyipc_memory::{Kind, Region, Segment};

use crate::channel::{Pair, PosixQueueReceiver, PosixQueueSender};
use crate::queue::Handle;
use crate::record::{KIND, LAYOUT, Record, TEXT};
use crate::settings::{KEYS, Settings};

/// `posix-mq://`: the kernel's POSIX message queues, and channels over pairs of them. Linux only.
#[expect(non_upper_case_globals, reason = "used as the unit structs of other transports are")]
pub const PosixQueue: NamedQueues<Record> = NamedQueues::new();

/// A handle of a queue's name.
pub type PosixQueueEndpoint = named_queue::Endpoint<Record>;

impl Description for Record {
    type Settings = Settings;
    type Sender = PosixQueueSender;
    type Receiver = PosixQueueReceiver;
    type Channels<'a> = Pair<'a>;

    const SCHEME: &'static str = "posix-mq";
    const KEYS: &'static [Key] = KEYS;
    const ABOUT: &'static str = "a queue of the kernel, and a file in the private directory that \
        names it, mapped; channels: two such queues without names, handed over a Unix socket";
    const KIND: &'static Kind = &KIND;
    const LAYOUT: u32 = LAYOUT;

    fn new(name: &Name, settings: &Settings, text: usize, during: Operation) -> Result<Self> {
        Self::new(name, settings.shape(), text, during)
    }

    fn encode(&self) -> Vec<u8> {
        Self::encode(self)
    }

    fn size(&self) -> Option<usize> {
        TEXT.checked_add(self.text)
    }

    fn decode(region: &Region) -> Option<Self> {
        Self::read(region)
    }

    fn text(&self) -> (usize, usize) {
        (TEXT, self.text)
    }

    fn check(&self, settings: &Settings, persists: bool, during: Operation) -> Result<()> {
        self.check_namespace(during)?;
        settings.check(&self.shape, persists, during)
    }

    /// Makes the kernel's queue now, so that limits of the kernel are an error of `create`.
    fn complete(&self, during: Operation) -> Result<()> {
        self.queue(during).map(drop)
    }

    fn is_unused(&self, _region: &Region, during: Operation) -> bool {
        Self::is_unused(self, during)
    }

    fn channels<'a>(&'a self, settings: &'a Settings) -> Pair<'a> {
        Pair { settings, record: self }
    }

    fn queue(&self, memory: &Arc<Segment>, _settings: &Settings) -> Result<Box<dyn Queue>> {
        Ok(Box::new(Handle::new(memory, self)?))
    }
}
