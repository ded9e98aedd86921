use std::fmt::{self, Display, Formatter, Write as _};
use std::io;

/// 128 random bits as 32 hexadecimal digits: a part of a name that no other process can guess.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Bytes of its text.
    pub const LEN: usize = 32;

    /// A new one.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut random = [0; Self::LEN / 2];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut text = String::with_capacity(Self::LEN);
        for byte in random {
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    /// The token in these bytes, which may be anything. `None` unless they are the text of one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let whole = bytes.len() == Self::LEN && bytes.iter().all(digit);
        whole.then(|| Self(bytes.iter().copied().map(char::from).collect()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Token {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_a_token_is_one() {
        let token = Token::random().unwrap();
        assert_ne!(token, Token::random().unwrap());
        assert_eq!(Token::parse(token.as_str().as_bytes()), Some(token));
        let most = "0123456789abcdef0123456789abcde".to_owned();
        for wrong in ["", "\\", "F", "g", " ", "\0", "/", ".", "ff", "é"] {
            assert_eq!(Token::parse(format!("{most}{wrong}").as_bytes()), None, "{wrong:?}");
        }
    }
}
