//! Values of flags, read as the options of addresses are.

use std::time::Duration;

use anyipc::Key;
use anyipc::transport::{KeyKind, Options, Side};

/// A number of bytes such as `4096` or `64KiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    read(KeyKind::Bytes, text, Options::number)
}

/// A time such as `250ms` or `5s`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    read(KeyKind::Span, text, Options::span)
}

/// A time as an address takes it, in the largest unit that has it whole.
pub(crate) fn span_text(span: Duration) -> String {
    let nanos = span.as_nanos();
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    let whole = units.iter().find(|(_, factor)| nanos.is_multiple_of(*factor));
    whole.map_or_else(|| format!("{nanos}ns"), |(unit, factor)| format!("{}{unit}", nanos / factor))
}

fn read<T>(kind: KeyKind, text: &str, get: fn(&Options, Key) -> Option<T>) -> Result<T, String> {
    // Whoever reads this says of which flag it is.
    let said = format!("value={text:?}: ");
    let key = Key::new("value", kind, Side::Both, "");
    let options = Options::parse([(key.name, text)], &[&[key]])
        .map_err(|error| error.message().unwrap_or_default().trim_start_matches(&said).to_owned())?;
    get(&options, key).ok_or_else(|| "no value".to_owned())
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
