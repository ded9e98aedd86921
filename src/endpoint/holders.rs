//! The processes that hold a name, in words: for the errors of calls that they are in the way of,
//! or that miss one of them.

use anyipc_core::{
    COMMON_KEYS, Capabilities, DynTransport, Error, ErrorKind, Object, ObjectState, Operation,
    Options, Role,
};

use super::Endpoint;
use super::absence::no_owner;
use crate::address::Address;

/// The objects of a name at one moment. None if the transport keeps no inventory.
pub(crate) struct Holders(Vec<Object>);

impl Holders {
    pub(crate) fn of(transport: &dyn DynTransport, address: &Address) -> Self {
        let listed = transport.capabilities().contains(Capabilities::INVENTORY);
        let options = Options::parse(address.pairs(), &[COMMON_KEYS, transport.keys()]);
        Self(match options {
            Ok(options) if listed => {
                transport.inspect(address.name(), &options).unwrap_or_default()
            }
            _ => Vec::new(),
        })
    }

    /// Says of an `Exists` what has the name, and what works instead. `adopt` is what to do to take
    /// over what is there.
    pub(crate) fn explain_exists(&self, error: Error, adopt: &str) -> Error {
        if error.kind() != ErrorKind::Exists {
            return error;
        }
        let why = if let Some(owner) = self.owner() {
            format!("its owner, {}, is alive: open it, or {adopt}", processes(owner))
        } else if let Some(held) = self.held(ObjectState::Live) {
            format!(
                "its owner has left, but {} still holds its {}: open it, or {adopt}",
                processes(held),
                held.kind
            )
        } else if let Some(kept) = self.held(ObjectState::Persistent) {
            format!(
                "its {} stays without a holder (persist=true): open it, or {adopt}, or remove it \
                 with `anyipc rm`",
                kept.kind
            )
        } else {
            return error;
        };
        error.because(why)
    }

    /// The owner's process, where it has a number here.
    #[cfg(feature = "single-instance")]
    pub(crate) fn owner_pid(&self) -> Option<u32> {
        self.owner()?.holders.first().copied()
    }

    /// True if the owner is known to be stopped.
    #[cfg(feature = "single-instance")]
    pub(crate) fn owner_is_stopped(&self) -> bool {
        self.owner().is_some_and(|owner| fact(owner, "stopped").is_some())
    }

    /// The reason of an owner that is there and does not accept.
    fn silence(&self) -> String {
        let Some(owner) = self.owner() else {
            return "an owner is there, but does not accept: it is busy, stopped, or out of \
                    descriptors"
                .into();
        };
        let who = processes(owner);
        match fact(owner, "stopped") {
            Some(_) => format!("its owner, {who}, does not accept: it is stopped"),
            None => {
                format!("its owner, {who}, does not accept: it is busy, or out of descriptors")
            }
        }
    }

    /// The reason of a name without an owner.
    fn absence(&self) -> String {
        let held = self.held(ObjectState::Live);
        let held = held.map(|held| format!(" ({} holds its {})", processes(held), held.kind));
        no_owner(&held.unwrap_or_default())
    }

    fn owner(&self) -> Option<&Object> {
        self.0.iter().find(|o| o.kind == "rendezvous" && o.state == ObjectState::Live)
    }

    fn held(&self, state: ObjectState) -> Option<&Object> {
        self.0.iter().find(|o| o.kind != "rendezvous" && o.state == state)
    }
}

impl Endpoint {
    /// The reason of a name without an owner.
    pub(super) fn absence(&self) -> String {
        Holders::of(&*self.transport, &self.address).absence()
    }

    /// Says why no handshake was complete by the deadline.
    pub(super) fn explain_timeout(&self, error: Error) -> Error {
        let why = match self.role() {
            Role::Opener => Holders::of(&*self.transport, &self.address).silence(),
            Role::Owner => {
                let rejections = self.rejections();
                match (rejections.count, rejections.last) {
                    (0, _) => "no connector came".into(),
                    (count, last) => format!(
                        "no connector was let in; {count} were turned away so far, the last one: \
                         {}",
                        last.unwrap_or_default()
                    ),
                }
            }
        };
        error.because(why)
    }
}

/// The processes that hold an object, as far as the platform knows them.
fn processes(object: &Object) -> String {
    match (object.holders.as_slice(), fact(object, "owner")) {
        ([pid], _) => format!("process {pid}"),
        ([], Some(owner)) => format!("process {owner}"),
        ([], None) => "a process".into(),
        ([pid, others @ ..], _) => format!("process {pid} (and {} more)", others.len()),
    }
}

fn fact<'a>(object: &'a Object, label: &str) -> Option<&'a str> {
    object.facts.iter().find(|(name, _)| *name == label).map(|(_, value)| value.as_str())
}

/// What a creation does to take over what has the name already.
pub(crate) fn adopting(operation: Operation) -> &'static str {
    match operation {
        Operation::AllocLpsz => "choose another name for the text",
        _ => "create it with create=open_or_create",
    }
}
