//! Becoming the owner of a name, or reaching the owner that it has.

use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "single-instance")]
use anyipc_core::Capabilities;
use anyipc_core::{Error, ErrorKind, Hello, Operation, Result, Role, keys};
#[cfg(feature = "serde")]
use serde::{Serialize, de::DeserializeOwned};

use super::Registry;
use crate::address::{Address, IntoAddress};
use crate::channel::Channel;
#[cfg(feature = "serde")]
use crate::channel::{message::Message, typed::TypedChannel};
use crate::endpoint::Endpoint;
use crate::endpoint::absence::Absence;
#[cfg(feature = "single-instance")]
use crate::endpoint::holders::Holders;
use crate::wait::deadline;

/// What [`first`](crate::first()) found: this process is the name's owner, or it has a channel to
/// the owner.
#[derive(Debug)]
pub enum Instance<C = Channel> {
    /// The name had no owner, and this process is its owner now: it accepts those that come later.
    First(Endpoint),
    /// Another process is the owner; this is a channel to it.
    Later(C),
}

#[cfg(any(feature = "serde", feature = "tokio"))]
impl<C> Instance<C> {
    /// The same with another kind of channel.
    pub(crate) fn try_map<D>(self, map: impl FnOnce(C) -> Result<D>) -> Result<Instance<D>> {
        Ok(match self {
            Self::First(owner) => Instance::First(owner),
            Self::Later(channel) => Instance::Later(map(channel)?),
        })
    }
}

impl Registry {
    /// Becomes the owner or connects to it, as [`first`](crate::first()) with this registry.
    ///
    /// # Errors
    /// Those of [`first`](crate::first()).
    pub fn first(&self, address: impl IntoAddress) -> Result<Instance> {
        Race::new(self, address)?.run(|endpoint| Ok(endpoint.hello()))
    }

    /// Becomes the owner or connects to it for values, as [`first_typed`](crate::first_typed) with
    /// this registry.
    ///
    /// # Errors
    /// Those of [`first_typed`](crate::first_typed).
    #[cfg(feature = "serde")]
    pub fn first_typed<Out, In>(
        &self,
        address: impl IntoAddress,
    ) -> Result<Instance<TypedChannel<Out, In>>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        Race::new(self, address)?
            .run(|endpoint| endpoint.typed_hello::<Out, In>(Operation::Connect))?
            .try_map(Channel::typed)
    }
}

/// One call to be first, as steps of threads and tasks alike: create or open, then connect; again
/// if the owner has left in between.
#[derive(Clone)]
pub(crate) struct Race {
    registry: Registry,
    address: Address,
    deadline: Option<Instant>,
    absence: Absence,
}

impl Race {
    pub(crate) fn new(registry: &Registry, address: impl IntoAddress) -> Result<Self> {
        let address = registry.found(address, Operation::Create)?;
        let settings = registry.settings(&address, Operation::Create)?;
        Ok(Self {
            registry: registry.clone(),
            address,
            deadline: deadline(Some(settings.timeout)),
            absence: Absence::new(),
        })
    }

    /// Takes steps until this process is first, or connected. Blocks.
    pub(crate) fn run(&mut self, hello: impl Fn(&Endpoint) -> Result<Hello>) -> Result<Instance> {
        loop {
            let endpoint = self.enter()?;
            if endpoint.role() == Role::Owner {
                return Ok(Instance::First(endpoint));
            }
            let connected = endpoint.reach(hello(&endpoint)?)?.next(self.deadline);
            // Until then it holds the name's block, if there is one.
            drop(endpoint);
            if let Some(channel) = self.judge(connected)? {
                return Ok(Instance::Later(channel));
            }
            thread::sleep(self.pause()?);
        }
    }

    /// The owner's handle, or an opener's if there is an owner.
    pub(crate) fn enter(&self) -> Result<Endpoint> {
        self.registry.make(self.address.clone(), Operation::Create, |transport, name, options| {
            let mut options = options.clone().with_text(keys::CREATE, "open_or_create");
            if let Some(left) = self.left() {
                options = options.with_span(keys::TIMEOUT, left);
            }
            transport.create(name, &options)
        })
    }

    /// The channel; `None` if the owner left before it accepted: the name is free, or has another
    /// owner.
    pub(crate) fn judge(&self, connected: Result<Channel>) -> Result<Option<Channel>> {
        match connected {
            Ok(channel) => Ok(Some(channel)),
            Err(error) => match error.kind() {
                ErrorKind::NotFound
                | ErrorKind::NoOwner
                | ErrorKind::PeerGone
                | ErrorKind::Closed => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// How long to wait before the next step.
    ///
    /// # Errors
    /// `NoOwner` at the deadline.
    pub(crate) fn pause(&mut self) -> Result<Duration> {
        let pause = self.absence.next_pause();
        match self.left() {
            Some(Duration::ZERO) => Err(Error::new(Operation::Connect, ErrorKind::NoOwner)
                .because("each owner of the name has left before it accepted")
                .at(&self.address)),
            Some(left) => Ok(pause.min(left)),
            None => Ok(pause),
        }
    }

    /// When to give up; `None` if never.
    #[cfg(feature = "tokio")]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The error if a step has not ended by the deadline.
    #[cfg(feature = "tokio")]
    pub(crate) fn late(&self) -> Error {
        Error::new(Operation::Connect, ErrorKind::TimedOut)
            .because("the name could be neither created nor opened in time")
            .at(&self.address)
    }
}

#[cfg(feature = "single-instance")]
impl Race {
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The processes that hold the name now.
    pub(crate) fn holders(&self) -> Option<Holders> {
        let (transport, _) = self.registry.find(&self.address).ok()?;
        Some(Holders::of(&**transport, &self.address))
    }

    /// What a killed owner has sent arrives all the same.
    pub(crate) fn delivers_after_death(&self) -> bool {
        self.registry.find(&self.address).is_ok_and(|(transport, _)| {
            transport.capabilities().contains(Capabilities::DELIVERS_AFTER_DEATH)
        })
    }
}
