//! The limit of everything that copies a message once: one thread that writes, copies, and reads it.

use super::link::{Failure, Link, Received};
use super::payload::{self, LAST, Verify};

/// Takes both sides: a sent message is copied and checked at once, and so is the answer to it.
#[derive(Debug)]
pub(super) struct Memcpy {
    verify: Verify,
    from: Vec<u8>,
    to: Vec<u8>,
    last: bool,
}

impl Memcpy {
    pub(super) fn new(verify: Verify) -> Self {
        Self { verify, from: Vec::new(), to: Vec::new(), last: false }
    }

    #[inline]
    fn pass(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        if self.from.len() != size {
            self.from.resize(size, 0);
            self.to.resize(size, 0);
        }
        payload::write(&mut self.from, stamp);
        self.to.copy_from_slice(&self.from);
        // Not to be left out, though nobody else looks at it.
        std::hint::black_box(&mut self.to);
        payload::check(&self.to, size, stamp & !LAST, self.verify)?;
        Ok(())
    }
}

impl Link for Memcpy {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        self.last = stamp & LAST != 0;
        self.pass(size, stamp)
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        self.pass(size, expected)?;
        Ok(if self.last { Received::Last } else { Received::Message })
    }

    fn finish(self, _size: usize) -> Result<(), Failure> {
        Ok(())
    }
}
