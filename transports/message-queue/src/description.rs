//! The geometry as the description of a queue in named memory.

use std::sync::Arc;

use anyipc_core::{Capabilities, Key, Name, Operation, Queue, Result};
use anyipc_memory::named_queue::{self, Description, NamedQueues};
use anyipc_memory::{Kind, Region, Segment};

use crate::channel::{QueueReceiver, QueueSender};
use crate::client;
use crate::kind::KIND;
use crate::layout::{Geometry, LAYOUT};
use crate::queue::Handle;
use crate::settings::{KEYS, Settings};
use crate::store::Store;

/// `mq://`: bounded priority queues for many senders and many receivers, and channels over queues.
#[expect(non_upper_case_globals, reason = "used as the unit structs of other transports are")]
pub const MessageQueue: NamedQueues<Geometry> = NamedQueues::new();

/// A handle of a queue's name.
pub type QueueEndpoint = named_queue::Endpoint<Geometry>;

impl Description for Geometry {
    type Settings = Settings;
    type Sender = QueueSender;
    type Receiver = QueueReceiver;
    type Channels<'a> = Settings;

    const SCHEME: &'static str = "mq";
    const KEYS: &'static [Key] = KEYS;
    const ABOUT: &'static str = "a file in the private directory, mapped: chunks of 128 bytes, two \
        locks that survive their owners, 256 handles at a time; channels: such queues in memory of \
        their own, which the handshake hands over";
    const KIND: &'static Kind = &KIND;
    const LAYOUT: u32 = LAYOUT;
    const MORE: Capabilities = Capabilities::LEASES;

    fn new(name: &Name, settings: &Settings, text: usize, during: Operation) -> Result<Self> {
        settings.check_dead(name, during)?;
        Ok(settings.queue(text))
    }

    fn encode(&self) -> Vec<u8> {
        Self::encode(self)
    }

    fn size(&self) -> Option<usize> {
        Self::size(self)
    }

    fn decode(region: &Region) -> Option<Self> {
        Self::read(region)
    }

    fn text(&self) -> (usize, usize) {
        (self.text_at(), self.text)
    }

    fn check(&self, settings: &Settings, persists: bool, during: Operation) -> Result<()> {
        settings.check(self, persists, during)
    }

    fn repair(&self, region: &Region) -> bool {
        client::reset_unshared(region, *self).is_ok()
    }

    fn is_unused(&self, region: &Region, _during: Operation) -> bool {
        self.repair(region) && Store::new(region.clone(), *self).is_empty()
    }

    fn channels(&self, settings: &Settings) -> Settings {
        *settings
    }

    /// Also `Mismatch` if the address has another `max_message` than the queue.
    fn queue(&self, memory: &Arc<Segment>, settings: &Settings) -> Result<Box<dyn Queue>> {
        settings.check_longest(self)?;
        Ok(Box::new(Handle::new(memory, *self, settings.scope())?))
    }
}
