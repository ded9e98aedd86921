use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyipc_ring::ready;

use crate::region::Region;
use crate::sys::{self, Fd, Map};

/// Where the bits begin: behind the owner's waiting word, on other cache lines.
const BITS: usize = 128;
/// As many as fill the smallest page.
const WORDS: usize = 496;

/// Bytes of the memory: whole pages.
fn size() -> usize {
    (BITS + 8 * WORDS).next_multiple_of(sys::page_size())
}

/// One bit per connected sender, set after it has sent: the inbox receives from those only. The
/// bits are hints that any sender can forge, so the inbox checks all channels every 100 ms.
#[derive(Debug)]
pub(crate) struct ReadyPage {
    fd: Fd,
    page: Page,
    taken: Arc<Mutex<Vec<bool>>>,
}

/// The page as both sides see it.
#[derive(Debug, Clone)]
struct Page(Region);

impl Page {
    fn map(fd: &Fd) -> io::Result<Self> {
        Ok(Self(Region::whole(Map::new(fd, size())?)))
    }

    /// 1 while the owner sleeps until a doorbell byte.
    fn waiting(&self) -> &AtomicU32 {
        self.0.u32(0)
    }

    /// The word with the bits of 64 slots.
    fn word(&self, index: usize) -> &AtomicU64 {
        self.0.u64(BITS + 8 * index)
    }
}

impl ReadyPage {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = sys::anonymous(size(), size())?;
        let page = Page::map(&fd)?;
        Ok(Self { fd, page, taken: Arc::default() })
    }

    /// A free slot for one more sender. `None` if all are taken: then the sender has none.
    pub(crate) fn take_slot(&self) -> Option<ReadySlot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = taken.iter().position(|t| !t).unwrap_or(taken.len());
        if slot >= WORDS * 64 {
            return None;
        }
        if slot == taken.len() {
            taken.push(true);
        } else {
            taken[slot] = true;
        }
        Some(ReadySlot {
            page: self.page.clone(),
            slot: slot as u32,
            taken: Some(Arc::clone(&self.taken)),
        })
    }

    /// The descriptor for the senders.
    pub(crate) fn fd(&self) -> &Fd {
        &self.fd
    }

    /// The words with bits that were ever handed out. What a peer writes into the others is
    /// ignored.
    fn used(&self) -> impl Iterator<Item = &AtomicU64> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).len();
        (0..taken.div_ceil(64)).map(|index| self.page.word(index))
    }

    /// Takes all set bits. That of `keep` stays if it is set: its sender then only reads the word.
    pub(crate) fn take(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) {
        for (index, word) in self.used().enumerate() {
            let kept =
                keep.filter(|slot| slot / 64 == index as u64).map_or(0, |slot| 1 << (slot % 64));
            let mut bits = ready::take(word, kept);
            while bits != 0 {
                visit(index as u64 * 64 + u64::from(bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
    }

    /// Sets the bit of a sender that is gone.
    pub(crate) fn mark(&self, slot: u32) {
        self.page.word(slot as usize / 64).fetch_or(1 << (slot % 64), Ordering::SeqCst);
    }

    /// Notes that the owner sleeps until a sender's doorbell byte. False if a bit is set now.
    pub(crate) fn arm(&self) -> bool {
        ready::arm(self.page.waiting(), self.used())
    }
}

/// One sender's bit.
#[derive(Debug)]
pub struct ReadySlot {
    page: Page,
    slot: u32,
    /// On the owner's side: where the slot is given back.
    taken: Option<Arc<Mutex<Vec<bool>>>>,
}

impl ReadySlot {
    /// A sender's end, from what the owner handed over.
    pub(crate) fn open(fd: &Fd, slot: u32) -> io::Result<Self> {
        sys::check_anonymous(fd, size())?;
        if slot as usize >= WORDS * 64 {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(Self { page: Page::map(fd)?, slot, taken: None })
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.slot
    }

    /// After a publication: sets the bit. True if the owner sleeps and needs a doorbell byte.
    #[inline]
    pub fn mark(&self) -> bool {
        let word = self.page.word(self.slot as usize / 64);
        ready::mark(word, 1 << (self.slot % 64), self.page.waiting())
    }
}

impl Drop for ReadySlot {
    fn drop(&mut self) {
        if let Some(taken) = &self.taken {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = taken.get_mut(self.slot as usize) {
                *slot = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    fn taken(page: &ReadyPage, keep: Option<u64>) -> Vec<u64> {
        let mut slots = Vec::new();
        page.take(keep, &mut |slot| slots.push(slot));
        slots
    }

    #[test]
    fn a_kept_bit_is_shown_until_it_is_taken() {
        let page = ReadyPage::new().unwrap();
        let slots: Vec<_> = (0..70).map(|_| page.take_slot().unwrap()).collect();
        for kept in [0, 69] {
            slots.iter().for_each(|slot| assert!(!slot.mark()));
            assert_eq!(taken(&page, Some(kept)).len(), 70);
            assert_eq!(taken(&page, Some(kept)), [kept]);
            assert!(!page.arm(), "an owner that keeps a bit may not sleep");
            assert_eq!((taken(&page, None), taken(&page, None)), (vec![kept], vec![]));
            assert!(page.arm());
            assert!(slots[kept as usize].mark(), "the owner sleeps");
            assert_eq!(taken(&page, Some(kept)), [kept]);
            assert_eq!(taken(&page, None), [kept]);
        }
    }

    #[test]
    fn a_bit_without_a_sender_prevents_no_sleep() {
        let page = ReadyPage::new().unwrap();
        let _slot = page.take_slot().unwrap();
        for slot in [1, 64, WORDS as u32 * 64 - 1] {
            page.mark(slot);
            taken(&page, None);
            assert!(page.arm(), "{slot}");
        }
    }

    /// Each message comes at about the time when the owner stops polling the sender and decides to
    /// sleep.
    #[test]
    fn no_sleep_misses_a_kept_bit() {
        const ROUNDS: u64 = 20_000;
        const SLICE: Duration = Duration::from_secs(20);
        let page = ReadyPage::new().unwrap();
        let slot = page.take_slot().unwrap();
        let keep = Some(u64::from(slot.index()));
        let shared = Arc::new((AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false)));
        let theirs = Arc::clone(&shared);
        // Not joined if the owner gives up.
        let sender = thread::spawn(move || {
            let (sent, seen, wake_up) = &*theirs;
            for round in 0..ROUNDS {
                while seen.load(Ordering::Acquire) != round {
                    std::hint::spin_loop();
                }
                (0..round * 7 % 97).for_each(|_| std::hint::spin_loop());
                sent.store(round + 1, Ordering::Release);
                if slot.mark() {
                    wake_up.store(true, Ordering::Release);
                }
            }
        });
        let (sent, seen, wake_up) = &*shared;
        for round in 0..ROUNDS {
            let look =
                |keep| !taken(&page, keep).is_empty() && sent.load(Ordering::Acquire) > round;
            while !((0..20).any(|_| look(keep)) || look(None)) {
                if page.arm() {
                    let slept = Instant::now();
                    while !wake_up.swap(false, Ordering::Acquire) {
                        assert!(slept.elapsed() < SLICE, "round {round} was slept through");
                    }
                }
            }
            seen.store(round + 1, Ordering::Release);
        }
        sender.join().unwrap();
    }
}
