use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;
use terminal_size::terminal_size_of;

use crate::failure::{Failure, Result};

/// The version of the fields that `--json` prints.
const SCHEMA: u32 = 1;

/// Data goes to the standard output, everything else to the standard error.
///
/// Data is buffered: [`flush`](Self::flush) before waiting. A reader that has left ends the command
/// quietly.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    data: RefCell<BufWriter<Stdout>>,
}

/// A JSON line, with its schema first.
#[derive(Serialize)]
struct Line<T> {
    schema: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct ErrorLine<T> {
    error: T,
}

impl Output {
    /// `json`: data and errors are JSON lines. `quiet`: no notes.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, data: RefCell::new(BufWriter::new(io::stdout())) }
    }

    /// True if data is printed as JSON lines.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// True if notes are not printed.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Columns of the terminal that data goes to; `None` if data goes elsewhere.
    pub(crate) fn width(&self) -> Option<usize> {
        terminal_size_of(io::stdout()).map(|(width, _)| width.0.into())
    }

    /// One JSON line of data: the fields of `body` after `"schema":1`. `body` serializes as a map.
    pub(crate) fn record(&self, body: impl Serialize) -> Result<()> {
        let line = json_line(body).map_err(|e| Failure::Io("writing JSON".into(), e))?;
        self.bytes(&line)
    }

    /// One line of text, with control characters made visible.
    pub(crate) fn line(&self, text: impl Display) -> Result<()> {
        let text = text.to_string();
        self.bytes(visible(&text).as_bytes())?;
        self.bytes(b"\n")
    }

    /// Prose, wrapped to the width of the terminal; lines after the first begin with `indent`.
    pub(crate) fn prose(&self, text: &str, indent: &str) -> Result<()> {
        self.line(self.width().map_or(text.into(), |width| wrapped(text, indent, width)))
    }

    /// Bytes, unchanged.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        self.data.borrow_mut().write_all(bytes).map_err(stdout_failed)
    }

    /// Writes all buffered data.
    pub(crate) fn flush(&self) -> Result<()> {
        self.data.borrow_mut().flush().map_err(stdout_failed)
    }

    /// A remark on the standard error, unless `--quiet`.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            // A failure has nowhere to be reported.
            let _ = writeln!(io::stderr(), "{}", visible(&text.to_string()));
        }
    }

    /// A failure on the standard error; with `--json` as one line of JSON.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Some(error) = failure.body() else { return };
        if self.json
            && let Ok(line) = json_line(ErrorLine { error })
        {
            let _ = io::stderr().write_all(&line);
            return;
        }
        if matches!(failure, Failure::Interrupted) {
            return;
        }
        // `anstream` drops colours without a terminal or with NO_COLOR.
        let _ = writeln!(
            anstream::stderr(),
            "\x1b[1;31merror:\x1b[0m {}",
            visible(&failure.to_string())
        );
    }
}

/// A JSON line with its line end.
pub(crate) fn json_line(body: impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line { schema: SCHEMA, body })?;
    line.push(b'\n');
    Ok(line)
}

/// The failure that a failed write to the standard output means.
pub(crate) fn stdout_failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
        _ => Failure::Io("writing to the standard output".into(), error),
    }
}

/// Wrapped at blanks to lines of `width` characters; a longer word has a line of its own.
fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let length = |text: &str| text.chars().count();
    let (mut lines, mut column) = (String::new(), 0);
    for word in text.split(' ') {
        if column == 0 {
            column = length(word);
        } else if column + 1 + length(word) <= width {
            lines.push(' ');
            column += 1 + length(word);
        } else {
            lines.push('\n');
            lines.push_str(indent);
            column = length(indent) + length(word);
        }
        lines.push_str(word);
    }
    lines
}

/// Escapes control characters: text of other programs must not control the terminal.
fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(hidden) {
        return text.into();
    }
    text.chars()
        .map(|c| if hidden(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_made_visible() {
        assert_eq!(visible("a\x1b[31m\tb\nü"), "a\\u{1b}[31m\tb\nü");
    }

    #[test]
    fn prose_is_broken_at_blanks() {
        let text = "- a round trip is two µs-messages";
        assert_eq!(wrapped(text, "  ", 80), text);
        assert_eq!(wrapped(text, "  ", 15), "- a round trip\n  is two\n  µs-messages");
        assert_eq!(wrapped(text, "  ", 1).lines().count(), 7);
    }

    #[test]
    fn the_schema_comes_first() {
        #[derive(Serialize)]
        struct Body {
            b: u8,
            a: u8,
        }
        assert_eq!(json_line(Body { b: 1, a: 2 }).unwrap(), b"{\"schema\":1,\"b\":1,\"a\":2}\n");
    }
}
