use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Options, Result, keys};

use crate::codec::CodecId;

/// Longest message unless the address says `max_message=`.
const MAX_MESSAGE: u64 = 16 << 20;
/// Longest wait for an owner unless the address says `timeout=`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitMode {
    Adaptive,
    Spin,
    Block,
}

/// The options that the facade itself reads.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) max_message: u64,
    pub(crate) wait: WaitMode,
    pub(crate) timeout: Duration,
    pub(crate) codec: Option<CodecId>,
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

    /// What this side says about itself.
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
