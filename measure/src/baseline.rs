//! Baselines: bare memory and system calls, without any library. Transports are compared with
//! them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;
use crate::payload::Coverage;
use crate::wait::Wait;

pub use crate::sys::baseline::{BaselineLink, Offer, join};

/// How long a side that waits adaptively spins: about what a wake-up costs.
const SPIN: Duration = Duration::from_micros(50);

/// A baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// Shared memory, both sides spinning on the message's own first word.
    CacheLine,
    /// The same, sleeping on a futex.
    Futex,
    /// The same, sleeping on an eventfd.
    Eventfd,
    /// Two pipes, a length before each message.
    Pipe,
    /// A Unix stream socket, a length before each message.
    Unix,
    /// TCP over loopback without delay, a length before each message.
    Tcp,
    /// One thread that writes, copies and reads: the bandwidth of a core. Not for [`Offer`].
    Memcpy,
}

impl Baseline {
    /// The label in tables, distinct from the transports that are built on it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CacheLine => "bare cache line",
            Self::Futex => "bare futex",
            Self::Eventfd => "bare eventfd",
            Self::Pipe => "bare pipe",
            Self::Unix => "bare unix",
            Self::Tcp => "bare tcp",
            Self::Memcpy => "memcpy",
        }
    }

    /// True if it can wait like this: no row of a comparison spins beside one that sleeps.
    pub const fn waits(self, wait: Wait) -> bool {
        match self {
            Self::CacheLine => matches!(wait, Wait::Spin),
            Self::Futex | Self::Eventfd => !matches!(wait, Wait::Spin),
            Self::Pipe | Self::Unix | Self::Tcp | Self::Memcpy => true,
        }
    }
}

/// What both sides of a baseline agree on.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// What carries the messages.
    pub baseline: Baseline,
    /// The pattern of traffic.
    pub pattern: Pattern,
    /// Length of each message, in bytes.
    pub size: usize,
    /// How both sides wait.
    pub wait: Wait,
    /// What receivers check.
    pub checked: Coverage,
}

impl Terms {
    /// How long to spin before sleeping; `None` without end.
    pub fn spin(&self) -> Option<Duration> {
        match self.wait {
            Wait::Spin => None,
            Wait::Adaptive => Some(SPIN),
            Wait::Block => Some(Duration::ZERO),
        }
    }
}
