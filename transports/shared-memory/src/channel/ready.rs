use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys::{self, Fd, Map};

const PAGE: usize = 4096;
/// Behind the owner's waiting word, away from its cache lines.
const BITS: usize = 128;
const WORDS: usize = (PAGE - BITS) / 8;

/// One bit per connected sender, set when it has sent something: the inbox looks only at those. A hint that
/// any sender can forge, so the inbox looks at all of them now and then.
#[derive(Debug)]
pub(crate) struct ReadyPage {
    fd: Fd,
    words: Arc<Words>,
    taken: Arc<Mutex<Vec<bool>>>,
}

#[derive(Debug)]
struct Words(Map);

impl Words {
    fn waiting(&self) -> &AtomicU32 {
        // SAFETY: the page is mapped as long as `self`, page-aligned, and these bytes are only used as atomics.
        unsafe { &*self.0.as_ptr().cast() }
    }

    fn bits(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: BITS + 8 × WORDS is at most the page, 64-bit aligned; only used as atomics.
        unsafe { &*self.0.as_ptr().add(BITS).cast() }
    }
}

impl ReadyPage {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = sys::anonymous(PAGE, PAGE)?;
        let words = Arc::new(Words(Map::new(&fd, PAGE)?));
        Ok(Self { fd, words, taken: Arc::default() })
    }

    /// A free slot for one more sender. `None` when all are taken: that sender goes without.
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
            words: Arc::clone(&self.words),
            slot: slot as u32,
            taken: Some(Arc::clone(&self.taken)),
        })
    }

    /// The descriptor for the senders.
    pub(crate) fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Takes all set bits.
    pub(crate) fn take(&self, visit: &mut dyn FnMut(u64)) {
        let used = self.taken.lock().unwrap_or_else(PoisonError::into_inner).len().div_ceil(64);
        for (index, word) in self.words.bits().iter().take(used).enumerate() {
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                visit(index as u64 * 64 + u64::from(bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
    }

    /// Sets a bit for a sender that cannot do it any more.
    pub(crate) fn mark(&self, slot: u32) {
        if let Some(word) = self.words.bits().get(slot as usize / 64) {
            word.fetch_or(1 << (slot % 64), Ordering::SeqCst);
        }
    }

    /// Announces that the owner sleeps until a sender rings its socket. False: something is ready now.
    pub(crate) fn arm(&self) -> bool {
        self.words.waiting().store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let quiet = self.words.bits().iter().all(|word| word.load(Ordering::Relaxed) == 0);
        if !quiet {
            self.words.waiting().store(0, Ordering::Relaxed);
        }
        quiet
    }
}

/// One sender's bit.
#[derive(Debug)]
pub struct ReadySlot {
    words: Arc<Words>,
    slot: u32,
    /// On the owner's side: where the slot is given back.
    taken: Option<Arc<Mutex<Vec<bool>>>>,
}

impl ReadySlot {
    /// A sender's end, from what the owner handed over.
    pub(crate) fn open(fd: &Fd, slot: u32) -> io::Result<Self> {
        sys::check_anonymous(fd, PAGE)?;
        if slot as usize >= WORDS * 64 {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(Self { words: Arc::new(Words(Map::new(fd, PAGE)?)), slot, taken: None })
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.slot
    }

    /// After a publication: sets the bit. True if the owner sleeps and wants the bell.
    #[inline]
    pub fn mark(&self) -> bool {
        // A bit that is set still is not taken before what was published is visible.
        fence(Ordering::SeqCst);
        let word = &self.words.bits()[self.slot as usize / 64];
        let bit = 1 << (self.slot % 64);
        word.load(Ordering::Relaxed) & bit == 0 && {
            word.fetch_or(bit, Ordering::SeqCst);
            self.words.waiting().load(Ordering::SeqCst) != 0
                && self.words.waiting().swap(0, Ordering::SeqCst) != 0
        }
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
