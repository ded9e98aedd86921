//! The baselines: none on this platform.

use std::io;

use crate::bench::args::Wait;
use crate::bench::carrier::Baseline;
use crate::bench::link::{Failure, Link, Received};
use crate::bench::pattern::Pattern;
use crate::bench::payload::Verify;

/// What both sides would have to agree on.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "nothing on this platform reads it")]
pub(in crate::bench) struct Terms {
    pub(in crate::bench) baseline: Baseline,
    pub(in crate::bench) pattern: Pattern,
    pub(in crate::bench) size: usize,
    pub(in crate::bench) wait: Wait,
    pub(in crate::bench) verify: Verify,
}

/// There is none.
#[derive(Debug)]
pub(in crate::bench) enum Bare {}

/// There is none.
#[derive(Debug)]
pub(in crate::bench) enum Offer {}

impl Offer {
    /// Not possible here.
    pub(in crate::bench) fn new(_terms: Terms, _name: &str) -> io::Result<Self> {
        Err(unsupported())
    }

    /// Never called.
    pub(in crate::bench) fn accept(self, _patient: impl FnMut() -> bool) -> io::Result<Bare> {
        match self {}
    }
}

/// Not possible here.
pub(in crate::bench) fn join(_terms: Terms, _name: &str) -> io::Result<Bare> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    let why = "bare system calls are measured on Linux only; leave --compare out";
    io::Error::new(io::ErrorKind::Unsupported, why)
}

impl Link for Bare {
    fn send(&mut self, _size: usize, _stamp: u64) -> Result<(), Failure> {
        match *self {}
    }

    fn receive(&mut self, _size: usize, _expected: u64) -> Result<Received, Failure> {
        match *self {}
    }

    fn finish(self, _size: usize) -> Result<(), Failure> {
        match self {}
    }
}
