use std::env;
use std::io;
use std::mem;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::time::Duration;

use anyipc_os::Fd;
use windows_sys::Win32::Storage::FileSystem::{
    GetDiskFreeSpaceExW, GetVolumeInformationW, GetVolumePathNameW,
};
use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

use crate::facts::{printed, size};

pub(crate) fn system() -> String {
    printed("cmd", &["/C", "ver"]).unwrap_or_else(|| "Windows".to_owned())
}

/// A program of wine's, which Windows does not have.
fn is_wine() -> bool {
    let root = env::var("SystemRoot").unwrap_or_else(|_| r"C:\windows".to_owned());
    Path::new(&root).join(r"system32\winecfg.exe").exists()
}

pub(crate) fn kernel() -> String {
    let key = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    let named = |value| {
        let text = printed("reg", &["query", key, "/v", value])?;
        text.split("REG_SZ").nth(1).map(|value| value.trim().to_owned())
    };
    let (product, build) = (named("ProductName"), named("BuildLabEx"));
    let words: Vec<_> = [product, build].into_iter().flatten().collect();
    if words.is_empty() { "unknown".to_owned() } else { words.join(", build ") }
}

/// Wine, or a program for another processor on Windows for ARM.
pub(crate) fn emulation() -> String {
    let processor = env::var("PROCESSOR_IDENTIFIER").unwrap_or_default();
    if is_wine() {
        "wine".to_owned()
    } else if processor.contains("ARM") && !cfg!(target_arch = "aarch64") {
        "an emulated processor".to_owned()
    } else {
        String::new()
    }
}

pub(crate) fn container() -> String {
    let key = r"HKLM\SYSTEM\CurrentControlSet\Control";
    match printed("reg", &["query", key, "/v", "ContainerType"]) {
        Some(_) => "yes".to_owned(),
        None => "none seen".to_owned(),
    }
}

pub(crate) fn memory() -> String {
    let mut status =
        MEMORYSTATUSEX { dwLength: mem::size_of::<MEMORYSTATUSEX>() as u32, ..Default::default() };
    // SAFETY: the structure has the length that it says.
    if unsafe { GlobalMemoryStatusEx(&mut status) } == 0 {
        return io::Error::last_os_error().to_string();
    }
    format!("{}, {} available", size(status.ullTotalPhys), size(status.ullAvailPhys))
}

/// Its type, and what is free.
pub(crate) fn file_system(path: &Path) -> String {
    let path: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let (mut root, mut kind, mut free) = ([0_u16; 300], [0_u16; 64], 0);
    // SAFETY: the path ends with 0, and each length is that of its buffer.
    let found = unsafe {
        GetVolumePathNameW(path.as_ptr(), root.as_mut_ptr(), root.len() as u32) != 0
            && GetVolumeInformationW(
                root.as_ptr(),
                ptr::null_mut(),
                0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                kind.as_mut_ptr(),
                kind.len() as u32,
            ) != 0
            && GetDiskFreeSpaceExW(root.as_ptr(), &mut free, ptr::null_mut(), ptr::null_mut()) != 0
    };
    if !found {
        return io::Error::last_os_error().to_string();
    }
    let length = kind.iter().position(|unit| *unit == 0).unwrap_or(kind.len());
    format!("{}, {} free", String::from_utf16_lossy(&kind[..length]), size(free))
}

pub(crate) fn home() -> Option<String> {
    env::home_dir()?.into_os_string().into_string().ok()
}

/// Tries to give a file another length.
pub(crate) fn set_len(file: &Fd, len: usize) -> io::Result<()> {
    // Sets the length, whatever it is.
    file.reserve(len, Duration::ZERO)
}

/// There are no forks on Windows.
pub(crate) fn forked(_run: impl FnOnce() -> bool) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Only for forks.
pub(crate) fn peek(_address: *const u8) -> bool {
    false
}
