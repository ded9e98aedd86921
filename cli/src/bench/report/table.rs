use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::Report;
use crate::bench::figures::Row;

const HEADER: [&str; 12] = [
    "pattern",
    "size",
    "transport",
    "peer",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "M msg/s",
    "GiB/s",
    "CPU µs",
    "± %",
    "ratio",
];

/// Where and how it was measured.
pub(in super::super) fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let cores = match machine.cores {
        1 => "1 core".to_owned(),
        n => format!("{n} cores"),
    };
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let kernel = machine.kernel.as_deref().unwrap_or(&machine.target);
    format!(
        "{cpu}, {cores}, {kernel}; wait={}, medians of {} repetitions",
        report.wait.name(),
        report.repetitions
    )
}

/// One line per row; pattern and size stand once per group.
pub(in super::super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(HEADER);
    for group in rows.chunk_by(same_group) {
        for (index, row) in group.iter().enumerate() {
            table.add_row(cells(row, index == 0));
        }
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let text = matches!(index, 0 | 2 | 3);
        column.set_cell_alignment(if text { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((1, 1));
    }
    table.to_string()
}

fn same_group(a: &Row, b: &Row) -> bool {
    (a.case.pattern, a.case.size) == (b.case.pattern, b.case.size)
}

fn cells(row: &Row, first: bool) -> Vec<String> {
    let figures = &row.median;
    let micros = |nanos: Option<f64>| digits(nanos.map(|n| n / 1e3));
    let label = |text: String| if first { text } else { String::new() };
    vec![
        label(row.case.pattern.name().into()),
        label(bytes(row.case.size)),
        row.case.transport.into(),
        row.case.peer.name().into(),
        micros(figures.p50_ns),
        micros(figures.p99_ns),
        micros(figures.p999_ns),
        digits(figures.messages_per_second.map(|rate| rate / 1e6)),
        digits(figures.gib_per_second),
        micros(figures.cpu_ns_per_message),
        row.spread.map_or_else(none, |spread| format!("{:.0}", spread * 50.0)),
        row.ratio.map_or_else(none, |ratio| format!("{ratio:.2}×")),
    ]
}

fn none() -> String {
    "–".into()
}

/// Three significant digits, as far as four decimals show them.
fn digits(value: Option<f64>) -> String {
    let Some(value) = value else { return none() };
    let decimals = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

fn bytes(size: usize) -> String {
    match size {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figures::{Figures, rank};
    use crate::bench::pattern::Pattern;
    use crate::bench::plan::{Case, PeerKind};

    #[test]
    fn three_digits() {
        let shown: Vec<_> = [1234.5, 99.96, 12.345, 1.2345, 0.12345, 0.0382, 0.00001]
            .into_iter()
            .map(|v| digits(Some(v)))
            .collect();
        assert_eq!(shown, ["1234", "100", "12.3", "1.23", "0.123", "0.0382", "0.0000"]);
        assert_eq!(digits(None), "–");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [bytes(64), bytes(1024), bytes(1500), bytes(1 << 20)],
            ["64 B", "1 KiB", "1500 B", "1 MiB"]
        );
    }

    #[test]
    fn a_row_shows_its_figures() {
        let case = |transport| Case {
            transport,
            peer: PeerKind::Process,
            pattern: Pattern::RoundTrip,
            size: 64,
            options: Vec::new(),
        };
        let figures = |p50_ns| Figures { p50_ns: Some(p50_ns), ..Figures::default() };
        let rows = rank(vec![(case("slow"), vec![figures(500.0)]), (case("fast"), vec![figures(200.0)])]);
        let text = table(&rows);
        let line = |word: &str| text.lines().find(|l| l.contains(word)).unwrap().to_owned();
        assert!(line("fast").contains("round-trip") && line("fast").contains("0.200"), "{text}");
        assert!(line("fast").contains("1.00×") && line("slow").contains("2.50×"), "{text}");
        assert!(!line("slow").contains("round-trip"), "{text}");
        assert_eq!(text.matches("ratio").count(), 1);
    }
}
