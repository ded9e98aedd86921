//! A full file system: removes what dead processes left there, and tries once more.
//!
//! A program that crashes in a loop, with a new name each time, leaves a file or two each time.
//! Nothing creates these names again, so nothing else reclaims their files.

use std::error::Error as _;
use std::io;

use anyipc_core::{Capabilities, Error, ErrorKind, ObjectState, Options, Result};

use super::Registry;

/// Calls `make`, which creates files. If the file system is full, objects that are provably dead
/// are removed and `make` is called once more. Persistent objects are never removed.
pub(super) fn make_reclaiming<T>(registry: &Registry, make: impl Fn() -> Result<T>) -> Result<T> {
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

/// Number and bytes of the dead objects. A transport that cannot list its objects is passed over.
fn sweep(registry: &Registry, fix: bool) -> (usize, u64) {
    let inventories =
        registry.transports().filter(|t| t.capabilities().contains(Capabilities::INVENTORY));
    let found = inventories
        .filter_map(|transport| transport.sweep(&Options::default(), fix).ok())
        .flatten();
    let dead = found.filter(|object| object.state == ObjectState::Stale);
    dead.fold((0, 0), |(count, bytes), object| (count + 1, bytes + object.size.unwrap_or(0)))
}

/// Adds to the error what was removed in vain, and what else could be removed.
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
        "{}; {removed} dead objects were removed, with {freed} bytes, but that was not enough: \
         `anyipc doctor --fix` would free {dead} more, with {more} bytes; living ones have {} \
         bytes and persistent ones {} (`anyipc ls` shows them, `anyipc rm` removes one)",
        error.message().unwrap_or_default(),
        bytes(ObjectState::Live),
        bytes(ObjectState::Persistent),
    );
    error.because(why)
}
