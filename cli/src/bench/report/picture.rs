//! Time over size, both logarithmic: one panel for all rows that differ in transport and size only,
//! one line for each transport. With several gaps, time over gap.

use std::error::Error;
use std::io;
use std::ops::Range;
use std::time::Duration;

use anyipc_measure::pattern::Pattern;
use anyipc_measure::pattern::pace::Pace;
use anyipc_measure::wait::Wait;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

use super::contents::Report;
use super::table::bytes;
use super::table::heading;
use crate::bench::case::time;
use crate::bench::figures::Row;

const WIDTH: u32 = 670;
const HEIGHT: u32 = 460;
const COLUMNS: usize = 2;
const TITLE: u32 = 52;
/// Room for the names, right of the lines.
const NAMES: u32 = 170;
const FONT: &str = "sans-serif";

/// Colours that colour-blind readers can tell apart.
const COLOURS: [RGBColor; 16] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x17, 0xbe, 0xcf),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0x55, 0x55, 0x55),
    RGBColor(0xbc, 0xbd, 0x22),
    RGBColor(0x00, 0x00, 0x80),
    RGBColor(0x00, 0x80, 0x80),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0x98, 0xdf, 0x8a),
    RGBColor(0xae, 0xc7, 0xe8),
    RGBColor(0xff, 0xbb, 0x78),
];

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The picture, as SVG.
pub(in super::super) fn file(report: &Report) -> io::Result<Vec<u8>> {
    let mut svg = String::new();
    draw(report, &mut svg).map_err(io::Error::other)?;
    Ok(svg.into_bytes())
}

fn draw(report: &Report, svg: &mut String) -> Result<()> {
    let over = Over::choose(&report.rows);
    let panels = panels(&report.rows, over);
    let columns = panels.len().clamp(1, COLUMNS);
    let lines = panels.len().div_ceil(columns).max(1);
    let size = (WIDTH * columns as u32, TITLE + HEIGHT * lines as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    let title = TextStyle::from((FONT, 15).into_font()).color(&BLACK);
    for (line, y) in heading(report).split("; ").zip((12..).step_by(19)) {
        root.draw(&Text::new(line, (12, y), title.clone()))?;
    }
    let (_, rest) = root.split_vertically(TITLE);
    let mut labels: Vec<String> = report.rows.iter().map(|row| row.case.label()).collect();
    labels.sort();
    labels.dedup();
    for (area, rows) in rest.split_evenly((lines, columns)).iter().zip(&panels) {
        panel(area, rows, over, &labels)?;
    }
    root.present()?;
    Ok(())
}

/// The horizontal axis.
#[derive(Clone, Copy)]
enum Over {
    Size,
    Gap,
}

impl Over {
    fn choose(rows: &[Row]) -> Self {
        let mut gaps = rows.iter().filter_map(gap);
        let first = gaps.next();
        if gaps.any(|gap| Some(gap) != first) { Self::Gap } else { Self::Size }
    }

    /// The coordinates of a row: size or gap, and time.
    fn point(self, row: &Row) -> (f64, f64) {
        let x = match self {
            Self::Size => (row.case.size as f64).log2(),
            Self::Gap => (gap(row).unwrap_or_default().as_nanos().max(1) as f64).log10(),
        };
        (x, (row.cost() / 1e3).log10())
    }

    /// What all rows of a panel share: not both size and gap, or each row had its own panel.
    fn kind(self, row: &Row) -> (Pattern, Wait, Option<Pace>, Option<usize>) {
        let case = &row.case;
        match self {
            Self::Size => (case.pattern, case.wait, Some(case.pace), None),
            Self::Gap => (case.pattern, case.wait, None, Some(case.size)),
        }
    }

    /// The axis' title, the label of a value on it, and what all rows of a panel share besides
    /// pattern and wait.
    fn words(self, first: &Row) -> (&'static str, fn(f64) -> String, String) {
        match self {
            Self::Size => {
                let pace =
                    first.case.pace_label().map_or_else(String::new, |pace| format!(", {pace}"));
                ("message size", |x| bytes(x.exp2().round() as usize), pace)
            }
            Self::Gap => {
                let gap = |x| time(Duration::from_nanos(10f64.powf(x).round() as u64));
                ("gap between round trips", gap, format!(", {}", bytes(first.case.size)))
            }
        }
    }
}

fn gap(row: &Row) -> Option<Duration> {
    if let Pace::Gap(gap) = row.case.pace { Some(gap) } else { None }
}

/// The rows of each panel: they differ in transport and place only. Rows without a figure are left
/// out.
fn panels(rows: &[Row], over: Over) -> Vec<Vec<&Row>> {
    let mut panels: Vec<Vec<&Row>> = Vec::new();
    for row in rows.iter().filter(|row| row.cost().is_finite() && row.cost() > 0.0) {
        let same =
            |panel: &[&Row]| panel.first().is_some_and(|first| over.kind(first) == over.kind(row));
        match panels.iter_mut().find(|panel| same(panel)) {
            Some(panel) => panel.push(row),
            None => panels.push(vec![row]),
        }
    }
    // A round trip stands beside the stream that waits in the same way.
    panels.sort_by_key(|panel| panel.first().map(|row| (row.case.wait, row.case.pattern)));
    panels
}

/// A logarithmic axis with lines and labels at chosen values.
struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
    format: fn(f64) -> String,
}

impl Ranged for Axis {
    type ValueType = f64;
    type FormatOption = NoDefaultFormatting;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // No lines between the labelled ones.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        (self.format)(*value)
    }
}

fn panel(area: &Area<'_>, rows: &[&Row], over: Over, labels: &[String]) -> Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let points = || rows.iter().map(|row| over.point(row));
    let least = |of: fn((f64, f64)) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
    let greatest = |of: fn((f64, f64)) -> f64| points().map(of).fold(f64::NEG_INFINITY, f64::max);
    let (left, right) = (least(|p| p.0) - 0.5, greatest(|p| p.0) + 0.5);
    let bottom = least(|p| p.1).floor();
    let top = greatest(|p| p.1).ceil().max(bottom + 1.0);
    let mut places: Vec<f64> = points().map(|point| point.0).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let decades: Vec<f64> = (bottom as i32..=top as i32).map(f64::from).collect();
    let (what, how) = match first.case.pattern {
        Pattern::RoundTrip => ("round trip", "p50"),
        Pattern::Stream => ("stream", "time per message"),
    };
    let (axis, format, rest) = over.words(first);
    let title = format!("{what}, {}{rest}: {how} in µs", first.case.wait.name());
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(NAMES)
        .caption(title, (FONT, 17))
        .x_label_area_size(34)
        .y_label_area_size(54)
        .build_cartesian_2d(
            Axis { range: left..right, ticks: places, format },
            Axis { range: bottom..top, ticks: decades, format: |y| 10f64.powf(y).to_string() },
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(0xdd, 0xdd, 0xdd))
        .label_style((FONT, 13))
        .x_desc(axis)
        .draw()?;
    let mut names = Vec::new();
    for (label, colour) in labels.iter().zip(COLOURS.iter().cycle()) {
        let mut line: Vec<_> =
            rows.iter().filter(|row| row.case.label() == *label).copied().collect();
        line.sort_by(|a, b| over.point(a).0.total_cmp(&over.point(b).0));
        let Some(last) = line.last() else { continue };
        let style = colour.stroke_width(2);
        let dashed = last.case.is_baseline();
        let places = line.iter().map(|row| over.point(row));
        // Dashed: distinct from transports.
        if dashed {
            chart.draw_series(DashedLineSeries::new(places.clone(), 6, 4, style))?;
        } else {
            chart.draw_series(LineSeries::new(places.clone(), style))?;
        }
        chart.draw_series(places.map(|place| Circle::new(place, 3, colour.filled())))?;
        names.push((over.point(last).1, label, style, dashed));
    }
    // In the order in which the lines end.
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    for ((_, label, style, dashed), y) in names.into_iter().zip((60..).step_by(19)) {
        let x = (WIDTH - NAMES) as i32 + 10;
        let dashes = if dashed { vec![(x, x + 8), (x + 13, x + 21)] } else { vec![(x, x + 21)] };
        for (from, to) in dashes {
            area.draw(&PathElement::new([(from, y), (to, y)], style))?;
        }
        area.draw(&Text::new(label.as_str(), (x + 28, y - 6), (FONT, 13)))?;
    }
    Ok(())
}
