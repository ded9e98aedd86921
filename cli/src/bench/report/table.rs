use anyipc_measure::payload::Coverage;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::contents::Report;
use crate::bench::figures::Row;
use crate::bench::noise::half;

/// The columns that identify a row; a value that repeats the row above is left empty.
const PATTERN: &str = "pattern";
const SIZE: &str = "size";
const WAIT: &str = "wait";
const PACE: &str = "pace";
const TRANSPORT: &str = "transport";
const P99: &str = "p99 µs";
const P999: &str = "p99.9 µs";
const GIB: &str = "GiB/s";
const CPU: &str = "CPU µs";
const SPREAD: &str = "± %";
const UNSTABLE: &str = "unstable";
/// In place of the reasons, in a narrow terminal.
const MARK: &str = "!";
const RATIO: &str = "ratio";
const LIMIT: &str = "× limit";
/// Columns that a narrow terminal leaves out, in this order.
const SPARED: [&str; 7] = [UNSTABLE, P999, GIB, CPU, PACE, P99, SPREAD];

/// The machine and the settings.
pub(in super::super) fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let cores = match machine.cores {
        1 => "1 core".to_owned(),
        n => format!("{n} cores"),
    };
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let kernel = machine.kernel.as_deref().unwrap_or(&machine.target);
    let setting = &report.setting;
    let verify = match setting.verify {
        Coverage::Full => "every byte checked",
        Coverage::Line => "a word of every cache line checked",
    };
    let place = if setting.in_place { ", in place" } else { "" };
    let batch =
        if setting.batch > 1 { format!(", {} at once", setting.batch) } else { String::new() };
    let repetitions = match report.repetitions {
        1 => "1 repetition".to_owned(),
        n => format!("medians of {n} repetitions"),
    };
    format!("{cpu}, {cores}, {kernel}; {verify}{place}{batch}, {repetitions}")
}

/// The titles of the columns that these rows need.
pub(super) fn header(rows: &[Row]) -> Vec<&'static str> {
    let limit = rows.iter().any(|row| row.times_limit.is_some());
    let mut header = vec![PATTERN, SIZE, WAIT, PACE, TRANSPORT, "p50 µs", P99, P999, "M msg/s"];
    header.extend([GIB, CPU, SPREAD, if limit { LIMIT } else { RATIO }, UNSTABLE]);
    if rows.iter().all(|row| row.case.pace_label().is_none()) {
        header.retain(|title| *title != PACE);
    }
    if rows.iter().all(|row| row.unstable.is_empty()) {
        header.retain(|title| *title != UNSTABLE);
    }
    header
}

/// True for a column of words.
pub(super) fn is_text(title: &str) -> bool {
    matches!(title, PATTERN | WAIT | PACE | TRANSPORT | UNSTABLE | MARK)
}

/// The table in a terminal of `width` columns, or as wide as it is, and what was left out.
pub(in super::super) fn table(rows: &[Row], width: Option<usize>) -> (String, Vec<&'static str>) {
    let mut header = header(rows);
    let mut drawn = draw(rows, &header);
    let mut left_out = Vec::new();
    for title in SPARED {
        let needed = drawn.lines().next().map_or(0, |line| line.chars().count());
        if width.is_none_or(|width| needed <= width) {
            break;
        }
        let Some(at) = header.iter().position(|other| *other == title) else { continue };
        header.remove(at);
        if title == UNSTABLE {
            header.push(MARK);
            left_out.push("why rows are unstable (!)");
        } else {
            left_out.push(title);
        }
        drawn = draw(rows, &header);
    }
    (drawn, left_out)
}

/// One line per row, without the values that repeat the row above.
fn draw(rows: &[Row], header: &[&'static str]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    let mut above: Vec<String> = Vec::new();
    for row in rows {
        let cells = cells(row, header);
        let names = header.iter().position(|title| *title == TRANSPORT).unwrap_or_default();
        let same =
            above.iter().zip(&cells).take(names).take_while(|(above, cell)| above == cell).count();
        table.add_row(cells.iter().enumerate().map(|(at, cell)| if at < same { "" } else { cell }));
        above = cells;
    }
    for (title, column) in header.iter().zip(table.column_iter_mut()) {
        column.set_cell_alignment(if is_text(title) {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        });
        // Two blanks between columns, with that of the style.
        column.set_padding((1, u16::from(Some(title) == header.last())));
    }
    table.to_string()
}

/// The cells of these columns.
pub(super) fn cells(row: &Row, header: &[&str]) -> Vec<String> {
    let figures = &row.median;
    let micros = |nanos: Option<f64>| digits(nanos.map(|n| n / 1e3));
    let times = |ratio: Option<f64>| ratio.map_or_else(none, |ratio| format!("{ratio:.2}×"));
    let cell = |title: &&str| match *title {
        PATTERN => row.case.pattern.name().into(),
        SIZE => bytes(row.case.size),
        WAIT => row.case.wait.name().into(),
        PACE => row.case.pace_label().unwrap_or_default(),
        TRANSPORT => row.case.label(),
        "p50 µs" => micros(figures.p50_ns),
        P99 => micros(figures.p99_ns),
        P999 => micros(figures.p999_ns),
        "M msg/s" => digits(figures.messages_per_second.map(|rate| rate / 1e6)),
        GIB => digits(figures.gib_per_second),
        CPU => micros(figures.cpu_ns_per_message),
        SPREAD => row.spread.map_or_else(none, half),
        RATIO => times(row.ratio),
        LIMIT => times(row.times_limit),
        MARK if row.unstable.is_empty() => String::new(),
        MARK => MARK.into(),
        _ => row.unstable.join(", "),
    };
    header.iter().map(cell).collect()
}

fn none() -> String {
    "–".into()
}

/// Three significant digits, at most four decimals.
fn digits(value: Option<f64>) -> String {
    let Some(value) = value else { return none() };
    if value > 0.0 && value < 0.00005 {
        return "<0.0001".into();
    }
    let decimals = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// A size in its largest unit without a fraction.
pub(super) fn bytes(size: usize) -> String {
    match size {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        let shown: Vec<_> = [1234.5, 99.96, 12.345, 1.2345, 0.12345, 0.0382, 0.00001]
            .into_iter()
            .map(|v| digits(Some(v)))
            .collect();
        assert_eq!(shown, ["1234", "100", "12.3", "1.23", "0.123", "0.0382", "<0.0001"]);
        assert_eq!(digits(None), "–");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [bytes(64), bytes(1024), bytes(1500), bytes(1 << 20)],
            ["64 B", "1 KiB", "1500 B", "1 MiB"]
        );
    }
}
