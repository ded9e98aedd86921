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

fn read<T>(kind: KeyKind, text: &str, get: fn(&Options, Key) -> Option<T>) -> Result<T, String> {
    let key = Key::new("value", kind, Side::Both, "");
    let options = Options::parse([(key.name, text)], &[&[key]])
        .map_err(|error| error.message().unwrap_or_default().to_owned())?;
    get(&options, key).ok_or_else(|| "no value".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_units() {
        assert_eq!(bytes("64KiB"), Ok(65536));
        assert_eq!(span("250ms"), Ok(Duration::from_millis(250)));
        assert!(bytes("1kb").unwrap_err().contains("64KiB"));
        assert!(span("5").unwrap_err().contains("5s"));
    }
}
