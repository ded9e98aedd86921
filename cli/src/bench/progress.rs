//! The progress bar on stderr, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::case::Case;
use super::plan::Plan;

/// Drawn between rows only, so that drawing takes no time from a measurement.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// `quiet`: draws nothing.
    pub(super) fn new(plan: &Plan, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        bar.set_length((plan.cases.len() * plan.repetitions) as u64);
        let style = ProgressStyle::with_template("{bar:20} {pos}/{len}, {eta} left: {wide_msg}");
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Shows the row that is measured now.
    pub(super) fn show(&self, case: &Case) {
        self.0.set_message(case.to_string());
    }

    /// One row is done.
    pub(super) fn step(&self) {
        self.0.inc(1);
    }
}

/// Removes the bar, after an error too.
impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
