//! What disturbs a measurement: other programs on its cores, cores that a virtual machine moves,
//! repetitions that differ.

use std::time::{Duration, Instant};

use anyipc_measure::cores::{Pinning, allowed_cores};
use anyipc_measure::cpu::busy_time;
use serde::Serialize;

/// The share of foreign CPU time above which a row is unstable.
const FOREIGN: f64 = 0.05;
/// Less foreign time than this may be an effect of the ticks of 10 ms that count it.
const LEAST: Duration = Duration::from_millis(50);
/// The range of repetitions, as a share of their median, above which a row is unstable.
const RANGE: f64 = 0.5;
/// The cores were moved if the greatest time of a cache line is this many times the least.
const MOVED: f64 = 1.5;

/// Watches the cores of one row in one repetition.
#[derive(Debug)]
pub(super) struct Watch {
    cores: Vec<usize>,
    busy: Option<Duration>,
    started: Instant,
}

/// CPU time of other programs on the cores of a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Foreign {
    /// In seconds; may be a little below 0, because ticks are coarse.
    used: f64,
    /// All time of the cores, in seconds.
    of: f64,
}

impl Watch {
    /// The cores of the two sides, or all if the sides are not pinned.
    pub(super) fn begin(pinning: Option<Pinning>) -> Self {
        let mut cores = pinning.map_or_else(allowed_cores, |p| vec![p.driver, p.peer]);
        cores.dedup();
        let busy = busy_time(&cores);
        Self { cores, busy, started: Instant::now() }
    }

    /// `own` is the CPU time of both sides meanwhile.
    pub(super) fn end(self, own: Duration) -> Option<Foreign> {
        let busy = busy_time(&self.cores)?.checked_sub(self.busy?)?;
        let of = self.started.elapsed().as_secs_f64() * self.cores.len() as f64;
        Some(Foreign { used: busy.as_secs_f64() - own.as_secs_f64(), of })
    }
}

/// The share of the cores' time that other programs took in all repetitions of a row. `None` if the
/// platform does not tell.
pub(super) fn foreign_share(of: impl IntoIterator<Item = Option<Foreign>>) -> Option<Share> {
    let all = of.into_iter().try_fold(Foreign::default(), |sum, next| {
        let next = next?;
        Some(Foreign { used: sum.used + next.used, of: sum.of + next.of })
    })?;
    (all.of > 0.0).then(|| Share { part: (all.used / all.of).clamp(0.0, 1.0), seconds: all.used })
}

/// CPU time of other programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// As a share of the cores' time, 0 to 1.
    pub(super) part: f64,
    seconds: f64,
}

/// Times of a cache line from core to core and back, in ns: before the first repetition and after
/// each.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Placement(pub(super) Vec<f64>);

impl Placement {
    /// The least and the greatest time, in ns.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let least = self.0.iter().copied().reduce(f64::min)?;
        Some((least, self.0.iter().copied().reduce(f64::max)?))
    }

    /// True if the distance between the cores changed.
    pub(super) fn moved(&self) -> bool {
        self.range().is_some_and(|(least, greatest)| greatest > least * MOVED)
    }
}

/// Reasons not to trust a row's figures; empty if there are none. `range` is that of its
/// repetitions, as a share of their median.
pub(super) fn reasons(
    foreign: Option<Share>,
    range: Option<f64>,
    placement: &Placement,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(share) = foreign.filter(|s| s.part > FOREIGN && s.seconds > LEAST.as_secs_f64()) {
        reasons.push(format!("others took {:.0} %", share.part * 100.0));
    }
    if let Some(range) = range.filter(|range| *range > RANGE) {
        reasons.push(format!("differs by ±{} %", half(range)));
        if let Some((least, greatest)) = placement.range().filter(|_| placement.moved()) {
            reasons.push(format!("cores moved ({least:.0} to {greatest:.0} ns)"));
        }
    }
    reasons
}

/// Half of this range, in percent.
pub(super) fn half(range: f64) -> String {
    let percent = range * 50.0;
    if percent < 999.5 { format!("{percent:.0}") } else { ">999".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(part: f64, seconds: f64) -> Option<Share> {
        Some(Share { part, seconds })
    }

    #[test]
    fn quiet_rows_have_no_reasons() {
        let moved = Placement(vec![60.0, 480.0]);
        assert!(reasons(share(0.04, 1.0), Some(0.4), &moved).is_empty());
        // A tick or two.
        assert!(reasons(share(0.2, 0.02), None, &moved).is_empty());
        assert!(reasons(None, None, &Placement::default()).is_empty());
    }

    #[test]
    fn reasons_are_named() {
        let still = Placement(vec![60.0, 70.0]);
        assert_eq!(reasons(share(0.12, 0.3), Some(0.2), &still), ["others took 12 %"]);
        assert_eq!(reasons(None, Some(0.8), &still), ["differs by ±40 %"]);
        let moved = Placement(vec![60.0, 480.0, 62.0]);
        let both = reasons(None, Some(0.8), &moved);
        assert_eq!(both[1], "cores moved (60 to 480 ns)");
    }

    #[test]
    fn what_is_not_ours_is_foreign() {
        let foreign = |used| Some(Foreign { used, of: 2.0 });
        let all = foreign_share([foreign(0.5), foreign(-0.1)]).unwrap();
        assert!((all.part - 0.1).abs() < 1e-9 && (all.seconds - 0.4).abs() < 1e-9);
        assert_eq!(foreign_share([foreign(-0.5)]).unwrap().part, 0.0);
        assert!(foreign_share([foreign(0.5), None]).is_none());
        assert!(foreign_share([]).is_none());
    }
}
