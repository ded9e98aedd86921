//! The table.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyipc_measure::stats::median;

use crate::measure::{Distance, Measured, Rep};
use crate::plan::length;

const HEAD: &str = "\
| against | pattern | size | ours | theirs ns | ours ns | times faster | of the medians | spread \
| goal | cores | reps |
| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |
";

const NOTES: &str = "
Nanoseconds per message or round trip: medians. Times faster: the median of the ratios of one
repetition each, in which both ran one after the other; the spread is from the smallest to the
largest. Cores: the distance between them, with the nanoseconds of a bare cache line there and back.
Repetitions during which that changed are left out, unless there are no others.
";

/// All measured rows, as Markdown: a line for each of ours and each distance between the cores.
pub(crate) fn table(all: &[Measured], missing: &BTreeSet<String>) -> String {
    let mut table = HEAD.to_owned();
    for Measured { row, reps } in all {
        let groups = reps.as_deref().map(by_distance);
        for (at, ours) in row.ours.iter().enumerate() {
            let start = format!(
                "| {} | {} | {} | {} |",
                row.what,
                row.pattern.word(),
                length(row.size),
                ours.label
            );
            let lines = match &groups {
                Ok(groups) => {
                    groups.iter().map(|(cores, reps)| figures(at, ours.goal, cores, reps)).collect()
                }
                Err(why) => vec![format!("{why} | | | | | | | |")],
            };
            for line in lines {
                let _ = writeln!(table, "{start} {line}");
            }
        }
    }
    table += NOTES;
    for name in missing {
        let _ = writeln!(table, "\nLeft out, as it was not built here: {name}.");
    }
    table
}

/// Repetitions by distance of the cores, where a distance has two or more; otherwise all of them.
fn by_distance(reps: &[Rep]) -> Vec<(&'static str, Vec<&Rep>)> {
    let at = |distance| reps.iter().filter(|rep| rep.distance == distance).collect::<Vec<_>>();
    let groups = [("near", at(Distance::Near)), ("far", at(Distance::Far))];
    let groups: Vec<_> = groups.into_iter().filter(|(_, reps)| reps.len() > 1).collect();
    if groups.is_empty() { vec![("moved", reps.iter().collect())] } else { groups }
}

fn figures(at: usize, goal: Option<f64>, cores: &str, reps: &[&Rep]) -> String {
    let median_of =
        |of: &dyn Fn(&Rep) -> f64| median(reps.iter().map(|rep| of(rep))).unwrap_or(f64::NAN);
    let (theirs, ours) = (median_of(&|rep| rep.theirs), median_of(&|rep| rep.ours[at]));
    let ratio = |rep: &Rep| rep.theirs / rep.ours[at];
    let ratios: Vec<_> = reps.iter().map(|rep| ratio(rep)).collect();
    let (least, most) = (fold(&ratios, f64::min), fold(&ratios, f64::max));
    let times = median(ratios).unwrap_or(f64::NAN);
    let goal = match goal {
        Some(goal) if rounded(times) >= rounded(goal) => format!("{} reached", digits(goal)),
        Some(goal) => format!("{} missed", digits(goal)),
        None => "–".to_owned(),
    };
    format!(
        "{} | {} | {} | {} | {}–{} | {goal} | {cores} {:.0} | {} |",
        digits(theirs),
        digits(ours),
        digits(times),
        digits(theirs / ours),
        digits(least),
        digits(most),
        median_of(&|rep| rep.line),
        reps.len(),
    )
}

fn fold(values: &[f64], choose: fn(f64, f64) -> f64) -> f64 {
    values.iter().copied().reduce(choose).unwrap_or(f64::NAN)
}

/// In hundredths: ratios are quoted with two decimals.
fn rounded(value: f64) -> i64 {
    (value * 100.0).round() as i64
}

/// Three significant digits.
fn digits(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_told_apart_by_distance() {
        let rep = |distance| Rep { distance, line: 0.0, theirs: 1.0, ours: vec![1.0] };
        let names =
            |reps: &[Rep]| by_distance(reps).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(&[Distance::Near, Distance::Near, Distance::Far].map(rep)), ["near"]);
        assert_eq!(names(&[Distance::Near, Distance::Moved, Distance::Far].map(rep)), ["moved"]);
        let both = [Distance::Near, Distance::Near, Distance::Far, Distance::Far];
        assert_eq!(names(&both.map(rep)), ["near", "far"]);
    }
}
