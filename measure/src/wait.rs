//! How both sides of a measurement wait.

use serde::{Deserialize, Serialize};

/// How a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Never sleep.
    Spin,
    /// Spin while answers come quickly, then sleep.
    Adaptive,
    /// Sleep at once.
    Block,
}

impl Wait {
    /// All, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Spin, Self::Adaptive, Self::Block];

    /// The value of the option `wait` in an address.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Spin => "spin",
            Self::Block => "block",
        }
    }
}
