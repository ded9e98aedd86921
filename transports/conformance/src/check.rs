use std::fmt;
use std::thread;

use crate::{CHECKS, Fixture};

/// One check of the suite.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name, which is also the name of its `#[test]`.
    pub name: &'static str,
    /// The rule of the contract that it checks, in one sentence.
    pub rule: &'static str,
    /// The items of `anyipc_core` that document the rule.
    pub read: &'static str,
    /// The check itself, which panics when the transport breaks the rule.
    pub check: fn(&Fixture<'_>),
}

impl Check {
    /// Runs the check. If it fails, prints the rule and where to read about it to stderr.
    ///
    /// # Panics
    /// When the check fails.
    pub fn run(&self, fixture: &Fixture<'_>) -> Outcome {
        let _explanation = Explanation(self);
        fixture.take_skipped();
        (self.check)(fixture);
        fixture.take_skipped().map_or(Outcome::Passed, Outcome::Skipped)
    }
}

/// How a check ended that found no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The transport keeps the rule.
    Passed,
    /// The rule is about something that the transport does not claim. Why, in words.
    Skipped(String),
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Explains a check when it is dropped by a panic.
struct Explanation<'a>(&'a Check);

impl Drop for Explanation<'_> {
    fn drop(&mut self) {
        let Check { name, rule, read, .. } = self.0;
        if thread::panicking() {
            eprintln!(
                "conformance check `{name}` failed\n  rule: {rule}\n  read: {read} in anyipc_core"
            );
        }
    }
}

/// Runs every check after another, and prints the name of each before it begins.
///
/// # Panics
/// When a check fails.
pub fn run_all(fixture: &Fixture<'_>) {
    for check in CHECKS {
        println!("conformance: {}", check.name);
        check.run(fixture);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_a_rule_and_a_place_to_read() {
        for (i, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[..i].iter().all(|other| other.name != check.name), "{check:?} twice");
            assert!(!check.rule.is_empty() && !check.read.is_empty(), "{check:?} has no rule");
        }
    }
}
