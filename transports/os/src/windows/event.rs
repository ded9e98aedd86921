use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;
use std::task::Wake;

use anyipc_core::{Handles, Source};
use windows_sys::Win32::Foundation::{HANDLE, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading::{
    CreateEventW, ResetEvent, SetEvent, WaitForSingleObject,
};

/// Signalled from [`set`](Self::set) to [`reset`](Self::reset): what a thread or a reactor waits
/// for.
#[derive(Debug)]
pub struct Event(Arc<OwnedHandle>);

impl Event {
    /// One that is not signalled.
    pub fn new() -> io::Result<Arc<Self>> {
        const MANUAL: i32 = 1;
        // SAFETY: a nameless event without attributes; no memory of ours is handed over.
        let handle = unsafe { CreateEventW(ptr::null(), MANUAL, 0, ptr::null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was made just now, and this is its only owner.
        Ok(Arc::new(Self(Arc::new(unsafe { OwnedHandle::from_raw_handle(handle) }))))
    }

    /// Signals it.
    pub fn set(&self) {
        // SAFETY: the handle is open as long as `self` lives. Setting an event of ours does not
        // fail.
        unsafe { SetEvent(self.raw()) };
    }

    /// Ends that.
    pub fn reset(&self) {
        // SAFETY: as in `set`.
        unsafe { ResetEvent(self.raw()) };
    }

    /// Whether it is signalled.
    pub fn is_set(&self) -> bool {
        // SAFETY: the handle is open as long as `self` lives, and the call does not wait.
        unsafe { WaitForSingleObject(self.raw(), 0) == WAIT_OBJECT_0 }
    }

    /// What a reactor registers.
    pub fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}

impl Handles for Event {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        see(&self.0);
    }
}

impl Wake for Event {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}
