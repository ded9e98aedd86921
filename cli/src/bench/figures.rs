//! The figures of a row: of each repetition, their medians, and ratios between rows.

use std::cmp::Ordering;
use std::time::Duration;

use anyipc_measure::pattern::pace::Pace;
use anyipc_measure::pattern::{Pattern, Timed};
use anyipc_measure::stats::{Histogram, median, spread};
use serde::Serialize;

use super::case::{Case, PeerKind};
use super::noise::{Foreign, Placement, foreign_share, reasons};

/// A rate counts as kept from this share on: a short measurement begins and ends with a gap.
const KEPT: f64 = 0.9;

/// The figures of one repetition, or the medians of all.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figures {
    /// The time that half of the round trips do not exceed, in ns. A stream has none.
    pub(super) p50_ns: Option<f64>,
    /// The same for 99 of 100.
    pub(super) p99_ns: Option<f64>,
    /// The same for 999 of 1000. `None` if there are too few samples.
    pub(super) p999_ns: Option<f64>,
    /// A round trip counts as two messages.
    pub(super) messages_per_second: Option<f64>,
    /// Of payload, both directions together.
    pub(super) gib_per_second: Option<f64>,
    /// CPU time of both sides, in user and kernel.
    pub(super) cpu_ns_per_message: Option<f64>,
    /// Of the driver.
    pub(super) driver_cpu_ns_per_message: Option<f64>,
    /// Of the peer.
    pub(super) peer_cpu_ns_per_message: Option<f64>,
    /// Number of measured messages.
    pub(super) messages: u64,
    /// Every round trip.
    #[serde(skip)]
    pub(super) latencies: Option<Histogram>,
    /// CPU time that other programs took of the cores meanwhile.
    #[serde(skip)]
    pub(super) foreign: Option<Foreign>,
}

impl Figures {
    /// Of one phase, with the driver's CPU time in it.
    pub(super) fn new(timed: Timed, size: usize, driver_cpu: Option<Duration>) -> Self {
        let quantile = |share| timed.latencies.as_ref()?.quantile(share);
        let rate = timed.timed_messages as f64 / timed.elapsed.as_secs_f64().max(1e-9);
        Self {
            p50_ns: quantile(0.5),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            messages_per_second: Some(rate),
            gib_per_second: Some(rate * size as f64 / (1u64 << 30) as f64),
            driver_cpu_ns_per_message: per_message(driver_cpu, timed.messages),
            messages: timed.messages,
            latencies: timed.latencies,
            ..Self::default()
        }
    }

    /// With the peer's CPU time of the same phase.
    pub(super) fn with_peer_cpu(self, cpu: Option<Duration>) -> Self {
        let peer = per_message(cpu, self.messages);
        let both = self.driver_cpu_ns_per_message.zip(peer).map(|(driver, peer)| driver + peer);
        Self { peer_cpu_ns_per_message: peer, cpu_ns_per_message: both, ..self }
    }

    /// With the CPU time that other programs took of the cores meanwhile.
    pub(super) fn with_foreign(self, foreign: Option<Foreign>) -> Self {
        Self { foreign, ..self }
    }

    /// The median of each figure. Where a repetition had too few samples for a quantile, the
    /// quantile of all samples together.
    fn medians(of: &[Self]) -> Self {
        let middle = |figure: fn(&Self) -> Option<f64>| median(of.iter().filter_map(figure));
        let mut all = Histogram::new();
        of.iter().filter_map(|f| f.latencies.as_ref()).for_each(|latencies| all.add(latencies));
        let quantile = |share, figure: fn(&Self) -> Option<f64>| {
            if of.iter().all(|f| figure(f).is_some()) {
                middle(figure)
            } else {
                all.quantile(share)
            }
        };
        Self {
            p50_ns: quantile(0.5, |f| f.p50_ns),
            p99_ns: quantile(0.99, |f| f.p99_ns),
            p999_ns: quantile(0.999, |f| f.p999_ns),
            messages_per_second: middle(|f| f.messages_per_second),
            gib_per_second: middle(|f| f.gib_per_second),
            cpu_ns_per_message: middle(|f| f.cpu_ns_per_message),
            driver_cpu_ns_per_message: middle(|f| f.driver_cpu_ns_per_message),
            peer_cpu_ns_per_message: middle(|f| f.peer_cpu_ns_per_message),
            messages: of.iter().map(|f| f.messages).sum(),
            latencies: None,
            foreign: None,
        }
    }

    /// The reason if the rate was not kept: times then grow as long as the measurement runs.
    fn lag(&self, pace: Pace) -> Option<String> {
        let Pace::Rate(wanted) = pace else { return None };
        let trips = self.messages_per_second? / 2.0;
        (trips < wanted * KEPT).then(|| format!("kept up with {trips:.0}/s only"))
    }

    /// The figure that rows are compared by, in ns: the median of round trips, or the time per
    /// message of a stream.
    pub(super) fn cost(&self, pattern: Pattern) -> Option<f64> {
        match pattern {
            Pattern::RoundTrip => self.p50_ns,
            Pattern::Stream => self.messages_per_second.map(|rate| 1e9 / rate),
        }
    }
}

fn per_message(cpu: Option<Duration>, messages: u64) -> Option<f64> {
    cpu.map(|cpu| cpu.as_nanos() as f64 / messages.max(1) as f64)
}

/// A measured row.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) case: Case,
    /// Medians of the repetitions.
    pub(super) median: Figures,
    /// Cost divided by that of the fastest comparable row of a transport.
    pub(super) ratio: Option<f64>,
    /// Cost divided by that of the fastest comparable baseline between two processes.
    pub(super) times_limit: Option<f64>,
    /// The range of the repetitions, as a share of their median.
    pub(super) spread: Option<f64>,
    /// The share of the cores' time that other programs took.
    pub(super) foreign: Option<f64>,
    /// Reasons not to trust the figures; empty if there are none.
    pub(super) unstable: Vec<String>,
    /// Each repetition.
    pub(super) repetitions: Vec<Figures>,
}

impl Row {
    fn new(case: Case, repetitions: Vec<Figures>, placement: &Placement) -> Self {
        let costs: Vec<f64> = repetitions.iter().filter_map(|f| f.cost(case.pattern)).collect();
        let spread = spread(costs.iter().copied());
        let foreign = foreign_share(repetitions.iter().map(|f| f.foreign));
        let mut unstable = reasons(foreign, spread, placement);
        let foreign = foreign.map(|share| share.part);
        let median = Figures::medians(&repetitions);
        unstable.extend(median.lag(case.pace));
        Self {
            case,
            median,
            ratio: None,
            times_limit: None,
            spread,
            foreign,
            unstable,
            repetitions,
        }
    }

    /// The median's cost, in ns; infinite without a figure.
    pub(super) fn cost(&self) -> f64 {
        self.median.cost(self.case.pattern).unwrap_or(f64::INFINITY)
    }
}

/// Rows with medians and ratios; of comparable rows the fastest comes first.
pub(super) fn rank(measured: Vec<(Case, Vec<Figures>)>, placement: &Placement) -> Vec<Row> {
    let row = |(case, repetitions)| Row::new(case, repetitions, placement);
    let mut rows: Vec<Row> = measured.into_iter().map(row).collect();
    rows.sort_by(|a, b| {
        let group = |row: &Row| (row.case.pattern, row.case.size, row.case.wait);
        let pace = a.case.pace.partial_cmp(&b.case.pace).unwrap_or(Ordering::Equal);
        let senders = a.case.senders.cmp(&b.case.senders);
        group(a).cmp(&group(b)).then(pace).then(senders).then(a.cost().total_cmp(&b.cost()))
    });
    for group in rows.chunk_by_mut(|a, b| a.case.is_comparable_with(&b.case)) {
        let fastest = |of: fn(&Row) -> bool| group.iter().find(|row| of(row)).map(Row::cost);
        let transport = fastest(|row| !row.case.is_baseline());
        let limit = fastest(|row| row.case.is_baseline() && row.case.peer == PeerKind::Process);
        for row in group {
            let own = row.cost();
            let over = |cost: f64| Some(own / cost).filter(|ratio| ratio.is_finite());
            row.ratio = transport.and_then(over);
            row.times_limit = limit.filter(|_| row.case.peer != PeerKind::Nobody).and_then(over);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use anyipc_measure::wait::Wait;

    use super::*;
    use crate::bench::carrier::Carrier;
    use crate::bench::case::tests::{baseline, case};
    use anyipc_measure::baseline::Baseline;

    fn round_trip(nanos: f64) -> Figures {
        Figures { p50_ns: Some(nanos), ..Figures::default() }
    }

    fn ranked(measured: Vec<(Case, Vec<Figures>)>) -> Vec<Row> {
        rank(measured, &Placement::default())
    }

    #[test]
    fn the_fastest_of_a_group_is_one() {
        let stream = Figures { messages_per_second: Some(1e6), ..Figures::default() };
        let round = |transport| case(transport, Pattern::RoundTrip);
        let rows = ranked(vec![
            (case("b", Pattern::Stream), vec![stream]),
            (round("b"), vec![round_trip(900.0), round_trip(300.0), round_trip(400.0)]),
            (round("a"), vec![round_trip(200.0)]),
            (Case { size: 1024, ..round("a") }, vec![round_trip(800.0)]),
            (Case { wait: Wait::Block, ..round("a") }, vec![round_trip(900.0)]),
        ]);
        let seen: Vec<_> = rows.iter().map(|r| (r.case.transport, r.ratio)).collect();
        let one = Some(1.0);
        assert_eq!(seen, [("a", one), ("b", Some(2.0)), ("a", one), ("a", one), ("b", one)]);
        assert_eq!((rows[1].spread, rows[1].times_limit), (Some(1.5), None));
        assert_eq!(rows[1].unstable, ["differs by ±75 %"]);
        assert!(rows[0].unstable.is_empty());
    }

    #[test]
    fn the_limit_is_the_fastest_baseline_of_two_processes() {
        let bare = |of| baseline(of, Pattern::RoundTrip);
        let memcpy = Case { peer: PeerKind::Nobody, ..bare(Baseline::Memcpy) };
        let rows = ranked(vec![
            (case("a", Pattern::RoundTrip), vec![round_trip(300.0)]),
            (bare(Baseline::Futex), vec![round_trip(200.0)]),
            (bare(Baseline::Pipe), vec![round_trip(400.0)]),
            (memcpy, vec![round_trip(100.0)]),
        ]);
        let seen: Vec<_> = rows.iter().map(|r| (r.case.carrier, r.times_limit)).collect();
        assert_eq!(seen[0], (Carrier::Baseline(Baseline::Memcpy), None));
        assert_eq!(seen[2], (Carrier::Channel, Some(1.5)));
        assert_eq!(rows[2].ratio, Some(1.0));
    }

    #[test]
    fn a_rate_that_was_not_kept_is_said() {
        let lag = |rate, messages| {
            let figures = Figures { messages_per_second: Some(messages), ..Figures::default() };
            figures.lag(Pace::Rate(rate))
        };
        assert_eq!(lag(1000.0, 1990.0), None);
        assert_eq!(lag(60_000.0, 20_700.0).as_deref(), Some("kept up with 10350/s only"));
    }

    #[test]
    fn figures_of_a_phase() {
        let mut latencies = Histogram::new();
        (0..10_000).for_each(|_| latencies.record(Duration::from_nanos(500)));
        let timed = Timed {
            latencies: Some(latencies),
            timed_messages: 20_000,
            elapsed: Duration::from_millis(5),
            messages: 20_002,
            idle_cpu: Duration::ZERO,
        };
        let figures = Figures::new(timed, 1 << 20, Some(Duration::from_nanos(20_002)))
            .with_peer_cpu(Some(Duration::from_nanos(40_004)));
        assert_eq!((figures.p50_ns, figures.p999_ns), (Some(500.0), Some(500.0)));
        assert_eq!(figures.messages_per_second, Some(4e6));
        assert_eq!(figures.gib_per_second, Some(3906.25));
        assert_eq!(figures.cpu_ns_per_message, Some(3.0));
    }

    #[test]
    fn few_samples_are_put_together() {
        let repetition = || {
            let mut latencies = Histogram::new();
            (1..=1000).for_each(|nanos| latencies.record(Duration::from_nanos(nanos)));
            let elapsed = Duration::from_millis(1);
            let (latencies, idle_cpu) = (Some(latencies), Duration::ZERO);
            let timed =
                Timed { latencies, timed_messages: 2000, elapsed, messages: 2002, idle_cpu };
            Figures::new(timed, 64, None)
        };
        let once = repetition();
        assert_eq!((once.p99_ns, once.p999_ns), (Some(990.0), None));
        let all = Figures::medians(&[(); 10].map(|()| repetition()));
        assert_eq!((all.p99_ns, all.p999_ns), (Some(990.0), Some(999.0)));
    }
}
