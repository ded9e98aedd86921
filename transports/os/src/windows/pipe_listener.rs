use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::Handles;
use windows_sys::Win32::Foundation::{
    ERROR_NO_DATA, ERROR_OPERATION_ABORTED, ERROR_PIPE_CONNECTED, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
};

use super::dir::Dir;
use super::event::Event;
use super::overlapped::Overlapped;
use super::pipe::{LEAD, Pipe};
use super::security::Private;
use crate::{Token, write_atomically};

/// Instances that wait for clients: this many may connect before the owner looks.
const WAITING: usize = 8;

/// The server of a named pipe: only this user's processes reach it, and none of another machine.
#[derive(Debug)]
pub struct PipeListener {
    name: Vec<u16>,
    /// Bytes that each direction of a connection holds.
    room: u32,
    waiting: Mutex<Vec<Instance>>,
}

/// One instance that waits for its client.
#[derive(Debug)]
struct Instance {
    handle: Arc<OwnedHandle>,
    coming: Overlapped,
    /// Signalled when it has come. The same for all that wait in this place, one after the other.
    event: Arc<Event>,
    /// It is there already.
    here: bool,
}

impl PipeListener {
    /// Makes a pipe with a random name, and a file that leads [`Pipe::at`] to it. `AddrInUse` if
    /// there is a file of this name.
    pub fn at(dir: &Dir, name: &str, room: usize) -> io::Result<Self> {
        let pipe = format!("{LEAD}{}", Token::random()?);
        let listener = Self::new(&pipe, room)?;
        match write_atomically(dir, name, pipe.as_bytes()) {
            Ok(()) => Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(io::ErrorKind::AddrInUse.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the pipe of this name; `PermissionDenied` if there is one, of any user.
    pub fn new(name: &str, room: usize) -> io::Result<Self> {
        let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let mut waiting = Vec::new();
        waiting.push(Instance::new(&name, room, FILE_FLAG_FIRST_PIPE_INSTANCE, Event::new()?)?);
        while waiting.len() < WAITING {
            waiting.push(Instance::new(&name, room, 0, Event::new()?)?);
        }
        Ok(Self { name, room, waiting: Mutex::new(waiting) })
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next client, if one has come.
    pub fn accept(&self) -> io::Result<Option<Pipe>> {
        let waiting = &mut *self.waiting();
        for instance in waiting {
            while instance.has_come() {
                // First the one that takes its place: without it the next client waits.
                let next = Instance::new(&self.name, self.room, 0, Arc::clone(&instance.event))?;
                if let Some(pipe) = std::mem::replace(instance, next).into_pipe() {
                    return Ok(Some(pipe));
                }
            }
        }
        Ok(None)
    }
}

impl Handles for PipeListener {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.waiting().iter().for_each(|instance| instance.event.each(see));
    }
}

impl Instance {
    fn new(name: &[u16], room: u32, first: u32, event: Arc<Event>) -> io::Result<Self> {
        let private = Private::new()?;
        // SAFETY: the name ends with a NUL, and the attributes live as long as `private`.
        let raw = unsafe {
            CreateNamedPipeW(
                name.as_ptr(),
                PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
                PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                PIPE_UNLIMITED_INSTANCES,
                room,
                room,
                0,
                &private.attributes(),
            )
        };
        if raw == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: made just now, and this is its only owner.
        let handle = Arc::new(unsafe { OwnedHandle::from_raw_handle(raw) });
        let coming = Overlapped::new(Arc::clone(&handle), Arc::clone(&event));
        let mut instance = Self { handle, coming, event, here: false };
        instance.begin()?;
        Ok(instance)
    }

    fn begin(&mut self) -> io::Result<()> {
        let begun = self.coming.begin(|pipe, _, _, overlapped| {
            // SAFETY: `Overlapped::begin` keeps pipe and structure until this has ended.
            unsafe { ConnectNamedPipe(pipe, overlapped) }
        });
        match begun.as_ref().map_err(|error| error.raw_os_error().map(|code| code as u32)) {
            // It has come already, and with the second it has left, too.
            Err(Some(ERROR_PIPE_CONNECTED | ERROR_NO_DATA)) => {
                self.here = true;
                self.event.set();
                Ok(())
            }
            _ => begun,
        }
    }

    /// Whether its client has come, or it is of no use.
    fn has_come(&mut self) -> bool {
        if self.here || !self.event.is_set() {
            return self.here;
        }
        match self.coming.result(false) {
            Ok(_) => self.here = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // With the thread that began it ends what a thread has begun.
            Err(error) if error.raw_os_error() == Some(ERROR_OPERATION_ABORTED as i32) => {
                return self.begin().is_err() || self.here;
            }
            Err(_) => return true,
        }
        self.here
    }

    /// The connection; `None` if the client has left again.
    fn into_pipe(self) -> Option<Pipe> {
        if self.here { Pipe::new(self.handle, true).ok() } else { None }
    }
}
