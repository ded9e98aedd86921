use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;
use std::task::Wake;

use anyipc_core::{Handles, Source};
use windows_sys::Win32::Foundation::{HANDLE, WAIT_OBJECT_0};
use windows_sys::Win32::Storage::FileSystem::READ_CONTROL;
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, OpenEventW, ResetEvent, SYNCHRONIZATION_SYNCHRONIZE,
    SetEvent, WaitForSingleObject,
};

use super::security::{self, Private};
use crate::Token;

/// Signalled from [`set`](Self::set) to [`reset`](Self::reset): what a thread or a reactor waits
/// for.
#[derive(Debug)]
pub struct Event(Arc<OwnedHandle>);

impl Event {
    /// One that is not signalled. It has no name.
    pub fn new() -> io::Result<Arc<Self>> {
        Self::create(None)
    }

    /// One that is not signalled, and that this user's processes can [`open`](Self::open), in any
    /// session of the machine.
    pub fn named(token: &Token) -> io::Result<Arc<Self>> {
        Self::create(Some(token))
    }

    fn create(token: Option<&Token>) -> io::Result<Arc<Self>> {
        const MANUAL: i32 = 1;
        let (private, name) = (Private::new()?, token.map(name_of));
        let name = name.as_ref().map_or(ptr::null(), |name| name.as_ptr());
        // SAFETY: the name is null or ends with a NUL, and the attributes live as long as
        // `private`.
        let handle = unsafe { CreateEventW(&private.attributes(), MANUAL, 0, name) };
        Self::owned(handle)
    }

    /// The event that another process has named so. `NotFound` if none has it any more.
    pub fn open(token: &Token) -> io::Result<Arc<Self>> {
        let (name, access) =
            (name_of(token), EVENT_MODIFY_STATE | SYNCHRONIZATION_SYNCHRONIZE | READ_CONTROL);
        // SAFETY: the name ends with a NUL.
        let event = Self::owned(unsafe { OpenEventW(access, 0, name.as_ptr()) })?;
        // Names of events are everyone's to take.
        if !security::of_object(&*event.0)?.ours {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(event)
    }

    fn owned(handle: HANDLE) -> io::Result<Arc<Self>> {
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was opened just now, and this is its only owner.
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

/// `Global` is the name space of all sessions: a service and a desktop program of one user meet.
fn name_of(token: &Token) -> Vec<u16> {
    format!("Global\\anyipc-{token}\0").encode_utf16().collect()
}
