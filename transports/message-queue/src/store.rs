//! A queue's memory, word by word. Any process of this user may have written the words: each is
//! checked before use, and a [`Region`] lets no access reach outside.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::*};

use anyipc_memory::Region;

use crate::layout::{CHUNK, Geometry, HOLD, LINE, RECORD, chunks_for, hot, list, lists, record};

/// The memory holds a value that no queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// A value that was checked, or the damage that the check found.
pub(crate) type Checked<T> = Result<T, Corrupt>;

/// Bits of the state word.
pub(crate) mod state {
    /// The only sender has left (channels).
    pub(crate) const SENDER_LEFT: u32 = 1;
    /// The only receiver has left (channels).
    pub(crate) const RECEIVER_LEFT: u32 = 2;
    /// A repair is due: the words that follow from the authoritative ones may be wrong.
    pub(crate) const DAMAGED: u32 = 4;
    /// Messages may be held back, and the queue has lists. Set for good by the first lease or
    /// delay, under both locks.
    pub(crate) const TIMED: u32 = 8;
}

/// Cache lines are fetched for the message this many messages ahead.
pub(crate) const AHEAD: u32 = 8;
/// At most this many bytes of it. The processor's own prefetcher takes over from there.
pub(crate) const FETCHED: usize = 2048;

/// The memory and its geometry.
#[derive(Debug)]
pub(crate) struct Store {
    region: Region,
    geometry: Geometry,
    first_chunk: usize,
    first_record: usize,
    order: usize,
    holds: usize,
    heap: usize,
    /// Apart from the rest: a reference to a type with a cell in it tells the compiler nothing
    /// about the other fields, and it would read the region's anew for each access.
    view: Box<View>,
    /// How many more stores succeed before a test's process "dies".
    #[cfg(test)]
    pub(crate) fuel: std::sync::atomic::AtomicU64,
}

/// What a store has noticed of the state.
#[derive(Debug)]
struct View {
    /// True if messages are sorted into lists.
    listed: Cell<bool>,
    /// `state::TIMED`.
    timed: Cell<bool>,
    /// The bits of the state that are still to be noticed: see `Store::is_stale`.
    noticed: Cell<u32>,
}

impl Store {
    /// Over memory of the geometry's size.
    pub(crate) fn new(region: Region, geometry: Geometry) -> Self {
        let store = Self {
            region,
            first_chunk: geometry.first_chunk(),
            first_record: geometry.first_record(),
            order: geometry.order_at(),
            holds: geometry.holds_at(),
            heap: geometry.heap_at(),
            view: Box::new(View {
                listed: Cell::new(geometry.priorities > 1),
                timed: Cell::new(false),
                noticed: Cell::new(state::DAMAGED | state::TIMED),
            }),
            geometry,
            #[cfg(test)]
            fuel: std::sync::atomic::AtomicU64::new(u64::MAX),
        };
        store.notice();
        store
    }

    /// True if the memory needs a repair, or is used in a way that this store has not noticed:
    /// then what it reads without a lock may be wrong, and an action takes both locks.
    #[inline]
    pub(crate) fn is_stale(&self) -> bool {
        self.get(hot::STATE) & self.view.noticed.get() != 0
    }

    /// Notices `state::TIMED`. Under both locks, or one of them while `TIMED` was set before it was
    /// taken.
    pub(crate) fn notice(&self) {
        if self.geometry.leases && self.has_state(state::TIMED) {
            self.view.listed.set(true);
            self.view.timed.set(true);
        }
        if self.view.timed.get() || !self.geometry.leases {
            self.view.noticed.set(state::DAMAGED);
        }
    }

    /// Forgets what it noticed: the memory is made anew.
    #[cfg(test)]
    pub(crate) fn forget(&self) {
        self.view.listed.set(self.geometry.priorities > 1);
        self.view.timed.set(false);
        self.view.noticed.set(state::DAMAGED | state::TIMED);
    }

    /// True if messages may be held back.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.view.timed.get()
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// The lock of the makers of messages (senders) or of room (receivers).
    #[inline]
    pub(crate) fn lock(&self, kind: usize) -> &AtomicU32 {
        self.region.u32(hot::LOCK[kind])
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> u32 {
        self.region.u32(at).load(Acquire)
    }

    /// Stores become visible in the order of the calls, as each is `Release`: a killed process
    /// leaves a prefix of them.
    #[inline]
    pub(crate) fn set(&self, at: usize, value: u32) {
        self.burn();
        self.region.u32(at).store(value, Release);
    }

    /// Stores 0 where there is something else.
    pub(crate) fn clear(&self, at: usize) {
        if self.get(at) != 0 {
            self.set(at, 0);
        }
    }

    #[inline]
    pub(crate) fn get_wide(&self, at: usize) -> u64 {
        self.region.u64(at).load(Acquire)
    }

    #[inline]
    pub(crate) fn set_wide(&self, at: usize, value: u64) {
        self.burn();
        self.region.u64(at).store(value, Release);
    }

    /// Stores two adjacent words at once; the first lies at a multiple of 8.
    #[inline]
    pub(crate) fn set_pair(&self, at: usize, first: u32, second: u32) {
        let (a, b) = (first.to_ne_bytes(), second.to_ne_bytes());
        self.set_wide(at, u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]));
    }

    #[cfg(not(test))]
    #[inline(always)]
    fn burn(&self) {}

    #[cfg(test)]
    fn burn(&self) {
        if self.fuel.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
            std::panic::resume_unwind(Box::new("killed"));
        }
    }

    /// The number of the chunk that a link leads to.
    #[inline]
    pub(crate) fn index(&self, link: u32) -> Checked<u32> {
        if link != 0 && link <= self.geometry.chunks { Ok(link - 1) } else { Err(Corrupt) }
    }

    /// Where a chunk lies.
    #[inline]
    pub(crate) fn chunk(&self, index: u32) -> usize {
        self.first_chunk + index as usize * CHUNK
    }

    /// The cache lines of the message [`AHEAD`] messages behind the one that ends with chunk
    /// `last`, if all messages between are as long as that one.
    #[inline]
    pub(crate) fn lines_ahead(&self, last: u32, len: usize) -> impl Iterator<Item = usize> {
        let ahead = last.saturating_add(1 + (AHEAD - 1) * chunks_for(len));
        let ahead = ahead.min(self.geometry.chunks - 1);
        let chunk = self.chunk(ahead);
        let payload = (0..len.min(FETCHED)).step_by(LINE).map(move |at| chunk + at);
        std::iter::once(self.record(ahead, 0)).chain(payload)
    }

    /// Where a field of a chunk's record lies.
    #[inline]
    pub(crate) fn record(&self, index: u32, field: usize) -> usize {
        self.first_record + index as usize * RECORD + field
    }

    /// The first message of a priority.
    #[inline]
    pub(crate) fn head(&self, priority: u32) -> u32 {
        self.get(list(priority, lists::FIRST))
    }

    /// The next chunk of a message.
    #[inline]
    pub(crate) fn next(&self, index: u32) -> Checked<u32> {
        if self.has_lists() {
            self.index(self.get(self.record(index, record::LINK)))
        } else if index + 1 < self.geometry.chunks {
            Ok(index + 1)
        } else {
            Ok(0)
        }
    }

    /// The position in a word. Positions count places of the order, modulo twice the order's
    /// length, so that a full order differs from an empty one.
    #[inline]
    pub(crate) fn position(&self, at: usize) -> Checked<u32> {
        let position = self.get(at);
        if position < 2 * self.geometry.chunks { Ok(position) } else { Err(Corrupt) }
    }

    /// The position `places` further on; `places` is at most the order's length.
    #[inline]
    pub(crate) fn forward(&self, position: u32, places: u32) -> u32 {
        let (end, on) = (2 * self.geometry.chunks, position + places);
        if on >= end { on - end } else { on }
    }

    /// The places between a position and a later one, at most the order's length.
    #[inline]
    pub(crate) fn distance(&self, from: u32, to: u32) -> Checked<u32> {
        let far = if to >= from { to - from } else { to + 2 * self.geometry.chunks - from };
        if far <= self.geometry.chunks { Ok(far) } else { Err(Corrupt) }
    }

    /// The place of the order at a position.
    #[inline]
    fn place(&self, position: u32) -> u32 {
        if position < self.geometry.chunks { position } else { position - self.geometry.chunks }
    }

    /// The chunk at a position.
    #[inline]
    pub(crate) fn ordered(&self, position: u32) -> Checked<u32> {
        let place = self.place(position);
        if !self.has_lists() {
            return Ok(place);
        }
        let index = self.get(self.order + place as usize * 4) ^ place;
        if index < self.geometry.chunks { Ok(index) } else { Err(Corrupt) }
    }

    /// Writes the chunk at a position.
    #[inline]
    pub(crate) fn order(&self, position: u32, index: u32) {
        let place = self.place(position);
        self.set(self.order + place as usize * 4, index ^ place);
    }

    /// Where a field of what is held back lies, for the message that begins with a chunk.
    #[inline]
    pub(crate) fn hold(&self, index: u32, field: usize) -> usize {
        self.holds + index as usize * HOLD + field
    }

    /// Where a place of the heap lies.
    pub(crate) fn heap(&self, place: u32) -> usize {
        self.heap + place as usize * 4
    }

    /// Makes the order that of a plain ring, which does not use it.
    pub(crate) fn clear_order(&self) {
        (0..self.geometry.chunks).for_each(|place| self.clear(self.order + place as usize * 4));
    }

    /// True if messages are sorted into lists. A queue with one priority has none before its first
    /// lease or delay.
    #[inline]
    pub(crate) fn has_lists(&self) -> bool {
        self.view.listed.get()
    }

    /// Where the position is stored up to which chunks were given back.
    #[inline]
    pub(crate) fn returned_at(&self) -> usize {
        if self.has_lists() { hot::RETURNED } else { hot::SORTED }
    }

    /// Chunks that are in no message. All of them if the positions are damaged: the caller then
    /// takes the lock and finds the damage.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        self.free_behind(self.returned_at()).unwrap_or(self.geometry.chunks)
    }

    /// The same, counted from the `returned` position that is stored at this offset.
    /// `KNOWN_RETURNED` spares senders a look at the receivers' cache line.
    #[inline]
    pub(crate) fn free_behind(&self, returned: usize) -> Checked<u32> {
        let used = self.distance(self.position(returned)?, self.position(hot::TAKEN)?)?;
        Ok(self.geometry.chunks - used)
    }

    /// True if there is no message. Reads the receivers' words first, and the senders' `TAKEN` only
    /// if those show none. Reads the lists again at the end: a receiver puts a message into a list
    /// before it moves `SORTED`.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let sorted = self.get(hot::SORTED);
        self.nonempty() == 0
            && self.get(hot::KNOWN_TAKEN) == sorted
            && self.get(hot::TAKEN) == sorted
            && self.nonempty() == 0
    }

    /// How many messages were sent, and received. Each send or receive changes it.
    pub(crate) fn tally(&self) -> (u32, u32) {
        (self.get(hot::SENT), self.get(hot::RECEIVED))
    }

    /// The number of messages and their bytes. Exact if no lock was held meanwhile, otherwise at
    /// most what a queue can hold.
    pub(crate) fn counts(&self) -> (u32, u64) {
        let (sent, received) = self.tally();
        let bytes = self.get_wide(hot::SENT_BYTES).wrapping_sub(self.get_wide(hot::RECEIVED_BYTES));
        let messages = sent.wrapping_sub(received).min(self.geometry.chunks);
        (messages, bytes.min(self.geometry.capacity()))
    }

    /// A bit per list that has messages.
    #[inline]
    pub(crate) fn nonempty(&self) -> u32 {
        let lists = if self.has_lists() { self.get(hot::NONEMPTY) } else { 0 };
        lists & (u32::MAX >> (32 - self.geometry.priorities))
    }

    /// Sets bits of the state word. Needs no lock.
    pub(crate) fn set_state(&self, bits: u32) {
        self.burn();
        self.region.u32(hot::STATE).fetch_or(bits, SeqCst);
    }

    pub(crate) fn clear_state(&self, bits: u32) {
        self.burn();
        self.region.u32(hot::STATE).fetch_and(!bits, SeqCst);
    }

    #[inline]
    pub(crate) fn has_state(&self, bits: u32) -> bool {
        self.get(hot::STATE) & bits != 0
    }
}
