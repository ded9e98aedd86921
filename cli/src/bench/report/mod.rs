//! The report: a table for people, JSON and CSV for programs, Markdown and a picture for documents,
//! and notes on what none of them shows.

mod contents;
pub(super) mod csv;
pub(super) mod json;
pub(super) mod markdown;
mod notes;
pub(super) mod picture;
mod table;
#[cfg(test)]
mod tests;

pub(super) use contents::{Format, Report, save};
pub(super) use notes::notes;
pub(super) use table::{heading, table};
