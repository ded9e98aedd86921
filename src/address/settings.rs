//! The options of an address that the facade itself reads; transports read the others.

use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Options, Result, keys};

use crate::codec::CodecId;

/// Default of `max_message`, in bytes.
const MAX_MESSAGE: u64 = 16 << 20;
/// Default of `timeout`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The option `wait`: how a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitMode {
    /// Spins while that pays, then sleeps. The default.
    Adaptive,
    /// Never sleeps.
    Spin,
    /// Sleeps at once.
    Block,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Longest message that this side sends and accepts, in bytes, at least 1.
    pub(crate) max_message: u64,
    pub(crate) wait: WaitMode,
    /// Longest wait for an owner, and for a flush at the end.
    pub(crate) timeout: Duration,
    /// `None` if the address names no codec.
    pub(crate) codec: Option<CodecId>,
    /// Bytes that the channel should hold; 0 leaves it to the transport.
    capacity: u64,
}

impl Settings {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let max_message = options.number(keys::MAX_MESSAGE).unwrap_or(MAX_MESSAGE);
        if max_message == 0 {
            return Err(Error::new(Operation::Address, ErrorKind::InvalidOption)
                .because("max_message=0 allows no message; choose 1 or more"));
        }
        Ok(Self {
            max_message,
            wait: match options.text(keys::WAIT) {
                Some("spin") => WaitMode::Spin,
                Some("block") => WaitMode::Block,
                _ => WaitMode::Adaptive,
            },
            timeout: options.span(keys::TIMEOUT).unwrap_or(TIMEOUT),
            codec: options.text(keys::CODEC).and_then(CodecId::from_name),
            capacity: options.number(keys::CAPACITY).unwrap_or(0),
        })
    }

    /// What this side says about itself in the handshake.
    pub(crate) fn hello(&self, transport: &str) -> Hello {
        Hello {
            transport: transport.into(),
            codec: self.codec.map_or(0, CodecId::id),
            max_message: self.max_message,
            capacity: self.capacity,
            sends: None,
            receives: None,
        }
    }
}
