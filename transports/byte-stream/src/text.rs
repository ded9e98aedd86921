//! The text of `alloc_lpsz`: the owner's memory holds it, and whoever knows the secret may ask for it.
//!
//! The question is a hello with a transport of its own. The answer is a welcome, eight bytes of length
//! (little-endian; the NUL counts, and 0 says that there is no text), the text and its NUL.

use std::ffi::CStr;
use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Reply, Result};

/// The longest text, in bytes.
const LONGEST: usize = 16 << 20;
/// Bytes of the length.
pub(crate) const LENGTH: usize = 8;
/// What stands in place of a transport in the hello of one that asks.
const QUESTION: &str = "tcp text";

/// The hello of one that asks.
pub(crate) fn question() -> Hello {
    Hello { transport: QUESTION.into(), ..Hello::default() }
}

/// Whether it is the hello of one that asks.
pub(crate) fn is_question(hello: &Hello) -> bool {
    hello.transport == QUESTION
}

/// An owner's text, if it has one, in the form in which it is told.
#[derive(Debug, Clone)]
pub struct Text {
    answer: Arc<[u8]>,
    /// Where in the answer the text begins.
    at: usize,
}

impl Text {
    /// Keeps a text, or that there is none.
    pub fn new(text: Option<&[u8]>) -> Result<Self> {
        if text.is_some_and(|text| text.contains(&0) || text.len() > LONGEST) {
            return Err(Error::new(Operation::AllocLpsz, ErrorKind::InvalidOption).because(
                format!("a text has no NUL in it, and over tcp:// at most {LONGEST} bytes"),
            ));
        }
        let mut answer = Reply::Welcome(question()).encode()?;
        answer.extend(text.map_or(0, |text| text.len() as u64 + 1).to_le_bytes());
        let at = answer.len();
        if let Some(text) = text {
            answer.extend_from_slice(text);
            answer.push(0);
        }
        Ok(Self { answer: answer.into(), at })
    }

    /// What the owner says first to one that asks: a welcome and the length.
    pub(crate) fn head(&self) -> &[u8] {
        self.answer.get(..self.at).unwrap_or_default()
    }

    /// All that the owner says to one that asks.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// Shows the owner its own text.
    pub(crate) fn read(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        show(self.answer.get(self.at..).unwrap_or_default(), read)
    }
}

/// How many bytes of text and NUL follow a length. More than there can be are refused.
pub(crate) fn announced(length: [u8; LENGTH]) -> Result<usize> {
    match usize::try_from(u64::from_le_bytes(length)) {
        Ok(length) if length <= LONGEST + 1 => Ok(length),
        _ => Err(Error::new(Operation::ReadLpsz, ErrorKind::Corrupt)
            .because(format!("the owner announces a text of more than {LONGEST} bytes"))),
    }
}

/// Shows a text and its NUL.
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
