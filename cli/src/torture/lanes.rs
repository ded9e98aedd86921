//! The numbers of one lane of messages: what was sent, and what arrived at one receiver.

use std::ops::Range;

use super::oracle::{Check, Findings};
use super::record::Record;

#[derive(Debug, Default)]
pub(super) struct Lane {
    /// One more than the last number that a send was done with.
    next: u64,
    /// Numbers of sends that gave up.
    unsent: Vec<u64>,
    /// One more than the highest number that arrived.
    arrived: u64,
    /// Numbers that were overtaken and have not arrived yet.
    gaps: Vec<Range<u64>>,
    got: u64,
}

impl Lane {
    pub(super) fn sent(&mut self, number: u64) {
        self.next = self.next.max(number + 1);
    }

    pub(super) fn unsent(&mut self, number: u64) {
        self.sent(number);
        self.unsent.push(number);
    }

    pub(super) fn count_sent(&self) -> u64 {
        self.next.saturating_sub(self.unsent.len() as u64)
    }

    pub(super) fn count_got(&self) -> u64 {
        self.got
    }

    /// A message has come.
    pub(super) fn got(
        &mut self,
        record: &Record,
        worker: impl Fn() -> String,
        findings: &mut Findings,
    ) {
        for check in [Check::Torn, Check::Twice, Check::Order] {
            findings.checked(check);
        }
        self.got += 1;
        let number = record.id.number;
        if number >= self.arrived {
            if number > self.arrived {
                self.gaps.push(self.arrived..number);
            }
            self.arrived = number + 1;
            return;
        }
        let what = record.id;
        match self.gaps.iter().position(|gap| gap.contains(&number)) {
            Some(index) => {
                let gap = self.gaps.swap_remove(index);
                let parts = [gap.start..number, number + 1..gap.end];
                self.gaps.extend(parts.into_iter().filter(|part| !part.is_empty()));
                let what = format!("{what} came after message {}", self.arrived - 1);
                findings.violation(Check::Order, record.at, worker(), what);
            }
            None => {
                let what = format!("{what} came twice");
                findings.violation(Check::Twice, record.at, worker(), what);
            }
        }
    }

    /// What is wrong at the end. `complete`: the receiver received until its end.
    pub(super) fn faults(&self, complete: bool, sender_died: bool) -> Vec<(Check, String)> {
        let mut faults = Vec::new();
        let last =
            if complete && self.arrived < self.next { self.arrived..self.next } else { 0..0 };
        let missing: Vec<u64> = self
            .gaps
            .iter()
            .cloned()
            .chain([last])
            .flatten()
            .filter(|number| !self.unsent.contains(number))
            .collect();
        if let (Some(first), Some(last)) = (missing.iter().min(), missing.iter().max()) {
            let what = format!(
                "{} of {} messages sent with Ok have not arrived, numbers {first} to {last}",
                missing.len(),
                self.count_sent()
            );
            faults.push((Check::Lost, what));
        }
        let is_missing = |number: &u64| self.gaps.iter().any(|gap| gap.contains(number));
        for number in &self.unsent {
            if *number < self.arrived && !is_missing(number) {
                let what = format!("message {number} has arrived; its send had timed out");
                faults.push((Check::Unsent, what));
            }
        }
        // A sender that was killed may have been about to say Ok.
        let begun = self.next + u64::from(sender_died);
        if self.arrived > begun {
            let what = format!("message {} has arrived; {begun} were sent", self.arrived - 1);
            faults.push((Check::Unsent, what));
        }
        faults
    }
}
