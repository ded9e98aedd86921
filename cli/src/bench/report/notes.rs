use anyipc_measure::cores::Pinning;
use anyipc_measure::pattern::pace::Pace;
use anyipc_measure::payload::Coverage;

use super::contents::Report;
use crate::bench::carrier::Carrier;
use crate::bench::case::PeerKind;
use crate::bench::figures::Row;

/// How to read the table, and what it does not show.
pub(in super::super) fn notes(report: &Report) -> Vec<String> {
    let mut notes = vec![
        handling(report),
        "A round trip is two messages; both count in msg/s, GiB/s and CPU (of both sides, user and \
         kernel, per message)."
            .to_owned(),
        format!(
            "Round trips are timed one by one, less the {} ns of reading the clock. A stream is \
             timed as a whole, until its receiver has confirmed the last message.",
            report.setting.clock.as_nanos()
        ),
        ratio(&report.rows),
    ];
    notes.extend(pace(report));
    if report.setting.batch > 1 && report.rows.iter().any(|row| row.case.carrier == Carrier::Queue)
    {
        notes.push("Queues take messages one by one, even with --batch.".to_owned());
    }
    if report.rows.iter().any(|row| row.case.is_baseline()) {
        notes.push(
            "Baselines are bare memory and system calls: memory with one slot per message (2 MiB \
             in flight for streams), spinning (adaptive: 50 µs, on one core not at all) and then \
             sleeping on a futex or an eventfd; pipe and sockets with the system's buffers and a \
             length before each message. They check no peer and survive no crash. memcpy is one \
             thread that writes, copies and reads: no limit for small messages, which no other \
             core has to see."
                .to_owned(),
        );
    }
    if report.rows.iter().any(|row| row.case.senders > 1) {
        notes.push(
            "Several senders are threads of the first side, each with a handle of its own, on that \
             side's core; each numbers its messages, and the one receiver checks each sequence. \
             msg/s, GiB/s and CPU are of all of them. Baselines have one sender."
                .to_owned(),
        );
    }
    let threads = threads(report);
    if !threads.is_empty() {
        notes.push(format!("{threads} reaches no other process: both sides are threads of one."));
    }
    notes.push(cores(report));
    if report.rows.iter().any(|row| !row.unstable.is_empty()) {
        notes.push(
            "Do not quote rows that are called unstable: other programs took more than 5 % of \
             their cores, their repetitions are further apart than ±25 %, or a rate was too high, \
             so that the times grew as long as the measurement ran."
                .to_owned(),
        );
    }
    notes.push(
        "Not shown: other pairs of cores, more than two sides, an application's own work and cache \
         misses between messages. Trust ratios within one run, not figures of two runs."
            .to_owned(),
    );
    notes
}

fn handling(report: &Report) -> String {
    let checked = match report.setting.verify {
        Coverage::Full => "every byte",
        Coverage::Line => "a word of each cache line",
    };
    let place = if report.setting.in_place {
        "where it lies in the transport (send_with, recv_with)"
    } else {
        "in buffers of each side"
    };
    format!(
        "Every message was written whole by its sender and checked by its receiver, {place}: \
         length, sequence, and {checked}."
    )
}

fn ratio(rows: &[Row]) -> String {
    let base = if rows.iter().any(|row| row.times_limit.is_some()) {
        "that of the fastest baseline between two processes"
    } else {
        "the fastest"
    };
    format!(
        "Rows of the same pattern, size and way of waiting are compared, round trips by p50 and \
         streams by msg/s: the ratio is to {base}. ± is half the range of that over the \
         repetitions. – stands for no figure, or too few samples for it."
    )
}

fn pace(report: &Report) -> Option<String> {
    let idle = if report.setting.pinning.is_some_and(Pinning::is_one_core) {
        "asleep, since both sides have one core"
    } else {
        "awake, which does not count as its CPU time"
    };
    report.rows.iter().find_map(|row| match row.case.pace {
        Pace::AtOnce => None,
        Pace::Gap(_) => {
            Some(format!("Between round trips the first side waits for the gap {idle}."))
        }
        Pace::Rate(_) => Some(format!(
            "At a rate a round trip is timed from when it was due: a late one counts for those \
             that it delays. The first side waits for the next one {idle}."
        )),
    })
}

fn cores(report: &Report) -> String {
    let Some(pinning) = report.setting.pinning else {
        return "The sides were not pinned: the system may have moved them, also onto one core."
            .to_owned();
    };
    if pinning.is_one_core() {
        return format!("Both sides were pinned to core {}.", pinning.driver);
    }
    let distance = report.placement.range().map_or_else(String::new, |(least, greatest)| {
        format!(
            "; a bare cache line takes {least:.0} to {greatest:.0} ns there and back between these"
        )
    });
    let moved = if report.placement.moved() { ": they were moved during this run" } else { "" };
    format!(
        "The sides were pinned to cores {} and {}{distance}. No transport beats that, and it \
         changes with the cores: a virtual machine may move them{moved}.",
        pinning.driver, pinning.peer
    )
}

/// The transports with a thread on the other side.
fn threads(report: &Report) -> String {
    let threads = report.rows.iter().filter(|row| row.case.peer == PeerKind::Thread);
    let mut names: Vec<_> = threads.map(|row| format!("{}://", row.case.transport)).collect();
    names.sort();
    names.dedup();
    names.join(", ")
}
