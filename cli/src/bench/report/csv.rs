use std::io;

use anyipc_measure::pattern::pace::Pace;

use super::contents::Report;
use crate::bench::carrier::Carrier;
use crate::bench::case::PeerKind;
use crate::bench::figures::Row;

const HEADER: [&str; 24] = [
    "transport",
    "carrier",
    "peer",
    "pattern",
    "size",
    "senders",
    "wait",
    "gap_ns",
    "rate",
    "p50_ns",
    "p99_ns",
    "p999_ns",
    "messages_per_second",
    "gib_per_second",
    "cpu_ns_per_message",
    "driver_cpu_ns_per_message",
    "peer_cpu_ns_per_message",
    "messages",
    "ratio",
    "times_limit",
    "spread",
    "foreign",
    "unstable",
    "options",
];

/// The medians, one row each. A field without a figure is empty.
pub(in super::super) fn file(report: &Report) -> io::Result<Vec<u8>> {
    let mut lines = vec![HEADER.join(",")];
    lines.extend(report.rows.iter().map(|row| fields(row).map(|field| quoted(&field)).join(",")));
    Ok((lines.join("\r\n") + "\r\n").into_bytes())
}

fn fields(row: &Row) -> [String; HEADER.len()] {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let (case, median) = (&row.case, &row.median);
    let (gap, rate) = match case.pace {
        Pace::AtOnce => (None, None),
        Pace::Gap(gap) => (Some(gap.as_nanos() as f64), None),
        Pace::Rate(rate) => (None, Some(rate)),
    };
    let carrier = match case.carrier {
        Carrier::Channel => "channel",
        Carrier::Queue => "queue",
        Carrier::Baseline(_) => "baseline",
    };
    let peer = match case.peer {
        PeerKind::Process => "process",
        PeerKind::Thread => "thread",
        PeerKind::Nobody => "nobody",
    };
    let options: Vec<_> =
        case.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    [
        case.transport.into(),
        carrier.into(),
        peer.into(),
        case.pattern.name().into(),
        case.size.to_string(),
        case.senders.to_string(),
        case.wait.name().into(),
        number(gap),
        number(rate),
        number(median.p50_ns),
        number(median.p99_ns),
        number(median.p999_ns),
        number(median.messages_per_second),
        number(median.gib_per_second),
        number(median.cpu_ns_per_message),
        number(median.driver_cpu_ns_per_message),
        number(median.peer_cpu_ns_per_message),
        median.messages.to_string(),
        number(row.ratio),
        number(row.times_limit),
        number(row.spread),
        number(row.foreign),
        row.unstable.join("; "),
        options.join("&"),
    ]
}

/// In quotation marks if it needs them (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_it_is_quoted() {
        assert_eq!(quoted("plain text"), "plain text");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
