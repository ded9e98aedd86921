//! The limit of every transport that copies a message once: one thread writes, copies and reads.

use crate::Result;
use crate::link::Link;
use crate::payload::{self, Coverage, LAST, Received};

/// Both sides in one: a sent message is copied and checked at once, and so is its answer.
#[derive(Debug)]
pub struct Memcpy {
    checked: Coverage,
    from: Vec<u8>,
    to: Vec<u8>,
    /// The message sent last carried [`LAST`].
    last: bool,
}

impl Memcpy {
    /// `checked` is what of each copy is checked.
    pub fn new(checked: Coverage) -> Self {
        Self { checked, from: Vec::new(), to: Vec::new(), last: false }
    }

    #[inline]
    fn pass(&mut self, size: usize, stamp: u64) -> Result<()> {
        if self.from.len() != size {
            self.from.resize(size, 0);
            self.to.resize(size, 0);
        }
        payload::write(&mut self.from, stamp, Coverage::Full);
        self.to.copy_from_slice(&self.from);
        // Keeps the copy, which the compiler could merge with the check.
        std::hint::black_box(&mut self.to);
        payload::check(&self.to, size, stamp & !LAST, self.checked)?;
        Ok(())
    }
}

impl Link for Memcpy {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<()> {
        self.last = stamp & LAST != 0;
        self.pass(size, stamp)
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received> {
        self.pass(size, expected)?;
        Ok(if self.last { Received::Last } else { Received::Message })
    }
}
