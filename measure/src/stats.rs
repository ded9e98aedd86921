//! Histograms and medians.

use std::time::Duration;

/// Times of single operations: 1 ns to 60 s, to three significant digits.
#[derive(Debug, Clone)]
pub struct Histogram(hdrhistogram::Histogram<u64>);

const LONGEST: u64 = 60_000_000_000;

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Without any time.
    #[expect(clippy::expect_used, reason = "the bounds are constants that the crate accepts")]
    pub fn new() -> Self {
        Self(hdrhistogram::Histogram::new_with_bounds(1, LONGEST, 3).expect("constant bounds"))
    }

    /// Counts one time; one out of range counts as the bound.
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(LONGEST);
        self.0.saturating_record(nanos.max(1));
    }

    /// Counts all times of another one.
    pub fn add(&mut self, other: &Self) {
        // Fails only for a value out of range; both have the same range.
        let _ = self.0.add(&other.0);
    }

    /// The number of recorded times.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this share (0 to 1) of all times does not exceed, in ns. `None` if fewer than
    /// ten exceed it: too few to tell.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let above = self.count() as f64 * (1.0 - share);
        (above >= 10.0 - 1e-6).then(|| self.0.value_at_quantile(share) as f64)
    }
}

/// The middle value, or the mean of the middle two. `None` without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((values.get(middle.checked_sub(1)?)? + upper) / 2.0)
}

/// Greatest minus least value, as a share of the median. `None` without values.
pub fn spread(values: impl IntoIterator<Item = f64> + Clone) -> Option<f64> {
    let middle = median(values.clone())?;
    let (least, greatest) =
        values.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), v| {
            (v.min(least), v.max(greatest))
        });
    Some((greatest - least) / middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn the_spread_is_relative() {
        assert_eq!(spread([2.0, 1.0, 4.0]), Some(1.5));
        assert_eq!(spread([]), None);
    }

    #[test]
    fn quantiles_need_enough_samples() {
        let mut times = Histogram::new();
        for nanos in 1..=1000 {
            times.record(Duration::from_nanos(nanos));
        }
        assert_eq!(times.quantile(0.5), Some(500.0));
        assert_eq!(times.quantile(0.99), Some(990.0));
        assert_eq!(times.quantile(0.999), None);
        let more = times.clone();
        (0..9).for_each(|_| times.add(&more));
        assert_eq!((times.count(), times.quantile(0.999)), (10_000, Some(999.0)));
    }

    #[test]
    fn out_of_range_counts_as_the_bound() {
        let mut times = Histogram::new();
        (0..20).for_each(|_| times.record(Duration::ZERO));
        assert_eq!(times.quantile(0.5), Some(1.0));
        (0..100).for_each(|_| times.record(Duration::from_secs(1000)));
        assert!(times.quantile(0.5).unwrap() > 5e10);
    }
}
