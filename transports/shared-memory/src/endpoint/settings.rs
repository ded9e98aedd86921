use std::io;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Options, Result, keys};

use crate::channel::{Layout, MAX_CAPACITY, MIN_CAPACITY, Receiver, SPARE, Sender, halves};
use anyipc_memory::handover::{ChannelFactory, Side};
use anyipc_memory::{Extent, Region, check_platform};
use anyipc_os::{Scope, user};

/// The first capacity of a direction, in bytes, without `capacity=`. Small, because all its pages
/// are allocated when the channel is made, and stay while the connection is idle.
const DEFAULT_CAPACITY: usize = 16 << 10;
/// The capacity to which a ring may grow, in bytes, without `capacity=`.
const DEFAULT_LIMIT: usize = 4 << 20;

/// The longest wait for an object that is being made or reclaimed, without `timeout=`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The options of an address, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    capacity: Option<usize>,
    trusting: bool,
    pub(crate) scope: Scope,
    pub(crate) size: Option<usize>,
    pub(crate) adopt: bool,
    /// The longest wait for an object that is being made or reclaimed.
    pub(crate) timeout: Duration,
}

impl Settings {
    pub(crate) fn read(options: &Options, operation: Operation) -> Result<Self> {
        check_platform(operation)?;
        let invalid = |text: String| Error::new(operation, ErrorKind::InvalidOption).because(text);
        let capacity = match options.number(keys::CAPACITY) {
            None => None,
            Some(bytes) => {
                let rounded =
                    usize::try_from(bytes).ok().and_then(usize::checked_next_power_of_two);
                let fits = rounded
                    .filter(|_| bytes > 0)
                    .map(|r| r.max(MIN_CAPACITY))
                    .filter(|r| *r <= MAX_CAPACITY);
                let capacity = fits.ok_or_else(|| {
                    invalid(format!(
                        "capacity={bytes} is out of range: 1 to {MAX_CAPACITY} \
                         bytes, rounded up to a power of two of {MIN_CAPACITY} or more"
                    ))
                })?;
                Some(capacity)
            }
        };
        let size = match options.number(keys::SIZE) {
            Some(0) => return Err(invalid("size=0: a block has at least 1 byte".into())),
            Some(bytes) => Some(usize::try_from(bytes).map_err(|_| {
                Error::new(operation, ErrorKind::OutOfMemory)
                    .because(format!("size={bytes} is more than this machine can address"))
            })?),
            None => None,
        };
        Ok(Self {
            capacity,
            trusting: options.text(keys::TRUST) == Some("same-user"),
            scope: if options.text(keys::SCOPE) == Some("system") {
                Scope::System
            } else {
                Scope::User
            },
            size,
            timeout: options.span(keys::TIMEOUT).unwrap_or(TIMEOUT),
            adopt: options.text(keys::CREATE) == Some("open_or_create"),
        })
    }
}

/// True if the rings of an owner with this resize limit have spare arrays.
fn has_spares(capacity: usize, limit: u64) -> bool {
    capacity < SPARE && limit >= SPARE as u64
}

/// Channels over rings.
impl ChannelFactory for Settings {
    type Sender = Sender;
    type Receiver = Receiver;

    fn capacity(&self) -> usize {
        self.capacity.unwrap_or(DEFAULT_CAPACITY)
    }

    fn insists(&self, hello: &Hello) -> u64 {
        match (hello.capacity, self.capacity) {
            (0, ours) => ours.unwrap_or(0) as u64,
            (asked, _) => {
                asked.checked_next_power_of_two().unwrap_or(asked).max(MIN_CAPACITY as u64)
            }
        }
    }

    fn extent(&self, capacity: usize, extra: u64) -> Option<Extent> {
        let is_valid =
            capacity.is_power_of_two() && (MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity);
        is_valid.then(|| Layout::extent(capacity, has_spares(capacity, extra)))
    }

    /// The most bytes to which a ring is resized. One with a capacity from the address keeps it.
    fn extra(&self) -> u64 {
        self.capacity.unwrap_or(DEFAULT_LIMIT) as u64
    }

    fn halves(
        &self,
        region: Region,
        capacity: usize,
        side: Side,
    ) -> io::Result<(Sender, Receiver)> {
        let layout = Layout::over(region.map(), capacity, has_spares(capacity, side.extra))?;
        // With `trust=same-user` messages of this user's processes are read in place.
        let in_place = self.trusting && side.uid == user();
        // An owner cannot make an opener reserve more than the opener's own limit.
        let limit =
            usize::try_from(side.extra).unwrap_or(usize::MAX).min(DEFAULT_LIMIT.max(capacity));
        Ok(halves(&layout, side.link, side.role, side.ready, in_place, limit))
    }
}
