use std::io;

use super::contents::Report;
use super::notes::notes;
use super::table::heading;
use super::table::{cells, header, is_text};

/// Heading, table and notes.
pub(in super::super) fn file(report: &Report) -> io::Result<Vec<u8>> {
    let header = header(&report.rows);
    let rule = header.iter().map(|title| if is_text(title) { "---" } else { "---:" });
    let mut lines = vec![heading(report), String::new(), line(&header), line(rule)];
    lines.extend(report.rows.iter().map(|row| line(cells(row, &header))));
    lines.push(String::new());
    lines.extend(notes(report).iter().map(|note| format!("- {note}")));
    Ok((lines.join("\n") + "\n").into_bytes())
}

fn line(cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let cells = cells.into_iter().map(|cell| format!(" {} |", cell.as_ref().replace('|', "\\|")));
    format!("|{}", cells.collect::<String>())
}
