//! Values of flags, parsed like the options of addresses.

use std::time::Duration;

pub(crate) use anyipc::transport::{parse_bytes as bytes, parse_span as span};

/// A time in the syntax of an address, in the largest unit without a fraction.
pub(crate) fn span_text(span: Duration) -> String {
    let nanos = span.as_nanos();
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    let whole = units.iter().find(|(_, factor)| nanos.is_multiple_of(*factor));
    whole.map_or_else(|| format!("{nanos}ns"), |(unit, factor)| format!("{}{unit}", nanos / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_units() {
        assert_eq!(bytes("64KiB"), Ok(65536));
        assert_eq!(span("250ms"), Ok(Duration::from_millis(250)));
        for text in ["0s", "90s", "250ms", "1us", "1ns"] {
            assert_eq!(span_text(span(text).unwrap()), text);
        }
        assert_eq!(span_text(Duration::MAX).len(), 31);
        assert!(bytes("1kb").unwrap_err().starts_with("not a number of bytes such as"));
        assert!(span("5").unwrap_err().contains("5s"));
    }
}
