//! The layout of a queue's memory.
//!
//! | offset | contents |
//! |---|---|
//! | 0 | the geometry, written before the memory is published |
//! | 64 | the state, which hardly ever changes; the reservation of a sender |
//! | 128 | the senders' lock and what it protects: `TAKEN`, counts, waiters for messages |
//! | 256 | the receivers' lock and what it protects: `SORTED`, counts, waiters for room |
//! | 320 | the list of each priority: its first and its last message that was sorted in |
//! | 832, 896 | the waiting slots, a bit each |
//! | 960 | per priority the number of messages sent, each on a cache line of its own |
//! | 928 | the last lease's number, the count of dead messages |
//! | 3072 | the name of the queue for dead messages |
//! | 3328 | the participant slots, 64 bytes each |
//! | then | the chunks, 128 bytes each |
//! | then | the records, 16 bytes for each chunk: its link, and the message that begins with it |
//! | then | the order of the chunks, 4 bytes each |
//! | then | what is held back, 24 bytes for each chunk; not in a channel's queue |
//! | then | a heap of the held messages, the earliest end first, 4 bytes for each chunk; as above |
//! | then | the text of `alloc_lpsz` and a NUL |
//!
//! *The order* is a ring that names each chunk once. Three positions divide it. Senders take chunks
//! at `TAKEN`; the one store that moves it adds a message. Receivers find new messages at `SORTED`,
//! in the order in which they were sent, and move them into the list of their priority. Chunks that
//! come back are written at `RETURNED`, which is as far behind `SORTED` as there are chunks in
//! lists. The chunks between `TAKEN` and `RETURNED` are free.
//!
//! A receiver checks whether a message above the lists' highest priority came, and sorts only then,
//! or when the lists are empty. So receivers do not disturb the senders of messages that can wait.
//!
//! A queue with one priority has no lists: the one store that moves `SORTED` over a message takes
//! it off and gives its chunks back, and there is no `RETURNED`. Chunks come back in the order of
//! their numbers, and the queue is a plain ring of them. The first lease or delay turns it into a
//! queue with one list, see `hold`, and sets `state::TIMED`.
//!
//! *Held back* is a message that is leased or waits for its time: its first chunk names its holder.
//! It is in no list; where a death left it in one, that it is held is what counts.
//!
//! *Authoritative* are `TAKEN`, `SORTED`, the order between them, the first message of each list,
//! the links that follow from it, the holders of messages that are held back, and their times.
//! All other words are derived from these, and a repair computes them anew. A link is a chunk's
//! number plus 1; 0 is none. A place of the order holds the chunk's number XOR its own number, so
//! that an empty queue is all zero behind its geometry.
//!
//! The records lie apart from the chunks so that adjacent chunks are copied at once, and a message
//! that fits into a cache line takes one.

use anyipc_core::{Full, MAX_ATTEMPTS, MAX_PRIORITIES};
use anyipc_memory::{ParticipantSlots, Region, SLOT_HEADER};

use crate::dead::{DeadName, NAME_BYTES};

/// The version of this layout.
pub(crate) const LAYOUT: u32 = 5;

/// Bytes of a chunk.
pub(crate) const CHUNK: usize = 128;
/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;
/// The fewest chunks of a queue.
pub(crate) const MIN_CHUNKS: u32 = 8;
/// The most chunks of any queue: 32 GiB, so that positions, which count to twice as many, fit into
/// 32 bits.
const MAX_POSITIONS: u32 = 1 << 28;
/// The most chunks of a queue that this program makes: 1 GiB where addresses have 32 bits. It opens
/// larger ones, too, as far as they can be mapped.
pub(crate) const MAX_CHUNKS: u32 = if usize::BITS < 64 { 1 << 23 } else { MAX_POSITIONS };
/// Bytes of the longest message of any queue: lengths are stored in 32 bits.
pub(crate) const MAX_LEN: usize = u32::MAX as usize;
/// The most participant slots: one for each bit of the waiting ones.
pub(crate) const MAX_SLOTS: u32 = 256;

/// Offsets of the geometry.
mod plan {
    pub(super) const LAYOUT: usize = 0;
    pub(super) const PRIORITIES: usize = 4;
    pub(super) const FULL: usize = 8;
    pub(super) const SLOTS: usize = 12;
    pub(super) const CHUNKS: usize = 16;
    pub(super) const ATTEMPTS: usize = 20;
    pub(super) const LONGEST: usize = 24;
    pub(super) const TEXT: usize = 32;
    pub(super) const LEASES: usize = 40;
    pub(super) const END: usize = 44;
}

/// Offsets of the words that change with each message. The words of each lock lie on a cache line
/// of their own, beside the lock.
pub(crate) mod hot {
    /// See `store::state`.
    pub(crate) const STATE: usize = 64;
    /// See `reservation` (u64). A repair leaves it as it is.
    pub(crate) const RESERVATION: usize = 72;
    /// The locks of senders and of receivers.
    pub(crate) const LOCK: [usize; 2] = [128, 256];
    /// How many slots wait for messages, and for room.
    pub(crate) const WAITING: [usize; 2] = [168, 296];
    /// The slot that was woken last: the next one is searched behind it.
    pub(crate) const WOKEN: [usize; 2] = [172, 300];

    /// `RETURNED` as the senders last saw it.
    pub(crate) const KNOWN_RETURNED: usize = 132;
    /// Position up to which chunks were taken.
    pub(crate) const TAKEN: usize = 136;
    /// The number of messages sent so far.
    pub(crate) const SENT: usize = 140;
    /// Bytes of all messages sent so far (u64).
    pub(crate) const SENT_BYTES: usize = 144;
    /// Messages dropped so far (u64).
    pub(crate) const DROPPED: usize = 152;
    /// Messages sent with a delay so far, less those that the receivers count in `DELAYED_DONE`.
    pub(crate) const DELAYED_SENT: usize = 160;

    /// `TAKEN` as the receivers last saw it.
    pub(crate) const KNOWN_TAKEN: usize = 260;
    /// Position up to which messages were sorted in; without lists, up to which they were taken
    /// off.
    pub(crate) const SORTED: usize = 264;
    /// Position up to which chunks were given back. Unused without lists: `SORTED` is the same.
    pub(crate) const RETURNED: usize = 268;
    /// The number of messages taken off so far.
    pub(crate) const RECEIVED: usize = 272;
    /// A bit per list that has messages.
    pub(crate) const NONEMPTY: usize = 276;
    /// Bytes of all messages taken off so far (u64).
    pub(crate) const RECEIVED_BYTES: usize = 280;
    /// The earliest end of a held message (u64), 0 if there is none.
    pub(crate) const DUE: usize = 288;
    /// The number of held messages: places of the heap.
    pub(crate) const HELD: usize = 304;
    /// Those of them that are leased.
    pub(crate) const LEASED: usize = 308;
    /// Delays that ended, less retries that began one.
    pub(crate) const DELAYED_DONE: usize = 312;
    /// The number of the last lease (u64). A repair leaves it as it is.
    pub(crate) const LAST_LEASE: usize = 928;
    /// Messages without an attempt left so far (u64).
    pub(crate) const DEAD: usize = 936;
    /// The value of `DUE` that sleeping receivers were told last (u64). Written without a lock: a
    /// race costs a wake-up.
    pub(crate) const TOLD: usize = 944;
}

/// The list of each priority.
const LISTS: usize = 320;
/// The bits of the waiting slots, for messages and for room.
const BITS: [usize; 2] = [832, 896];
/// The number of messages sent so far, per priority; the lowest is not counted.
const SENT_OF: usize = 960;
/// The name of the queue for dead messages.
const DEAD_NAME: usize = 3072;
/// The slots.
const SLOTS: usize = 3328;
/// Bytes of a slot.
const STRIDE: usize = 64;

/// Offsets in a slot, behind the header of [`ParticipantSlots`].
pub(crate) mod slot {
    use super::SLOT_HEADER;
    /// The word that a thread sleeps on: counts the wake-ups of the slot.
    pub(crate) const WAKE: usize = SLOT_HEADER;
    /// 1 if the holder sleeps on a source, not on the word: a wake FIFO or the channel's socket
    /// wakes it.
    pub(crate) const ON_SOURCE: usize = SLOT_HEADER + 4;
    /// The number of free chunks that it waits for.
    pub(crate) const WANTS: usize = SLOT_HEADER + 8;
}

/// Bytes of a record.
pub(crate) const RECORD: usize = 16;

/// Offsets in a chunk's record. All but the link belong to the message that begins with the chunk.
pub(crate) mod record {
    /// Bytes of the message.
    pub(crate) const LEN: usize = 0;
    /// Its flags in the lowest 8 bits, its priority in the next 8, how often it was leased in the
    /// next 15, and [`DELAYED`].
    pub(crate) const KIND: usize = 4;
    /// It was sent with a delay.
    pub(crate) const DELAYED: u32 = 1 << 31;
    /// The lowest bit of the attempts.
    pub(crate) const ATTEMPTS: u32 = 16;
    /// The next message of the list.
    pub(crate) const NEXT_MESSAGE: usize = 8;
    /// The next chunk of the message.
    pub(crate) const LINK: usize = 12;
}

/// Bytes of what is held back, per chunk.
pub(crate) const HOLD: usize = 24;

/// Offsets in what is held back. They belong to the message that begins with the chunk.
pub(crate) mod hold {
    /// When it ends (u64), in nanoseconds of the machine's clock; at least 1.
    pub(crate) const DUE: usize = 0;
    /// The number of the lease (u64). Orders what ends at the same time.
    pub(crate) const NUMBER: usize = 8;
    /// 0 if the message is not held. Otherwise the owner id of the handle that leased it, or
    /// `DETACHED` or `DELAYED`, which are no owner ids.
    pub(crate) const HOLDER: usize = 16;
    /// The message's place in the heap.
    pub(crate) const PLACE: usize = 20;
    /// Leased by no handle: only time ends it.
    pub(crate) const DETACHED: u32 = 1 << 31 | 1;
    /// Not leased: it waits for its time.
    pub(crate) const DELAYED: u32 = 1 << 31 | 2;
}

/// The number of chunks that a message takes.
#[inline]
pub(crate) const fn chunks_for(len: usize) -> u32 {
    if len <= CHUNK { 1 } else { len.div_ceil(CHUNK) as u32 }
}

/// The longest message that this many chunks hold.
pub(crate) const fn longest_in(chunks: u32) -> usize {
    let bytes = chunks as u64 * CHUNK as u64;
    if bytes < MAX_LEN as u64 { bytes as usize } else { MAX_LEN }
}

/// The dimensions of a queue. Fixed when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    pub(crate) priorities: u32,
    pub(crate) full: Full,
    pub(crate) slots: u32,
    pub(crate) chunks: u32,
    /// Bytes of the longest message.
    pub(crate) longest: usize,
    /// Bytes of the text and its NUL; 0 without one.
    pub(crate) text: usize,
    /// It has the area of held messages: all but the queues of channels.
    pub(crate) leases: bool,
    /// How often a message is leased at most; 0 for any number.
    pub(crate) attempts: u32,
    /// The queue for dead messages.
    pub(crate) dead: Option<DeadName>,
}

impl Geometry {
    /// Bytes of chunks.
    pub(crate) fn capacity(&self) -> u64 {
        u64::from(self.chunks) * CHUNK as u64
    }

    /// Where the first chunk lies.
    pub(crate) fn first_chunk(&self) -> usize {
        SLOTS + self.slots as usize * STRIDE
    }

    /// Where the first record lies. This and the next offsets are inside memory of at least
    /// [`size`](Self::size) bytes.
    pub(crate) fn first_record(&self) -> usize {
        self.first_chunk() + self.chunks as usize * CHUNK
    }

    /// Where the order begins.
    pub(crate) fn order_at(&self) -> usize {
        self.first_record() + self.chunks as usize * RECORD
    }

    /// Chunks with an area of held messages.
    fn holds(&self) -> u32 {
        if self.leases { self.chunks } else { 0 }
    }

    /// Where the area of held messages begins.
    pub(crate) fn holds_at(&self) -> usize {
        (self.order_at() + self.chunks as usize * 4).next_multiple_of(8)
    }

    /// Where the heap begins.
    pub(crate) fn heap_at(&self) -> usize {
        self.holds_at() + self.holds() as usize * HOLD
    }

    /// Where the text lies.
    pub(crate) fn text_at(&self) -> usize {
        (self.heap_at() + self.holds() as usize * 4).next_multiple_of(8)
    }

    /// Bytes of the whole memory. `None` if that overflows.
    pub(crate) fn size(&self) -> Option<usize> {
        let chunks = u64::from(self.chunks) * (CHUNK + RECORD + 4) as u64;
        let holds_at = (self.first_chunk() as u64 + chunks).next_multiple_of(8);
        let holds = u64::from(self.holds()) * (HOLD + 4) as u64;
        let text_at = (holds_at + holds).next_multiple_of(8);
        usize::try_from(text_at).ok()?.checked_add(self.text)
    }

    pub(crate) fn participant_slots(&self) -> ParticipantSlots {
        ParticipantSlots { start: SLOTS, stride: STRIDE, count: self.slots }
    }

    /// Where a field of a slot lies.
    #[inline]
    pub(crate) fn slot(&self, number: u32, field: usize) -> usize {
        SLOTS + number as usize * STRIDE + field
    }

    /// The first bytes of the memory; the rest is zero.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let words =
            [LAYOUT, self.priorities, self.full as u32, self.slots, self.chunks, self.attempts];
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend((self.longest as u64).to_ne_bytes());
        bytes.extend((self.text as u64).to_ne_bytes());
        bytes.extend(u32::from(self.leases).to_ne_bytes());
        if let Some(dead) = &self.dead {
            bytes.resize(DEAD_NAME, 0);
            bytes.extend(dead.bytes());
        }
        bytes
    }

    /// Reads the memory, which may hold anything. `None` unless each field is valid and fits.
    pub(crate) fn read(region: &Region) -> Option<Self> {
        let mut bytes = [0; plan::END];
        if !region.load(0, &mut bytes) {
            return None;
        }
        let mut geometry = Self::decode(&bytes)?;
        let mut name = [0; NAME_BYTES];
        if !region.load(DEAD_NAME, &mut name) {
            return None;
        }
        geometry.dead = DeadName::read(name);
        (geometry.size()? <= region.len()).then_some(geometry)
    }

    /// The inverse of [`encode`](Self::encode), but for the name of the queue for dead messages.
    pub(crate) fn decode(bytes: &[u8; plan::END]) -> Option<Self> {
        let small = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let large =
            |at: usize| usize::try_from(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?)).ok();
        let geometry = Self {
            priorities: small(plan::PRIORITIES)?,
            full: Full::from_number(small(plan::FULL)?)?,
            slots: small(plan::SLOTS)?,
            chunks: small(plan::CHUNKS)?,
            longest: large(plan::LONGEST)?,
            text: large(plan::TEXT)?,
            leases: small(plan::LEASES)? == 1,
            attempts: small(plan::ATTEMPTS)?,
            dead: None,
        };
        let fits = small(plan::LAYOUT)? == LAYOUT
            && (1..=MAX_PRIORITIES).contains(&geometry.priorities)
            && (1..=MAX_SLOTS).contains(&geometry.slots)
            && (MIN_CHUNKS..=MAX_POSITIONS).contains(&geometry.chunks)
            && geometry.longest <= longest_in(geometry.chunks)
            && small(plan::LEASES)? <= 1
            && geometry.attempts <= MAX_ATTEMPTS;
        fits.then_some(geometry)
    }
}

/// Where a field of a priority's list lies.
#[inline]
pub(crate) const fn list(priority: u32, field: usize) -> usize {
    LISTS + priority as usize * 16 + field
}

/// Offsets in a list.
pub(crate) mod lists {
    /// The first message.
    pub(crate) const FIRST: usize = 0;
    /// The last one, if there is one.
    pub(crate) const LAST: usize = 4;
    /// The number sent so far when receivers last sorted.
    pub(crate) const KNOWN: usize = 8;
}

/// Where the messages of a priority are counted.
#[inline]
pub(crate) const fn sent_of(priority: u32) -> usize {
    SENT_OF + priority as usize * 64
}

/// Where the bits of 64 waiting slots of a kind lie.
#[inline]
pub(crate) const fn bits(kind: usize, word: u32) -> usize {
    BITS[kind] + word as usize * 8
}
