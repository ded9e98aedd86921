//! Slots of one message each in shared memory, one ring each way. The first word of a message is its publication:
//! a message of 64 bytes and the news of it are one cache line.

use std::hint::spin_loop;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::Terms;
use super::bell::Bell;
use super::memory::Memory;
use crate::bench::link::{Failure, Link, Received};
use crate::bench::pattern::Pattern;
use crate::bench::pattern::stream::CONFIRMATION;
use crate::bench::payload::{END, LAST, SEQUENCE, Verify, check_rest, write_rest};

/// Bytes in flight of a stream: fewer or more are slower.
const IN_FLIGHT: usize = 2 << 20;
/// Words that the two sides write lie this far apart.
const APART: usize = 128;
/// Control words before the slots: who sleeps, and how far each reader is.
const CONTROL: usize = 4 * APART;
const LINE: usize = 64;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Driver,
    Peer,
}

/// One direction.
#[derive(Debug)]
struct Way {
    /// Where its slots begin, and how far they are apart.
    slots_at: usize,
    stride: usize,
    /// With a single one the answer tells that it is free.
    slots: u64,
    /// Where the reader says how far it is.
    read_at: usize,
    /// Messages so far.
    count: u64,
    /// The reader's place as it was last published or seen.
    read: u64,
}

impl Way {
    /// Driver to peer, and peer to driver.
    fn both(terms: &Terms) -> [Self; 2] {
        let stride = |size: usize| size.next_multiple_of(LINE);
        let (there, back) = match terms.pattern {
            Pattern::RoundTrip => ((1, stride(terms.size)), stride(terms.size)),
            Pattern::Stream => {
                let stride = stride(terms.size);
                (((IN_FLIGHT / stride).max(2) as u64, stride), CONFIRMATION)
            }
        };
        let way = |slots_at, slots, stride, read_at| Self {
            slots_at,
            stride,
            slots,
            read_at,
            count: 0,
            read: 0,
        };
        let there = way(CONTROL, there.0, there.1, 2 * APART);
        let back = way(there.end(), 1, back, 3 * APART);
        [there, back]
    }

    fn end(&self) -> usize {
        self.slots_at + self.slots as usize * self.stride
    }

    /// Where the next message lies.
    #[inline]
    fn slot(&self) -> usize {
        self.slots_at + (self.count % self.slots) as usize * self.stride
    }
}

/// The memory that both sides share.
pub(super) fn memory(terms: &Terms) -> io::Result<OwnedFd> {
    let [_, back] = Way::both(terms);
    let memory = memfd_create("anyipc-bench", MemfdFlags::CLOEXEC)?;
    ftruncate(&memory, back.end() as u64)?;
    Ok(memory)
}

/// One side of both rings.
#[derive(Debug)]
pub(in crate::bench) struct Ring {
    memory: Memory,
    out: Way,
    back: Way,
    bell: Bell,
    /// Where this side, and the other one, say that they sleep.
    sleeps_at: usize,
    other_sleeps_at: usize,
    spin: Option<Duration>,
    verify: Verify,
}

impl Ring {
    pub(super) fn new(terms: &Terms, side: Side, memory: &OwnedFd, bell: Bell) -> io::Result<Self> {
        let [there, back] = Way::both(terms);
        let memory = Memory::map(memory, back.end())?;
        let (out, back, sleeps_at, other_sleeps_at) = match side {
            Side::Driver => (there, back, 0, APART),
            Side::Peer => (back, there, APART, 0),
        };
        let spin = terms.spin();
        Ok(Self { memory, out, back, bell, sleeps_at, other_sleeps_at, spin, verify: terms.verify })
    }

    #[inline]
    fn ring(&self) -> io::Result<()> {
        self.bell.ring(self.memory.half(self.other_sleeps_at))
    }

    /// Waits until the word there is as wanted, and returns it.
    #[inline]
    fn wait(&self, offset: usize, wanted: impl Fn(u64) -> bool) -> io::Result<u64> {
        let word = self.memory.word(offset);
        let look = || Some(word.load(Ordering::Acquire)).filter(|word| wanted(*word));
        match look() {
            Some(word) => Ok(word),
            None => self.wait_long(look),
        }
    }

    fn wait_long(&self, look: impl Fn() -> Option<u64>) -> io::Result<u64> {
        /// Looks between two readings of the clock.
        const LOOKS: u32 = 16;
        let until = self.spin.map(|spin| Instant::now() + spin);
        loop {
            if until.is_none_or(|until| Instant::now() < until) {
                for _ in 0..LOOKS {
                    spin_loop();
                    if let Some(word) = look() {
                        return Ok(word);
                    }
                }
            } else {
                self.bell.sleep(self.memory.half(self.sleeps_at), || look().is_some())?;
                if let Some(word) = look() {
                    return Ok(word);
                }
            }
        }
    }

    /// Lets the writer use what was read.
    fn publish_read(&mut self) -> io::Result<()> {
        self.back.read = self.back.count;
        self.memory.word(self.back.read_at).store(self.back.read, Ordering::Release);
        self.ring()
    }
}

impl Link for Ring {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        let out = &self.out;
        if out.slots > 1 && out.count - out.read == out.slots {
            let (slots, count) = (out.slots, out.count);
            self.out.read = self.wait(out.read_at, |read| count - read < slots)?;
        }
        let slot = self.out.slot();
        write_rest(self.memory.bytes(slot + SEQUENCE, size - SEQUENCE), stamp);
        self.out.count += 1;
        let flags = stamp & (LAST | END);
        self.memory.word(slot).store(self.out.count | flags, Ordering::Release);
        Ok(self.ring()?)
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        let (slot, due) = (self.back.slot(), self.back.count + 1);
        let arrived = |word: u64| word & !(LAST | END) == due;
        let shared = self.back.slots > 1;
        if shared
            && self.back.read != self.back.count
            && !arrived(self.memory.word(slot).load(Ordering::Acquire))
        {
            self.publish_read()?;
        }
        let word = self.wait(slot, arrived)?;
        let stamp = if word & END != 0 { END } else { expected | (word & LAST) };
        let received =
            check_rest(self.memory.bytes(slot + SEQUENCE, size - SEQUENCE), stamp, self.verify)?;
        self.back.count = due;
        if shared && due - self.back.read >= self.back.slots / 4 {
            self.publish_read()?;
        }
        Ok(received)
    }

    fn finish(mut self, size: usize) -> Result<(), Failure> {
        self.send(size, END)
    }
}
