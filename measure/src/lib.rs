//! The measuring harness under `anyipc bench`, the criterion benches and the comparison with
//! others in `benches/others`. These keep plans, contenders and reports; the rest is here.
//!
//! | module | holds |
//! |---|---|
//! | [`payload`] | what a message holds, and the check that finds a lost, doubled or torn one |
//! | [`link`] | the trait of one end of anything that carries such messages |
//! | [`channel`], [`queue`], [`fan_in`] | links over `anyipc` |
//! | [`framed`], [`memcpy`], [`baseline`] | links over byte streams, one thread, system calls |
//! | [`pattern`] | round trips and streams: which message goes where, what of it is timed |
//! | [`process`], [`watchdog`] | the second process, and the end of both |
//! | [`cores`], [`cpu`], [`machine`] | where it runs: pinning, cache-line probe, CPU time |
//! | [`stats`] | histograms and medians |
//! | [`wait`] | how both sides wait |
// Unsafe code is in `sys::linux::baseline::memory` only.
#![deny(unsafe_code)]

pub mod baseline;
pub mod channel;
pub mod cores;
pub mod cpu;
pub mod fan_in;
pub mod framed;
pub mod link;
pub mod machine;
pub mod memcpy;
pub mod pattern;
pub mod payload;
pub mod process;
pub mod queue;
pub mod stats;
mod sys;
pub mod wait;
pub mod watchdog;

/// Any failure of a measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The result of a step of a measurement. Over a link, each step fails if the connection fails or a
/// wrong message arrives.
pub type Result<T> = std::result::Result<T, Failure>;
