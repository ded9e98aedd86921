use std::fmt;

use crate::{Error, ErrorKind, Operation, Result, excerpt};

/// The longest name, in bytes of UTF-8.
pub const MAX_NAME: usize = 255;

/// The name of an object: UTF-8 of 1 to 255 bytes without NUL, `/`, `\` and control characters, and
/// not `.` or `..`. Or a [path](Self::path), for a transport that
/// [takes paths](crate::Transport::takes_paths).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Checks the rules.
    ///
    /// # Errors
    /// `InvalidName`; the message says which rule is broken.
    ///
    /// ```
    /// use anyipc_core::Name;
    /// assert!(Name::new("edix.errors").is_ok());
    /// assert!(Name::new("a/b").is_err());
    /// ```
    pub fn new(name: &str) -> Result<Self> {
        let fault = if name.is_empty() {
            "a name needs at least one byte".to_owned()
        } else if name.len() > MAX_NAME {
            format!("{} bytes are more than the {MAX_NAME} a name may have", name.len())
        } else if name == "." || name == ".." {
            "`.` and `..` are not names".to_owned()
        } else if let Some(c) = name.chars().find(|c| matches!(c, '/' | '\\') || c.is_control()) {
            format!("{c:?} may not stand in a name")
        } else {
            return Ok(Self(name.into()));
        };
        Err(Error::new(Operation::Address, ErrorKind::InvalidName)
            .because(format!("{}: {fault}", excerpt(name))))
    }

    /// An absolute path in place of a name: UTF-8 of 2 to 255 bytes that begins with `/`, without
    /// NUL, control characters and a `/` at the end.
    ///
    /// # Errors
    /// `InvalidName`; the message says which rule is broken.
    pub fn path(path: &str) -> Result<Self> {
        let fault = if !path.starts_with('/') {
            "an absolute path begins with `/`".to_owned()
        } else if path.len() > MAX_NAME {
            format!("{} bytes are more than the {MAX_NAME} a path may have", path.len())
        } else if path.ends_with('/') {
            "a path ends with the name of a file".to_owned()
        } else if let Some(c) = path.chars().find(|c| c.is_control()) {
            format!("{c:?} may not stand in a path")
        } else {
            return Ok(Self(path.into()));
        };
        Err(Error::new(Operation::Address, ErrorKind::InvalidName)
            .because(format!("{}: {fault}", excerpt(path))))
    }

    /// True if this is an absolute path.
    pub fn is_path(&self) -> bool {
        self.0.starts_with('/')
    }

    /// The name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that every file system accepts: up to 24 readable bytes, `-`, and the 32 hexadecimal
    /// digits of a 128-bit FNV-1a hash of the exact bytes. An object stores its full name, so a
    /// collision is noticed (`NameCollision`).
    pub fn os_name(&self) -> String {
        let readable = |b: u8| {
            if b.is_ascii_alphanumeric() || b == b'.' || b == b'_' { b as char } else { '_' }
        };
        let mut os: String = self.0.bytes().take(24).map(readable).collect();
        if os.starts_with('.') {
            os.replace_range(..1, "_");
        }
        os.push_str(&format!("-{:032x}", fnv1a_128(self.0.as_bytes())));
        os
    }
}

/// FNV-1a with the 128-bit parameters of <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62272e07bb014262b821756295c58d;
    const PRIME: u128 = 0x0000000001000000000000000000013b;
    bytes.iter().fold(OFFSET, |hash, &b| (hash ^ u128::from(b)).wrapping_mul(PRIME))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_bad_class_is_refused() {
        for bad in
            ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "a\u{7f}b", "\u{85}", &"x".repeat(256)]
        {
            let error = Name::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{bad:?}");
        }
        for good in ["a", "...", "ä ö", "x-y_z.1", &"x".repeat(255), "日本語"] {
            assert!(Name::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_path_is_absolute_and_names_a_file() {
        for bad in ["", "a", "a/b", "/", "/a/", "/a\0b", "/a\nb", &format!("/{}", "x".repeat(255))]
        {
            assert_eq!(Name::path(bad).unwrap_err().kind(), ErrorKind::InvalidName, "{bad:?}");
        }
        for good in ["/a", "/tmp/a b.sock", "/../ä", "/a\\b"] {
            assert!(Name::path(good).unwrap().is_path(), "{good:?}");
        }
        assert!(!Name::new("a").unwrap().is_path());
    }

    proptest! {
        #[test]
        fn any_name_is_safe_as_a_file_name(text in "\\PC{1,80}") {
            if let Ok(name) = Name::new(&text) {
                let os = name.os_name();
                prop_assert!(os.len() <= 57 && os.is_ascii());
                prop_assert!(!os.starts_with('.') && !os.contains('/'));
            }
        }

        #[test]
        fn different_names_differ(a in "[a-z]{1,30}", b in "[a-z]{1,30}") {
            let (x, y) = (Name::new(&a)?.os_name(), Name::new(&b)?.os_name());
            prop_assert_eq!(a == b, x == y);
        }
    }
}
