use loom::sync::Mutex;
use loom::thread::{self, Thread};

use super::SLOTS;
use crate::primitive::{AtomicU32, Ordering::SeqCst, fence};

/// Threads that sleep on words and on descriptors of their own, as the kernel lets them: until they
/// are woken, never longer.
#[derive(Debug, Default)]
pub(crate) struct Sleepers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Sleepers on words, by the address, the longest first, and a number of each.
    on_words: Vec<(usize, u32, Thread)>,
    /// The next number.
    next: u32,
    /// Slots that were rung and have not yet been drained.
    rung: [bool; SLOTS as usize],
    on_slots: [Option<Thread>; SLOTS as usize],
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word) as usize
}

impl Sleepers {
    /// Sleeps on a word until a wake-up, if the word has this value.
    pub(crate) fn sleep(&self, word: &AtomicU32, expected: u32) {
        let number = {
            let mut state = self.0.lock().unwrap();
            fence(SeqCst);
            if word.load(SeqCst) != expected {
                return;
            }
            let number = state.next;
            state.next += 1;
            state.on_words.push((address(word), number, thread::current()));
            number
        };
        loop {
            thread::park();
            if !self.0.lock().unwrap().on_words.iter().any(|(_, other, _)| *other == number) {
                return;
            }
        }
    }

    pub(crate) fn wake(&self, word: &AtomicU32, most: u32) -> u32 {
        let mut state = self.0.lock().unwrap();
        let mut woken = 0;
        while woken < most {
            let here = state.on_words.iter().position(|(at, ..)| *at == address(word));
            let Some(place) = here else { break };
            state.on_words.remove(place).2.unpark();
            woken += 1;
        }
        woken
    }

    /// Takes earlier wake-ups off the descriptor of a slot.
    pub(crate) fn drain(&self, slot: u32) {
        self.0.lock().unwrap().rung[slot as usize] = false;
    }

    /// Sleeps on the descriptor of a slot.
    pub(crate) fn poll(&self, slot: u32) {
        loop {
            let mut state = self.0.lock().unwrap();
            if state.rung[slot as usize] {
                state.on_slots[slot as usize] = None;
                return;
            }
            state.on_slots[slot as usize] = Some(thread::current());
            drop(state);
            thread::park();
        }
    }

    pub(crate) fn ring(&self, slot: u32) -> bool {
        let mut state = self.0.lock().unwrap();
        state.rung[slot as usize] = true;
        if let Some(thread) = &state.on_slots[slot as usize] {
            thread.unpark();
        }
        true
    }
}
