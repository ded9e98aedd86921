//! The progress bar on stderr, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Kills so far.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// `kills`: all, if their number is known. `quiet`: draws nothing.
    pub(super) fn new(kills: Option<u64>, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let template = match kills {
            Some(kills) => {
                bar.set_length(kills);
                "{bar:20} {pos}/{len} kills, {elapsed} {wide_msg}"
            }
            None => "{pos} kills, {elapsed} {wide_msg}",
        };
        let style = ProgressStyle::with_template(template);
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    pub(super) fn step(&self) {
        self.0.inc(1);
    }

    pub(super) fn message(&self, text: &'static str) {
        self.0.set_message(text);
    }
}

/// Removes the bar, after an error too.
impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
