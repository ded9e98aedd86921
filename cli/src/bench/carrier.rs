//! What carries the messages of a row: a channel or queues of a transport, or a baseline.

use anyipc_measure::baseline::{Baseline, BaselineLink};
use anyipc_measure::channel::ChannelLink;
use anyipc_measure::fan_in::{FanInReceiver, FanInSenders};
use anyipc_measure::link_enum;
use anyipc_measure::memcpy::Memcpy;
use anyipc_measure::queue::QueueLink;
use serde::{Deserialize, Serialize};

/// What carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "carrier", content = "baseline")]
pub(super) enum Carrier {
    /// A channel of a transport.
    Channel,
    /// Two queues of a transport, one each way.
    Queue,
    /// No transport.
    Baseline(Baseline),
}

/// One side's end of a carrier.
#[derive(Debug)]
pub(super) enum Wire {
    Channel(ChannelLink),
    Queue(QueueLink),
    FanInSenders(FanInSenders),
    FanInReceiver(FanInReceiver),
    Baseline(BaselineLink),
    Memcpy(Memcpy),
}

link_enum!(Wire: Channel Queue FanInSenders FanInReceiver Baseline Memcpy);
