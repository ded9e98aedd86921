//! A full file system: what the dead left there is removed, and the call tried once more.
//!
//! A program that crashes in a loop, with a new name each time, leaves a file or two behind each time. Nobody creates these
//! names again, and so nobody reclaims them.

use std::error::Error as _;
use std::io;

use anyipc_core::{Capabilities, Error, ErrorKind, ObjectState, Options, Result};

use crate::registry::Registry;

/// Makes something in the file system. If that is full, what is provably dead is removed first, and never what persists.
pub(crate) fn with_room<T>(registry: &Registry, make: impl Fn() -> Result<T>) -> Result<T> {
    match make() {
        Err(error) if is_full(&error) => {
            let freed = sweep(registry, true);
            make().map_err(
                |error| if is_full(&error) { explain(registry, freed, error) } else { error },
            )
        }
        made => made,
    }
}

fn is_full(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let full = source.is_some_and(|source| {
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    });
    full && error.kind() == ErrorKind::OutOfMemory
}

/// How many objects are dead, and their bytes. A transport that cannot tell must not keep the others from it.
fn sweep(registry: &Registry, fix: bool) -> (usize, u64) {
    let inventories =
        registry.transports().filter(|t| t.capabilities().contains(Capabilities::INVENTORY));
    let found = inventories
        .filter_map(|transport| transport.sweep(&Options::default(), fix).ok())
        .flatten();
    let dead = found.filter(|object| object.state == ObjectState::Stale);
    dead.fold((0, 0), |(count, bytes), object| (count + 1, bytes + object.size.unwrap_or(0)))
}

/// Says what was removed in vain, and what else there is to remove.
fn explain(registry: &Registry, (removed, freed): (usize, u64), error: Error) -> Error {
    let (dead, more) = sweep(registry, false);
    let objects = registry.list().unwrap_or_default();
    let bytes = |state| -> u64 {
        objects
            .iter()
            .filter(|(_, object)| object.state == state)
            .filter_map(|(_, object)| object.size)
            .sum()
    };
    let why = format!(
        "{}; {removed} objects of the dead were removed, with {freed} bytes, but that was not enough: `anyipc doctor \
         --fix` would free {dead} more, with {more} bytes; living ones have {} bytes and persistent ones {} (`anyipc ls` \
         shows them, `anyipc rm` removes one)",
        error.message().unwrap_or_default(),
        bytes(ObjectState::Live),
        bytes(ObjectState::Persistent),
    );
    error.because(why)
}
