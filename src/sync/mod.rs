//! Locks and events that processes share: in memory, by name, and robust.
//!
//! Each object lies either in a block of its own, reached by an address (`create`, `open`,
//! `open_or_create`), or at an offset of any [`Block`] (`at`). While no process waits, no call of
//! it makes a system call.
//!
//! ```
//! use anyipc::sync::Mutex;
//!
//! let counter = Mutex::create("shm://sync.counter", 0u64)?;
//! *counter.lock()?.recover(|_count| { /* its last owner died */ }) += 1;
//!
//! // In another process, or here:
//! let same = Mutex::<u64>::open("shm://sync.counter")?;
//! assert_eq!(*same.lock()?.recover(|_| {}), 1);
//! # Ok::<(), anyipc::Error>(())
//! ```
//!
//! # Deaths
//! A process that dies gives back what it held, and the next one that comes is told so. Whether a
//! process is dead is what the kernel says: a lock on the object's file ends with the process that
//! has it. A process that is merely stopped loses nothing, however long that takes.
//!
//! # Handles
//! A handle is `Send` and `Sync`; threads share it by reference. An object belongs to the process's
//! handle of its memory, not to a thread: guards may be sent to other threads, and a thread that
//! ends, or forgets a guard, leaves the object held until the process drops all its handles of that
//! memory; then the next one is told that the owner died. In a child made by `fork` all calls
//! return `Forked`, and guards do nothing; the child opens the address anew. A program that
//! replaces itself (`exec`) has given back everything, as if it had died.
//!
//! # Several objects in one block
//! Each object begins at a multiple of 64 and has `SIZE` bytes, which may be no such multiple.
//! Zeroes are a free object, so it does not matter which process comes first; what it has to begin
//! with, such as the permits of a semaphore, is the work of a [`Once`].
//!
//! ```
//! use anyipc::sync::{Mutex, Once, Semaphore};
//!
//! const COUNTERS: usize = 0;
//! const READERS: usize = (COUNTERS + Mutex::<[u64; 2]>::SIZE).next_multiple_of(64);
//! const BEGUN: usize = (READERS + Semaphore::SIZE).next_multiple_of(64);
//!
//! let holder = anyipc::create("shm://sync.indexer?size=4KiB&create=open_or_create")?;
//! let block = holder.block()?;
//! let counters = Mutex::<[u64; 2]>::at(block, COUNTERS)?;
//! let readers = Semaphore::at(block, READERS)?;
//! Once::at(block, BEGUN)?.call(|_| {
//!     // Also after a death in between there are two.
//!     readers.add_permits(2 - readers.available().expect("2 at most")).expect("few");
//! })?;
//! let permit = readers.acquire()?;
//! counters.lock()?.recover(|_| {})[0] += 1;
//! # drop(permit);
//! # Ok::<(), anyipc::Error>(())
//! ```
//!
//! One block has at most 176 participants: handles with which a process locks, and tasks that
//! wait.

mod barrier;
mod condvar;
mod event;
mod mutex;
mod once;
mod rwlock;
mod semaphore;
mod waiting;

use anyipc_core::{Error, ErrorKind, Operation, Options, Result};
use anyipc_shared_memory::{Block, SharedMemory};
use anyipc_sync::Place;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::address::settings::{Settings, WaitMode};
use crate::address::{Address, IntoAddress, of_memory};
use crate::endpoint::holders::Holders;
use crate::registry::Registry;

pub use anyipc_sync::Reset;
pub use barrier::{Barrier, BarrierResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::{Event, EventWaiter};
pub use mutex::{LockResult, Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Permit, Semaphore};

/// Values that shared memory can hold: of any bytes, without padding, without pointers. The traits
/// of the crate `zerocopy` say so; derive them for structs of your own. Integers, and arrays of
/// such types, have them.
///
/// ```
/// // zerocopy = { version = "0.8", features = ["derive"] }
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Counters {
///     done: u64,
///     failed: u32,
///     late: u32, // Without it there would be 4 bytes of padding: an error of the derive.
/// }
///
/// let counters = Counters { done: 0, failed: 0, late: 0 };
/// let counters = anyipc::sync::Mutex::create("shm://sync.counters", counters)?;
/// counters.lock()?.recover(|_| {}).done += 1;
/// # Ok::<(), anyipc::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value that processes can share in memory",
    label = "is no `anyipc::sync::Plain`",
    note = "for a struct of your own: #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, \
            zerocopy::Immutable)] #[repr(C)], with zerocopy 0.8 and its feature `derive`"
)]
pub trait Plain: FromBytes + IntoBytes + Immutable {}

#[diagnostic::do_not_recommend]
impl<T: FromBytes + IntoBytes + Immutable> Plain for T {}

/// A boolean of a guard. A whole word: a byte would be written alone and then copied with the
/// padding behind it, and such a load waits until all earlier stores have left the store buffer.
#[derive(Debug, Clone, Copy)]
struct Flag(usize);

impl Flag {
    #[inline(always)]
    fn new(is_set: bool) -> Self {
        Self(usize::from(is_set))
    }

    #[inline(always)]
    fn is_set(self) -> bool {
        self.0 != 0
    }
}

/// What an address says about an object.
struct Named {
    address: Address,
    options: Options,
    wait: WaitMode,
}

impl Named {
    fn new(address: impl IntoAddress) -> Result<Self> {
        let registry = Registry::global();
        let address = registry.found(address, Operation::Address)?;
        let (_, options) = registry.resolve(&address)?;
        if address.scheme() != "shm" {
            return Err(Error::new(Operation::Address, ErrorKind::Unsupported)
                .because("locks and events live in shared memory: write shm://name")
                .at(&address));
        }
        let wait = Settings::new(&options).map_err(|e| e.at(&address))?.wait;
        Ok(Self { address, options, wait })
    }

    /// Makes the object's block, with these first contents, and finds the object in it. `adopts`:
    /// or in the block that is there.
    fn make<R>(
        &self,
        size: usize,
        contents: &[(usize, &[u8])],
        adopts: bool,
        find: impl FnOnce(Place) -> Result<R>,
    ) -> Result<R> {
        SharedMemory::make_block(self.address.name(), &self.options, size, contents, adopts)
            .map_err(|error| {
                Holders::of(&SharedMemory, &self.address)
                    .explain_exists(error, "call open_or_create")
            })
            .and_then(|block| find(Place::new(block.participants()?, 0, false)))
            .map_err(|e| e.at(&self.address))
    }

    /// Finds the object in its block.
    fn open<R>(&self, find: impl FnOnce(Place) -> Result<R>) -> Result<R> {
        SharedMemory::find_block(self.address.name(), &self.options)
            .and_then(|block| find(Place::new(block.participants()?, 0, false)))
            .map_err(|e| e.at(&self.address))
    }
}

/// Finds the object at an offset of a block, where it is made if the bytes are zero.
fn within<R>(block: &Block, offset: usize, find: impl FnOnce(Place) -> Result<R>) -> Result<R> {
    block
        .participants()
        .and_then(|participants| find(Place::new(participants, offset, true)))
        .map_err(|error| error.at(of_memory(block.name())))
}
