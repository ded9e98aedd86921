use std::io;

use crate::{Set, Spare};

/// Descriptors that are kept free.
#[derive(Debug, Default)]
pub struct Reserve(Vec<Spare>);

impl Reserve {
    /// Keeps `count` descriptors free.
    ///
    /// # Errors
    /// A shortage, if there are fewer.
    pub fn new(count: usize, set: &Set) -> io::Result<Self> {
        (0..count).map(|_| set.spare()).collect::<io::Result<_>>().map(Self)
    }

    /// True if none is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Releases one of them.
    pub fn release_one(&mut self) {
        self.0.pop();
    }

    /// Releases all of them.
    pub fn release(&mut self) {
        self.0.clear();
    }
}
