use std::sync::OnceLock;

use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};

/// Bytes of a page of memory.
pub fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let mut info = SYSTEM_INFO::default();
        // SAFETY: the call fills in the structure, and does nothing else.
        unsafe { GetSystemInfo(&mut info) };
        info.dwPageSize as usize
    })
}
