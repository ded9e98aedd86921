//! One row of the table.

use std::fmt;
use std::time::Duration;

use anyipc_measure::pattern::Pattern;
use anyipc_measure::pattern::pace::Pace;
use anyipc_measure::wait::Wait;
use serde::{Serialize, Serializer};

use super::carrier::Carrier;

/// The other side of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PeerKind {
    /// A second process.
    Process,
    /// A second thread: the transport reaches no other process.
    Thread,
    /// No other side: one thread does both.
    Nobody,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Case {
    /// The transport's scheme, or the baseline's name.
    pub(super) transport: &'static str,
    /// What carries the messages.
    #[serde(flatten)]
    pub(super) carrier: Carrier,
    /// The other side.
    pub(super) peer: PeerKind,
    /// The pattern of traffic.
    pub(super) pattern: Pattern,
    /// Length of each message, in bytes.
    pub(super) size: usize,
    /// Senders of a stream; more than one over queues only.
    pub(super) senders: u16,
    /// How both sides wait.
    pub(super) wait: Wait,
    /// When round trips begin.
    #[serde(flatten, serialize_with = "pace_fields")]
    pub(super) pace: Pace,
    /// The address's options.
    pub(super) options: Vec<(String, String)>,
}

impl Case {
    /// True if the rows can be compared: they differ in their carriers only.
    pub(super) fn is_comparable_with(&self, other: &Self) -> bool {
        let kind = |case: &Self| (case.pattern, case.size, case.senders, case.wait, case.pace);
        kind(self) == kind(other)
    }

    /// True if the carrier and the pattern allow this number of senders.
    pub(super) fn is_possible(&self) -> bool {
        self.senders == 1 || self.carrier == Carrier::Queue && self.pattern == Pattern::Stream
    }

    /// True for a stream that can send several messages together.
    pub(super) fn takes_batches(&self) -> bool {
        self.pattern == Pattern::Stream && self.carrier != Carrier::Queue
    }

    /// True without a transport: something to compare with.
    pub(super) fn is_baseline(&self) -> bool {
        matches!(self.carrier, Carrier::Baseline(_))
    }

    /// The label in the table.
    pub(super) fn label(&self) -> String {
        match self.carrier {
            Carrier::Queue if self.senders > 1 => {
                format!("{} queue, {} senders", self.transport, self.senders)
            }
            Carrier::Queue => format!("{} queue", self.transport),
            Carrier::Channel | Carrier::Baseline(_) => self.transport.into(),
        }
    }

    /// The pace in words; `None` for round trips without a gap.
    pub(super) fn pace_label(&self) -> Option<String> {
        match self.pace {
            Pace::AtOnce => None,
            Pace::Gap(gap) => Some(format!("gap {}", time(gap))),
            Pace::Rate(rate) => Some(format!("{rate}/s")),
        }
    }
}

/// A time in its largest unit without a fraction.
pub(super) fn time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
    let unit = units.into_iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{nanos} ns"), |(unit, name)| format!("{} {name}", nanos / unit))
}

#[derive(Serialize)]
struct PaceFields {
    gap_ns: Option<u64>,
    rate: Option<f64>,
}

fn pace_fields<S: Serializer>(pace: &Pace, serializer: S) -> Result<S::Ok, S::Error> {
    let gap_ns = match pace {
        Pace::Gap(gap) => u64::try_from(gap.as_nanos()).ok(),
        Pace::AtOnce | Pace::Rate(_) => None,
    };
    let rate = if let Pace::Rate(rate) = pace { Some(*rate) } else { None };
    PaceFields { gap_ns, rate }.serialize(serializer)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (label, pattern, wait) = (self.label(), self.pattern.name(), self.wait.name());
        write!(f, "{label} {pattern} of {} bytes, {wait}", self.size)?;
        self.pace_label().map_or(Ok(()), |pace| write!(f, ", {pace}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use anyipc_measure::baseline::Baseline;

    use super::*;

    /// A row of 64 bytes over a channel.
    pub(in crate::bench) fn case(transport: &'static str, pattern: Pattern) -> Case {
        Case {
            transport,
            carrier: Carrier::Channel,
            peer: PeerKind::Process,
            pattern,
            size: 64,
            senders: 1,
            wait: Wait::Adaptive,
            pace: Pace::AtOnce,
            options: Vec::new(),
        }
    }

    /// A baseline that can be compared with that.
    pub(in crate::bench) fn baseline(baseline: Baseline, pattern: Pattern) -> Case {
        Case { carrier: Carrier::Baseline(baseline), ..case(baseline.name(), pattern) }
    }

    #[test]
    fn rows_say_what_they_are() {
        let gap = Pace::Gap(Duration::from_micros(1500));
        let shown = Case { pace: gap, carrier: Carrier::Queue, ..case("mq", Pattern::RoundTrip) };
        assert_eq!(shown.to_string(), "mq queue round-trip of 64 bytes, adaptive, gap 1500 µs");
        let fields = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&fields["gap_ns"], &fields["rate"]),
            (&1_500_000.into(), &serde_json::Value::Null)
        );
        assert_eq!(fields["carrier"], "queue");
        let fields = serde_json::to_value(baseline(Baseline::CacheLine, Pattern::Stream)).unwrap();
        assert_eq!(
            (&fields["carrier"], &fields["baseline"]),
            (&"baseline".into(), &"cache-line".into())
        );
    }

    #[test]
    fn only_what_waits_alike_is_compared() {
        let row = case("shm", Pattern::Stream);
        assert!(row.is_comparable_with(&case("tcp", Pattern::Stream)));
        assert!(!row.is_comparable_with(&Case { wait: Wait::Spin, ..row.clone() }));
        assert!(!row.is_comparable_with(&Case { size: 65, ..row.clone() }));
        assert!(!row.is_comparable_with(&case("shm", Pattern::RoundTrip)));
    }
}
