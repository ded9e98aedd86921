//! The text of `alloc_lpsz` over TCP: the owner's memory holds it, and a peer that proves the
//! secret may request it.
//!
//! The request is a hello with a transport name of its own. The answer is a welcome, eight bytes of
//! length (little-endian; it counts the NUL, and 0 says that there is no text), the text and its
//! NUL.

use std::ffi::CStr;
use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Reply, Result};

/// The longest text, in bytes.
const LONGEST: usize = 16 << 20;
/// The length of the length on the wire, in bytes.
pub(crate) const LENGTH: usize = 8;
/// The transport name in the hello of a request.
const REQUEST: &str = "tcp text";

/// The hello of a request.
pub(crate) fn request() -> Hello {
    Hello { transport: REQUEST.into(), ..Hello::default() }
}

/// True if it is the hello of a request.
pub(crate) fn is_request(hello: &Hello) -> bool {
    hello.transport == REQUEST
}

/// An owner's text, if it has one, in its wire form.
#[derive(Debug, Clone)]
pub struct Text {
    answer: Arc<[u8]>,
    /// The index in `answer` at which the text begins.
    at: usize,
}

impl Text {
    /// Keeps a text, or the fact that there is none.
    ///
    /// # Errors
    /// `InvalidOption` for a text with a NUL in it, or of more than 16 MiB.
    pub fn new(text: Option<&[u8]>) -> Result<Self> {
        if text.is_some_and(|text| text.contains(&0) || text.len() > LONGEST) {
            return Err(Error::new(Operation::AllocLpsz, ErrorKind::InvalidOption).because(
                format!("a text has no NUL in it, and over tcp:// at most {LONGEST} bytes"),
            ));
        }
        let mut answer = Reply::Welcome(request()).encode()?;
        answer.extend(text.map_or(0, |text| text.len() as u64 + 1).to_le_bytes());
        let at = answer.len();
        if let Some(text) = text {
            answer.extend_from_slice(text);
            answer.push(0);
        }
        Ok(Self { answer: answer.into(), at })
    }

    /// The first part of the answer to a request: a welcome and the length.
    pub(crate) fn head(&self) -> &[u8] {
        self.answer.get(..self.at).unwrap_or_default()
    }

    /// The whole answer to a request.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Shows the owner its own text.
    pub(crate) fn read(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        show(self.answer.get(self.at..).unwrap_or_default(), read)
    }
}

/// The number of bytes (text and NUL) that follow a length. `Corrupt` if no text is that long.
pub(crate) fn announced(length: [u8; LENGTH]) -> Result<usize> {
    match usize::try_from(u64::from_le_bytes(length)) {
        Ok(length) if length <= LONGEST + 1 => Ok(length),
        _ => Err(Error::new(Operation::ReadLpsz, ErrorKind::Corrupt)
            .because(format!("the owner announces a text of more than {LONGEST} bytes"))),
    }
}

/// Shows a text that ends with its NUL. `NotFound` if there is not even a NUL.
pub(crate) fn show(bytes: &[u8], read: &mut dyn FnMut(&CStr)) -> Result<()> {
    if bytes.is_empty() {
        return Err(Error::new(Operation::ReadLpsz, ErrorKind::NotFound)
            .because("the name has no text; alloc_lpsz makes one that does"));
    }
    let text = CStr::from_bytes_with_nul(bytes).map_err(|_| {
        Error::new(Operation::ReadLpsz, ErrorKind::Corrupt)
            .because("the owner's text has no NUL at its end")
    })?;
    read(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_they_are_believed() {
        assert_eq!(announced(0u64.to_le_bytes()).unwrap(), 0);
        assert_eq!(announced((LONGEST as u64 + 1).to_le_bytes()).unwrap(), LONGEST + 1);
        for long in [LONGEST as u64 + 2, u64::MAX] {
            assert_eq!(announced(long.to_le_bytes()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn only_whole_texts_are_shown() {
        let kind = |bytes| show(bytes, &mut |_| panic!("shown")).map_err(|error| error.kind());
        assert_eq!(kind(b""), Err(ErrorKind::NotFound));
        assert_eq!(kind(b"no end"), Err(ErrorKind::Corrupt));
        assert_eq!(kind(b"two\0ends\0"), Err(ErrorKind::Corrupt));
        assert!(Text::new(Some(b"a\0b")).is_err());
    }
}
