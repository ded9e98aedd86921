//! What works in memory that processes share, without an operating system: a ring for one producer
//! and one consumer, locks that survive their owners ([`robust`], …), the bits that tell which of
//! many rings has something ([`ready`]), and racing copies of words ([`words`]). All of it is
//! generic over its storage, has no unsafe code, and is explored by loom.
//!
//! An internal crate: it follows no semantic versioning. Use a transport.
//!
//! # The ring
//!
//! The ring is an array of 64-byte lines. Positions count lines since the beginning and only grow;
//! a position modulo the number of lines is an index. A record begins on a line: eight bytes of
//! header, then the payload, contiguous, over as many lines as it takes. A record that would not
//! fit before the end of the array is preceded by padding up to the end.
//!
//! Invariants:
//!
//! - *The header word is the publication.* The producer stores it last (release), the consumer
//!   polls it in place (acquire), so that a small message and its notification travel in one cache
//!   line.
//! - *The word after the last record is zero.* Before a record is published, the header word of the
//!   line behind it is zero, so that old payload is never taken for a header. It is cleared ahead,
//!   for another record of the same length, after the publication, when no one waits for it.
//! - *Lines from `head` to the end of the last record belong to the consumer, all others to the
//!   producer.* The consumer releases lines by storing `head`, lazily: an eighth of the ring at a
//!   time, or when it finds nothing more to do. The producer re-reads `head` only when it runs out
//!   of lines.
//! - *Two lines stay free behind each record*, for an offer and a move.
//! - *Each side trusts its own cursor only* and checks what the other side wrote before using it. A
//!   hostile peer can make a call fail with `Corrupt`, never reach outside the array.
//!
//! # Resizing
//!
//! A ring can move to a larger array. The producer offers it by a record ([`Producer::offer`]), the
//! consumer maps it and replies in its state word ([`Consumer::accept_offer`]). Only then does the
//! producer's last record in the old array say that both go on in the new one, with the same
//! control words and the same positions ([`Producer::move_to`], [`Consumer::follow`]).
//!
//! # Sleeping
//!
//! The side that publishes checks whether the other side sleeps, and the side that is about to
//! sleep checks whether something was published: each needs a full fence between its store and its
//! load, or both may miss the other ([`state`]). A fence waits until the record's lines have
//! arrived from the consumer's cache, for each record. Therefore a consumer on x86 that keeps
//! polling says that the producer needs no fence ([`state::UNFENCED`]), takes that back when
//! nothing has come for some microseconds, and sleeps no sooner than 20 µs later, when each record
//! that was published without a fence has long been visible: a store leaves its processor's buffer
//! within a few microseconds, interrupts included (Morrison and Afek, *Temporally Bounding TSO for
//! Fence-Free Asymmetric Synchronization*, ASPLOS 2015). If one ever takes longer, the caller's
//! sleep must end by itself: it is cut into slices. (`membarrier(2)`, which is made for this, does
//! not reach processors that idled in the sender's address space when that was registered.)
//!
//! No such bound is published for other processors. There the consumer never says so, and the
//! producer does not heed it: it fences each publication. All orderings, and why they suffice on
//! x86, ARMv8 and ARMv7, are in `docs/design/ring.md` of the repository.
#![cfg_attr(not(loom), forbid(unsafe_code))]

pub mod barrier;
mod bits;
pub mod cells;
pub mod condvar;
mod consumer;
pub mod event;
#[cfg(test)]
mod lock_tests;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, loom))]
mod modelled;
#[cfg(all(test, not(loom)))]
mod mortal;
pub mod mutex;
pub mod once;
mod primitive;
mod producer;
pub mod ready;
mod record;
pub mod robust;
pub mod rwlock;
pub mod semaphore;
#[cfg(all(test, not(loom)))]
mod signal_tests;
#[cfg(all(test, not(loom)))]
mod sleeper;
pub mod state;
mod storage;
#[cfg(all(test, not(loom)))]
mod tests;
pub mod wait_set;
pub mod words;

pub use consumer::{Consumer, Next};
pub use producer::{Producer, Pushed, Refused};
pub use state::Wake;
pub use storage::{BLOCK, HEADER, LINE, Storage};
