//! How much each participant has of something: a cell for each slot, with the owner id of its
//! holder and a count. What the dead have is known by their ids, and counts as nothing.
//!
//! Only the holder of a slot changes its cell, but for the cells of the dead, which anyone clears
//! by a compare-and-swap. All orderings are `SeqCst`: users look at another word right after.

use crate::bits::set_bits;
use crate::primitive::{AtomicU64, Ordering::SeqCst};
use crate::robust::{LockBackend, OwnerId};

/// The cells of an object. All words start as zero.
pub trait Cells {
    /// How many there are: one for each slot.
    fn count(&self) -> u32;
    /// The cell of a slot, which is below [`count`](Self::count).
    fn cell(&self, slot: u32) -> &AtomicU64;
    /// The cell of the participant that uses this.
    #[inline]
    fn own(&self, own_id: OwnerId) -> &AtomicU64 {
        self.cell(own_id.slot())
    }
    /// A bit for each of the slots `64 * index` and up: true once a holder of it has joined. The
    /// other cells need no look.
    fn joined(&self, index: u32) -> &AtomicU64;
}

/// The owner id stands in the upper half.
const fn owner_bits(cell: u64) -> u32 {
    (cell >> 32) as u32
}

/// What a cell says that its holder has.
#[must_use]
pub const fn amount(cell: u64) -> u32 {
    cell as u32
}

/// A cell of this holder.
const fn of(own_id: OwnerId, amount: u32) -> u64 {
    (own_id.bits() as u64) << 32 | amount as u64
}

/// Makes the cell of a slot that of its present holder, which has nothing yet. Again and again it
/// changes nothing.
pub fn join(cells: &impl Cells, own_id: OwnerId) {
    cells.joined(own_id.slot() / 64).fetch_or(1 << (own_id.slot() % 64), SeqCst);
    let cell = cells.cell(own_id.slot());
    let mut now = cell.load(SeqCst);
    while owner_bits(now) != own_id.bits() {
        match cell.compare_exchange(now, of(own_id, 0), SeqCst, SeqCst) {
            Ok(_) => return,
            Err(changed) => now = changed,
        }
    }
}

/// The holder has this much more.
#[inline]
pub fn add(cells: &impl Cells, own_id: OwnerId, more: u32) {
    let cell = cells.own(own_id);
    let before = cell.fetch_add(u64::from(more), SeqCst);
    if owner_bits(before) != own_id.bits() {
        mend(cell, own_id, more);
    }
}

/// Another process wrote over it.
#[cold]
fn mend(cell: &AtomicU64, own_id: OwnerId, amount: u32) {
    cell.store(of(own_id, amount), SeqCst);
}

/// The holder has this much less. Returns what it still has.
#[inline]
pub fn remove(cells: &impl Cells, own_id: OwnerId, less: u32) -> u32 {
    let before = cells.own(own_id).fetch_sub(u64::from(less), SeqCst);
    // Less than nothing: another process wrote over it, and the next `add` mends it.
    amount(before).saturating_sub(less)
}

/// What each participant has that has something. `looks`: the dead have nothing, and their cells
/// are cleared, for the price of a system call each.
#[inline]
pub fn held(
    cells: &impl Cells,
    looks: bool,
    backend: &impl LockBackend,
) -> impl Iterator<Item = u32> {
    (0..cells.count().div_ceil(64))
        .flat_map(move |index| set_bits(index, cells.joined(index).load(SeqCst)))
        .filter(|slot| *slot < cells.count())
        .map(move |slot| {
            let now = cells.cell(slot).load(SeqCst);
            match amount(now) {
                0 => 0,
                _ if looks => held_by_living(cells, slot, now, backend),
                amount => amount,
            }
        })
        .filter(|amount| *amount != 0)
}

#[cold]
fn held_by_living(cells: &impl Cells, slot: u32, now: u64, backend: &impl LockBackend) -> u32 {
    let lives = OwnerId::from_bits(owner_bits(now))
        .is_some_and(|owner| owner.slot() == slot && !backend.is_dead(owner));
    if lives {
        return amount(now);
    }
    // A cell that has changed is a new holder's.
    match cells.cell(slot).compare_exchange(now, 0, SeqCst, SeqCst) {
        Ok(_) => 0,
        Err(changed) => amount(changed),
    }
}
