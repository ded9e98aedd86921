use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_ring::robust::OwnerId;

use crate::region::Region;
use crate::segment::Segment;
use crate::sys::{generation, is_number_locked, try_lock_number, unlock_number};

/// Bytes of a slot that this crate uses: process (u32), turn (u32), 8 spare. The rest is its
/// holder's.
pub const SLOT_HEADER: usize = 16;
const PROCESS: usize = 0;
const TURN: usize = 4;

/// The place of the participant slots in a segment. A participant holds its slot until it leaves or
/// dies; each slot has a lock on the segment's file, so the kernel knows which are held.
#[derive(Debug, Clone, Copy)]
pub struct ParticipantSlots {
    /// The first slot's offset, a multiple of 8.
    pub start: usize,
    /// Bytes from one slot to the next, a multiple of 8 and [`SLOT_HEADER`] or more.
    pub stride: usize,
    /// How many there are, at most [`OwnerId::SLOTS`].
    pub count: u32,
}

impl ParticipantSlots {
    /// The offset of a slot.
    #[inline]
    pub fn at(&self, number: u32) -> usize {
        self.start + number as usize * self.stride
    }

    /// Times the slot was taken.
    #[inline]
    pub fn turn(&self, region: &Region, number: u32) -> u32 {
        region.u32(self.at(number) + TURN).load(Acquire)
    }

    /// 0 after its holder left. Otherwise it may be held, or its holder died: the number is for
    /// people, and another container may have another process of that number.
    fn process(&self, region: &Region, number: u32) -> u32 {
        region.u32(self.at(number) + PROCESS).load(Relaxed)
    }

    /// True if the holder with this owner id has left or died.
    pub fn is_dead(&self, memory: &Segment, region: &Region, owner: OwnerId) -> bool {
        let number = owner.slot();
        if number >= self.count || !owner.is_of(self.turn(region, number)) {
            return true;
        }
        // The kernel does not show an open file its own locks. In doubt the holder lives.
        !memory.own_slots().contains(&number)
            && !is_number_locked(memory.fd(), number).unwrap_or(true)
    }
}

/// A taken slot. Dropping it gives it back.
#[derive(Debug)]
pub struct ParticipantSlot {
    memory: Arc<Segment>,
    region: Region,
    slots: ParticipantSlots,
    number: u32,
    owner_id: OwnerId,
    generation: u32,
}

impl ParticipantSlot {
    /// Takes a free slot of those that lie in this part of the memory.
    ///
    /// # Errors
    /// `OutOfMemory` if there is none.
    pub fn take(
        memory: &Arc<Segment>,
        region: &Region,
        slots: ParticipantSlots,
        operation: Operation,
    ) -> Result<Self> {
        // First the slots that were given back: the others may be taken or a dead holder's, which
        // costs a system call each.
        for dead_too in [false, true] {
            for number in 0..slots.count {
                if dead_too != (slots.process(region, number) != 0) {
                    continue;
                }
                let mut ours = memory.own_slots();
                if ours.contains(&number) || !try_lock_number(memory.fd(), number).unwrap_or(false)
                {
                    continue;
                }
                ours.insert(number);
                if dead_too {
                    // Before the turn: a waker that knows the turn finds no wake FIFO of the dead.
                    memory.remove_wake_fifo(number);
                }
                let turn = slots.turn(region, number).wrapping_add(1);
                region.u32(slots.at(number) + TURN).store(turn, Release);
                region.u32(slots.at(number) + PROCESS).store(process::id(), Relaxed);
                return Ok(Self {
                    memory: Arc::clone(memory),
                    region: region.clone(),
                    slots,
                    number,
                    owner_id: OwnerId::new(number, turn),
                    generation: generation(),
                });
            }
        }
        Err(Error::new(operation, ErrorKind::OutOfMemory)
            .because(format!("all of its {} handles are in use; close some", slots.count)))
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The holder's id in locks.
    pub fn owner_id(&self) -> OwnerId {
        self.owner_id
    }
}

impl Drop for ParticipantSlot {
    fn drop(&mut self) {
        if self.generation == generation() {
            self.region.u32(self.slots.at(self.number) + PROCESS).store(0, Relaxed);
            let mut ours = self.memory.own_slots();
            ours.remove(&self.number);
            unlock_number(self.memory.fd(), self.number);
        }
    }
}
