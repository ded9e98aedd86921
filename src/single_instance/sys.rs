//! Arguments and paths as bytes, without loss.

use std::ffi::{OsStr, OsString};

/// The name of the message in the handshake: processes that write arguments in another way do not
/// understand each other.
pub(super) const LAUNCH: &str =
    if cfg!(windows) { "anyipc.Launch.utf16/1" } else { "anyipc.Launch/1" };

/// The bytes of a Unix system, as they are.
#[cfg(unix)]
pub(super) fn to_bytes(text: &OsStr) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(text).to_vec()
}

#[cfg(unix)]
pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    Some(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

/// The 16-bit units of Windows, little-endian. They may be no UTF-16.
#[cfg(windows)]
pub(super) fn to_bytes(text: &OsStr) -> Vec<u8> {
    std::os::windows::ffi::OsStrExt::encode_wide(text).flat_map(u16::to_le_bytes).collect()
}

#[cfg(windows)]
pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    rest.is_empty().then(|| std::os::windows::ffi::OsStringExt::from_wide(&units))
}
