use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::NonNull;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{
    ERROR_IO_INCOMPLETE, ERROR_IO_PENDING, HANDLE, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::WaitForSingleObject;

use super::event::Event;

/// How long the end of an operation is awaited that ends at once, in milliseconds.
const AT_ONCE: u32 = 50;

/// One overlapped operation at a time, with a buffer of its own. Dropping it calls the operation
/// off and waits until the system has let go of the memory.
#[derive(Debug)]
pub(super) struct Overlapped {
    handle: Arc<OwnedHandle>,
    event: Arc<Event>,
    /// Ours; while an operation is under way the system's.
    memory: NonNull<Memory>,
    begun: bool,
}

/// What the system writes to during an operation.
#[derive(Default)]
struct Memory {
    state: OVERLAPPED,
    buffer: Vec<u8>,
}

// SAFETY: the memory is owned, and the system does not care which thread asks for the result.
unsafe impl Send for Overlapped {}

impl Overlapped {
    /// For operations on this handle, which was opened for them; the event is signalled when one
    /// has ended.
    pub(super) fn new(handle: Arc<OwnedHandle>, event: Arc<Event>) -> Self {
        let memory = NonNull::from(Box::leak(Box::default()));
        Self { handle, event, memory, begun: false }
    }

    /// True if an operation was begun and its result was not taken.
    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    /// The memory, unless an operation is under way.
    fn memory(&mut self) -> Option<&mut Memory> {
        // SAFETY: `new` allocated it, `drop` frees it, and no operation is under way: only we have
        // it.
        if self.begun { None } else { Some(unsafe { self.memory.as_mut() }) }
    }

    /// The buffer, as the last operation left it. While one is under way there is none.
    pub(super) fn buffer(&self) -> &[u8] {
        // SAFETY: as in `memory`; the shared borrow of `self` keeps operations from being begun.
        if self.begun { &[] } else { unsafe { &self.memory.as_ref().buffer } }
    }

    /// The buffer, resized to `len`, to be filled. `None` while an operation is under way.
    pub(super) fn buffer_of(&mut self, len: usize) -> &mut [u8] {
        self.memory().map_or(&mut [], |memory| {
            memory.buffer.resize(len, 0);
            &mut memory.buffer
        })
    }

    /// Begins an operation on the handle and the buffer. It has begun also if it has ended already.
    ///
    /// # Errors
    /// The system's error if it did not begin; `ResourceBusy` while another is under way.
    pub(super) fn begin(
        &mut self,
        operation: impl FnOnce(HANDLE, *mut u8, u32, *mut OVERLAPPED) -> i32,
    ) -> io::Result<()> {
        let event = self.event.raw();
        let Some(memory) = self.memory() else { return Err(io::ErrorKind::ResourceBusy.into()) };
        memory.state = OVERLAPPED { hEvent: event, ..OVERLAPPED::default() };
        let (buffer, len) =
            (memory.buffer.as_mut_ptr(), u32::try_from(memory.buffer.len()).unwrap_or(u32::MAX));
        if operation(self.handle.as_raw_handle(), buffer, len, self.state()) == 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(ERROR_IO_PENDING as i32) {
                return Err(error);
            }
        }
        self.begun = true;
        Ok(())
    }

    /// Where the system keeps the operation's state.
    fn state(&self) -> *mut OVERLAPPED {
        // SAFETY: the memory is allocated as long as `self` lives; only its address is taken.
        unsafe { &raw mut (*self.memory.as_ptr()).state }
    }

    /// The result of the operation: how many bytes it moved.
    ///
    /// # Errors
    /// `WouldBlock` while it is under way. With `ends` it is known to end at once, and is called
    /// off otherwise: `BrokenPipe`.
    pub(super) fn result(&mut self, ends: bool) -> io::Result<usize> {
        let mut moved = 0;
        // SAFETY: the operation was begun with these, and they live as long as `self`.
        let done = unsafe {
            GetOverlappedResult(self.handle.as_raw_handle(), self.state(), &mut moved, 0)
        };
        if done != 0 {
            self.begun = false;
            return Ok(moved as usize);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(ERROR_IO_INCOMPLETE as i32) {
            self.begun = false;
            return Err(error);
        }
        if !ends {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // SAFETY: the event lives as long as `self`.
        if unsafe { WaitForSingleObject(self.event.raw(), AT_ONCE) } == WAIT_OBJECT_0 {
            return self.result(false);
        }
        self.call_off();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn call_off(&mut self) {
        if std::mem::take(&mut self.begun) {
            let mut moved = 0;
            // SAFETY: the operation was begun with these. After the second call, which waits for
            // its end, the system does not access the memory any more.
            unsafe {
                CancelIoEx(self.handle.as_raw_handle(), self.state());
                GetOverlappedResult(self.handle.as_raw_handle(), self.state(), &mut moved, 1);
            }
        }
    }
}

impl Drop for Overlapped {
    fn drop(&mut self) {
        self.call_off();
        // SAFETY: allocated by `new`, freed only here, and the system has let go of it.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}
