//! What the tests share, one file for each job.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

/// Both ends of a channel, blocking and async.
pub(crate) mod channels;
/// Counters in a file that outlive the process which wrote them.
#[cfg(target_os = "linux")]
pub(crate) mod counters;
/// A channel's halves, blocking or async, under one name.
pub(crate) mod halves;
/// Messages that show any damage.
pub(crate) mod message;
/// A directory of a test's own, and the files in it.
pub(crate) mod place;
/// A second process that runs a part of the test.
pub(crate) mod process;
/// Random numbers that a second run can repeat.
pub(crate) mod random;
/// Types of requests, and servers in this process.
#[cfg(feature = "serde")]
pub(crate) mod requests;
/// What this process holds: descriptors, mappings, memory.
#[cfg(target_os = "linux")]
pub(crate) mod resources;
/// The transports under test, and addresses for them.
pub(crate) mod schemes;
/// Numbers from the environment.
pub(crate) mod settings;
/// Hanging tests fail.
pub(crate) mod watchdog;
