//! What a later instance hands over, and its bytes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::sys::{from_bytes, to_bytes};

/// What a later instance hands over to the first one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Launch {
    /// Its arguments, beginning with the name of the program: every byte, or every 16-bit unit on
    /// Windows, also where they are no Unicode.
    pub args: Vec<OsString>,
    /// Its current directory; `None` if that was removed or cannot be read.
    pub dir: Option<PathBuf>,
    /// Whatever else the program wants to hand over, such as a token with which a window may come
    /// to the front. Empty unless the program sets it.
    pub data: Vec<u8>,
}

impl Launch {
    /// The arguments and the directory of this process.
    pub fn current() -> Self {
        Self {
            args: std::env::args_os().collect(),
            dir: std::env::current_dir().ok(),
            data: Vec::new(),
        }
    }

    /// A path as the later instance meant it: a relative one begins in its directory, not in that
    /// of the first instance.
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        match &self.dir {
            Some(dir) => dir.join(path),
            None => path.as_ref().to_owned(),
        }
    }

    /// The number of arguments, the arguments, 0 or 1 directories, and the data; each with its
    /// length before it. Numbers have 32 bits, little-endian.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, self.args.len())?;
        for arg in &self.args {
            put(&mut bytes, &to_bytes(arg))?;
        }
        put_number(&mut bytes, usize::from(self.dir.is_some()))?;
        if let Some(dir) = &self.dir {
            put(&mut bytes, &to_bytes(dir.as_os_str()))?;
        }
        put(&mut bytes, &self.data)?;
        Ok(bytes)
    }

    /// `None` if these are no bytes of [`encode`](Self::encode).
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let mut launch = Self::default();
        for _ in 0..take_number(rest)? {
            launch.args.push(from_bytes(take(rest)?)?);
        }
        launch.dir = match take_number(rest)? {
            0 => None,
            1 => Some(from_bytes(take(rest)?)?.into()),
            _ => return None,
        };
        launch.data = take(rest)?;
        rest.is_empty().then_some(launch)
    }
}

fn put_number(bytes: &mut Vec<u8>, number: usize) -> Result<()> {
    let number = u32::try_from(number).map_err(|_| {
        Error::new(Operation::Send, ErrorKind::MessageTooLarge)
            .because("an argument has more than 4 GiB")
    })?;
    bytes.extend_from_slice(&number.to_le_bytes());
    Ok(())
}

fn put(bytes: &mut Vec<u8>, item: &[u8]) -> Result<()> {
    put_number(bytes, item.len())?;
    bytes.extend_from_slice(item);
    Ok(())
}

fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

fn take(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let len = take_number(bytes)?;
    let (item, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(item.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_launch_arrives_as_it_was(
            args in proptest::collection::vec(".{0,20}", 0..8),
            dir in proptest::option::of(".{0,20}"),
            data in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let launch = Launch {
                args: args.into_iter().map(OsString::from).collect(),
                dir: dir.map(PathBuf::from),
                data,
            };
            let bytes = launch.encode().unwrap();
            prop_assert_eq!(Launch::decode(&bytes), Some(launch));
            // Every length is checked.
            for end in 0..bytes.len() {
                prop_assert_eq!(Launch::decode(&bytes[..end]), None);
            }
        }

        #[test]
        fn garbage_is_no_launch_or_one(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(launch) = Launch::decode(&bytes) {
                prop_assert_eq!(launch.encode().unwrap(), bytes);
            }
        }
    }

    #[test]
    fn a_relative_path_begins_in_the_later_ones_directory() {
        let mut launch = Launch { dir: Some("/home/me".into()), ..Launch::default() };
        assert_eq!(launch.resolve("src/main.rs"), Path::new("/home/me/src/main.rs"));
        assert_eq!(launch.resolve("/etc/fstab"), Path::new("/etc/fstab"));
        launch.dir = None;
        assert_eq!(launch.resolve("main.rs"), Path::new("main.rs"));
    }
}
