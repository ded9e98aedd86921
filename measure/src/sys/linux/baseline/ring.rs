//! Slots of one message each in shared memory, one ring each way. The first word of a message
//! publishes it: a message of 64 bytes and its publication are one cache line.

use std::hint::spin_loop;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::memory::Memory;
use super::wake::Wake;
use crate::Result;
use crate::baseline::Terms;
use crate::link::Link;
use crate::pattern::Pattern;
use crate::pattern::stream::CONFIRMATION;
use crate::payload::{Coverage, END, LAST, LINE, Received, SEQUENCE, check_rest, write_rest};

/// Bytes in flight of a stream: the fastest of the sizes tried.
const IN_FLIGHT: usize = 2 << 20;
/// Distance of words that different sides write.
const APART: usize = 128;
/// Bytes before the slots: the sleep words of both sides, then the counts of both readers.
const CONTROL: usize = 4 * APART;

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Driver,
    Peer,
}

/// One direction, as one of the sides sees it.
#[derive(Debug)]
struct Direction {
    /// Offset of the first slot.
    slots_at: usize,
    /// Distance of two slots.
    stride: usize,
    /// Number of slots. A single one is free again when the answer arrives.
    slots: u64,
    /// Offset of the word with the reader's count.
    read_at: usize,
    /// Messages that this side has sent or received.
    count: u64,
    /// The reader's count as it was last published or seen; at most `count`.
    read: u64,
}

impl Direction {
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
        let direction = |slots_at, slots, stride, read_at| Self {
            slots_at,
            stride,
            slots,
            read_at,
            count: 0,
            read: 0,
        };
        let there = direction(CONTROL, there.0, there.1, 2 * APART);
        let back = direction(there.end(), 1, back, 3 * APART);
        [there, back]
    }

    fn end(&self) -> usize {
        self.slots_at + self.slots as usize * self.stride
    }

    /// Offset of the next message.
    #[inline]
    fn slot(&self) -> usize {
        self.slots_at + (self.count % self.slots) as usize * self.stride
    }
}

/// The memory of both rings.
pub(super) fn memory(terms: &Terms) -> io::Result<OwnedFd> {
    let [_, back] = Direction::both(terms);
    let memory = memfd_create("anyipc-bench", MemfdFlags::CLOEXEC)?;
    ftruncate(&memory, back.end() as u64)?;
    Ok(memory)
}

/// One side of both rings.
#[derive(Debug)]
pub struct Ring {
    memory: Memory,
    out: Direction,
    back: Direction,
    wake: Wake,
    /// Offset of this side's sleep word.
    sleeps_at: usize,
    /// Offset of the other side's sleep word.
    other_sleeps_at: usize,
    /// Time to spin before sleeping; `None` without end.
    spin: Option<Duration>,
    checked: Coverage,
}

impl Ring {
    pub(super) fn new(terms: &Terms, side: Side, memory: &OwnedFd, wake: Wake) -> io::Result<Self> {
        let [there, back] = Direction::both(terms);
        let memory = Memory::map(memory, back.end())?;
        let (out, back, sleeps_at, other_sleeps_at) = match side {
            Side::Driver => (there, back, 0, APART),
            Side::Peer => (back, there, APART, 0),
        };
        let spin = terms.spin();
        let checked = terms.checked;
        Ok(Self { memory, out, back, wake, sleeps_at, other_sleeps_at, spin, checked })
    }

    #[inline]
    fn wake(&self) -> io::Result<()> {
        self.wake.wake(self.memory.half(self.other_sleeps_at))
    }

    /// Waits until the word at this offset is wanted, and returns it.
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
        /// Loads between two readings of the clock.
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
                self.wake.sleep(self.memory.half(self.sleeps_at), || look().is_some())?;
                if let Some(word) = look() {
                    return Ok(word);
                }
            }
        }
    }

    /// Gives the slots that were read back to the writer.
    fn publish_read(&mut self) -> io::Result<()> {
        self.back.read = self.back.count;
        self.memory.word(self.back.read_at).store(self.back.read, Ordering::Release);
        self.wake()
    }
}

impl Link for Ring {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<()> {
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
        Ok(self.wake()?)
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received> {
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
            check_rest(self.memory.bytes(slot + SEQUENCE, size - SEQUENCE), stamp, self.checked)?;
        self.back.count = due;
        if shared && due - self.back.read >= self.back.slots / 4 {
            self.publish_read()?;
        }
        Ok(received)
    }

    fn finish(mut self, size: usize) -> Result<()> {
        self.send(size, END)
    }
}
