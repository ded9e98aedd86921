//! The kinds of work. Each has a file of its own, with what its workers do and its oracle.

use anyipc::{Address, Capabilities, ErrorKind, Operation, Registry};
use serde::{Deserialize, Serialize};

use super::connections::Connections;
use super::context::Context;
use super::holds::{Holds, Rules};
use super::lease::Jobs;
use super::lock::PERMITS;
use super::oracle::Oracle;
use super::{barrier, block, channel, condvar, event, inbox, lock, mutex, once, queue, tidy};
use crate::failure::{Failure, Result};

/// What the workers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// An owner with a thread for each channel, and connectors
    Channel,
    /// An owner with an inbox, and connectors
    Inbox,
    /// Senders and receivers of one queue
    Queue,
    /// Senders of jobs, and workers that lease and acknowledge them
    Lease,
    /// Writers and readers of one stored value
    Block,
    /// Writers of one stored value, and readers that wait for newer ones
    Watch,
    /// Owners of one mutex, one after the other
    Mutex,
    /// Readers and writers of one read-write lock
    Rwlock,
    /// Holders of permits of one semaphore
    Semaphore,
    /// Setters and waiters of one event
    Event,
    /// Processes that notify of a changed value, and others that wait for that
    Condvar,
    /// Participants of one barrier, two to a round
    Barrier,
    /// Processes that do many things, each of them once
    Once,
}

/// What one worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Accepts; the first of its kind of work.
    Owner,
    /// Connects, again and again.
    Connector,
    /// Holds the object for all others; never killed or stopped.
    Keeper,
    Sender,
    Receiver,
    /// All others are alike.
    User,
    /// Looks for what is left over, after all others.
    Tidy,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Channel,
        Self::Inbox,
        Self::Queue,
        Self::Lease,
        Self::Block,
        Self::Watch,
        Self::Mutex,
        Self::Rwlock,
        Self::Semaphore,
        Self::Event,
        Self::Condvar,
        Self::Barrier,
        Self::Once,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Inbox => "inbox",
            Self::Queue => "queue",
            Self::Lease => "lease",
            Self::Block => "block",
            Self::Watch => "watch",
            Self::Mutex => "mutex",
            Self::Rwlock => "rwlock",
            Self::Semaphore => "semaphore",
            Self::Event => "event",
            Self::Condvar => "condvar",
            Self::Barrier => "barrier",
            Self::Once => "once",
        }
    }

    /// The kind that an address suggests: a block if it has a size, a queue where there are some.
    pub(super) fn of(address: &Address) -> Result<Self> {
        let able = capabilities(address)?;
        let has = |needs| able.contains(needs);
        Ok(if address.get("size").is_some() && has(Capabilities::BLOCK) {
            Self::Block
        } else if has(Capabilities::QUEUE) {
            Self::Queue
        } else {
            Self::Channel
        })
    }

    /// # Errors
    /// The transport cannot do it: the choices.
    pub(super) fn check(self, address: &Address) -> Result<()> {
        let able = capabilities(address)?;
        if able.contains(self.needs()) {
            return Ok(());
        }
        let names: Vec<_> =
            Self::ALL.into_iter().filter(|kind| able.contains(kind.needs())).collect();
        let names: Vec<_> = names.into_iter().map(Self::name).collect();
        Err(Failure::Usage(format!(
            "{}:// has no work as {}; choose --as {}",
            address.scheme(),
            self.name(),
            names.join(", ")
        )))
    }

    fn needs(self) -> Capabilities {
        match self {
            // A death must be told from a close.
            Self::Channel | Self::Inbox => Capabilities::CHANNEL.and(Capabilities::HANDSHAKE),
            Self::Queue => Capabilities::QUEUE,
            Self::Lease => Capabilities::QUEUE.and(Capabilities::LEASES),
            // Locks and events lie in blocks.
            _ => Capabilities::BLOCK.and(Capabilities::OUTLIVES_CREATOR),
        }
    }

    /// The roles, the first to start before all others. `workers` are to be killed.
    pub(super) fn roles(self, workers: usize) -> Vec<Role> {
        let one_and = |first, rest: Vec<Role>| [vec![first], rest].concat();
        match self {
            Self::Channel | Self::Inbox => {
                one_and(Role::Owner, vec![Role::Connector; workers.saturating_sub(1)])
            }
            Self::Queue | Self::Lease | Self::Watch | Self::Event | Self::Condvar => {
                let pairs = [Role::Sender, Role::Receiver].into_iter().cycle();
                one_and(Role::Keeper, pairs.take(workers).collect())
            }
            _ => one_and(Role::Keeper, vec![Role::User; workers]),
        }
    }

    /// The address of all workers.
    pub(super) fn address(self, address: Address, size: usize) -> Address {
        match self {
            // Two copies and an index.
            Self::Block | Self::Watch if address.get("size").is_none() => {
                address.with("size", &(4 * size + 4096).to_string())
            }
            Self::Once if address.get("size").is_none() => {
                address.with("size", &once::SIZE.to_string())
            }
            _ => address,
        }
    }

    pub(super) fn oracle(self, address: &Address) -> Result<Box<dyn Oracle>> {
        let delivers = capabilities(address)?.contains(Capabilities::DELIVERS_AFTER_DEATH);
        Ok(match self {
            Self::Channel | Self::Inbox => Box::new(Connections::new(delivers)),
            Self::Queue => Box::new(queue::Oracle::default()),
            Self::Lease => Box::new(Jobs::new(false)),
            Self::Once => Box::new(Jobs::new(true)),
            Self::Barrier => Box::new(barrier::Rounds::default()),
            Self::Block | Self::Watch => Box::new(block::Oracle::default()),
            Self::Mutex | Self::Condvar => {
                Box::new(Holds::new(Rules { most: 1, tells: true, counts: true }))
            }
            Self::Rwlock => {
                Box::new(Holds::new(Rules { most: usize::MAX, tells: true, counts: true }))
            }
            Self::Semaphore => {
                let most = PERMITS as usize;
                Box::new(Holds::new(Rules { most, tells: false, counts: false }))
            }
            Self::Event => Box::new(event::Signals::default()),
        })
    }

    /// The work of one process, until it is told to finish.
    pub(super) fn work(self, context: &Context) -> anyipc::Result<()> {
        match (self, context.order.role) {
            (_, Role::Tidy) => tidy::work(context),
            (Self::Channel, Role::Owner) => channel::owner(context),
            (Self::Inbox, Role::Owner) => inbox::owner(context),
            (Self::Channel | Self::Inbox, _) => super::connector::work(self, context),
            (Self::Queue | Self::Lease, role) => queue::work(self, role, context),
            (Self::Block, role) => block::work(role, context),
            (Self::Watch, role) => block::watch(role, context),
            (Self::Mutex, role) => mutex::work(role, context),
            (Self::Rwlock | Self::Semaphore, role) => lock::work(self, role, context),
            (Self::Event, role) => event::work(role, context),
            (Self::Condvar, role) => condvar::work(role, context),
            (Self::Barrier, role) => barrier::work(role, context),
            (Self::Once, role) => once::work(role, context),
        }
    }
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Connector => "connector",
            Self::Keeper => "keeper",
            Self::Sender => "sender",
            Self::Receiver => "receiver",
            Self::User => "user",
            Self::Tidy => "tidy",
        }
    }

    /// True if it may be killed and stopped.
    pub(super) fn is_victim(self) -> bool {
        !matches!(self, Self::Keeper | Self::Tidy)
    }

    /// True if it has to end before the others of its kind of work: they wait for what it says.
    pub(super) fn ends_first(self) -> bool {
        matches!(self, Self::Connector | Self::Sender | Self::User)
    }
}

fn capabilities(address: &Address) -> Result<Capabilities> {
    let (transport, _) = Registry::global().resolve(address)?;
    let able = transport.capabilities();
    if able.contains(Capabilities::CROSS_PROCESS) {
        return Ok(able);
    }
    let error = anyipc::Error::new(Operation::Create, ErrorKind::Unsupported);
    Err(error.because("it reaches no other process").at(address).into())
}
