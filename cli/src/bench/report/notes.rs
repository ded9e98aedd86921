use std::time::Duration;

use super::Report;
use crate::bench::plan::PeerKind;

/// How to read the table, and what it does not show.
pub(in super::super) fn notes(report: &Report) -> Vec<String> {
    let mut notes = vec![
        "Every message was written whole by its sender and checked by its receiver: length, sequence, and a \
         checksum over a word of each cache line."
            .to_owned(),
        "A round trip is two messages; both count in msg/s, GiB/s and CPU (of both sides, user and kernel, per \
         message)."
            .to_owned(),
        format!(
            "Round trips are timed one by one, less the {} ns of reading the clock. A stream is timed as a whole, \
             until its receiver has confirmed the last message.",
            report.clock.as_nanos()
        ),
        "The ratio compares the p50 of round trips and the msg/s of streams; ± is half the range of that over \
         the repetitions. – stands where there is no figure or too few samples for it."
            .to_owned(),
    ];
    let threads = names(report);
    if !threads.is_empty() {
        notes.push(format!("{threads} reaches no other process: both sides are threads of one."));
    }
    notes.push(match report.pinning {
        Some(pinning) => format!(
            "The sides were pinned to cores {} and {}{}. No transport beats that, and it changes with the cores: a \
             virtual machine may move them, other pairs are not shown.",
            pinning.driver,
            pinning.peer,
            distance(&report.placement)
        ),
        None => "The sides were not pinned: the system may have moved them, also onto one core.".to_owned(),
    });
    notes.push(
        "Not shown: what other programs took meanwhile (trust ratios of one run with a small ±, not figures of \
         two runs), gaps between messages, more than two sides, latency at a given rate."
            .to_owned(),
    );
    notes
}

/// The range of the bare cache line's times.
fn distance(times: &[Duration]) -> String {
    match (times.iter().min(), times.iter().max()) {
        (Some(least), Some(greatest)) => format!(
            "; a bare cache line takes {} to {} ns there and back between these",
            least.as_nanos(),
            greatest.as_nanos()
        ),
        _ => String::new(),
    }
}

fn names(report: &Report) -> String {
    let threads = report.rows.iter().filter(|row| row.case.peer == PeerKind::Thread);
    let mut names: Vec<_> = threads.map(|row| format!("{}://", row.case.transport)).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::args::Wait;
    use crate::bench::figures::{Figures, rank};
    use crate::bench::machine::{Machine, Pinning};
    use crate::bench::pattern::Pattern;
    use crate::bench::plan::Case;

    fn said(peer: PeerKind, pinning: Option<Pinning>) -> String {
        let case =
            Case { transport: "inproc", peer, pattern: Pattern::Stream, size: 64, options: Vec::new() };
        let report = Report {
            machine: Machine::look(),
            wait: Wait::Adaptive,
            pinning,
            placement: vec![Duration::from_nanos(480), Duration::from_nanos(120)],
            repetitions: 1,
            slice: Duration::ZERO,
            clock: Duration::from_nanos(25),
            rows: rank(vec![(case.clone(), vec![Figures::default()]), (case, vec![Figures::default()])]),
        };
        notes(&report).join("\n")
    }

    #[test]
    fn threads_and_pinning_are_said() {
        let text = said(PeerKind::Thread, None);
        assert!(text.contains("inproc:// reaches no other process") && text.contains("not pinned"), "{text}");
        let text = said(PeerKind::Process, Some(Pinning { driver: 2, peer: 5 }));
        assert!(
            !text.contains("inproc") && text.contains("cores 2 and 5; a bare cache line takes 120 to 480 ns"),
            "{text}"
        );
    }
}
