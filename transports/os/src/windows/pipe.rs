use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::{Handles, Source};
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_HANDLE_EOF, ERROR_NO_DATA, ERROR_OPERATION_ABORTED, ERROR_PIPE_BUSY,
    ERROR_PIPE_NOT_CONNECTED, GENERIC_READ, GENERIC_WRITE, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_OVERLAPPED, OPEN_EXISTING, ReadFile, SECURITY_IDENTIFICATION,
    SECURITY_SQOS_PRESENT, WriteFile,
};
use windows_sys::Win32::System::Pipes::{GetNamedPipeClientProcessId, GetNamedPipeServerProcessId};

use super::dir::Dir;
use super::event::Event;
use super::fd::read_text;
use super::overlapped::Overlapped;
use super::security;
use crate::{FileKind, Token};

/// The beginning of the names of the pipes that files lead to.
pub(super) const LEAD: &str = r"\\.\pipe\anyipc-";

/// One end of a connection over a named pipe: bytes both ways. No call blocks.
///
/// A read is always under way into a buffer of its own, so that its event reports arriving bytes.
#[derive(Debug)]
pub struct Pipe {
    handle: Arc<OwnedHandle>,
    server: bool,
    reading: Mutex<Reading>,
    writing: Mutex<Overlapped>,
    arrival: Arc<Event>,
}

#[derive(Debug)]
struct Reading {
    under_way: Overlapped,
    /// How many bytes a read asks for from now on.
    size: usize,
    /// What of the buffer was read and not taken yet.
    start: usize,
    end: usize,
    /// The other side is gone.
    over: bool,
}

impl Pipe {
    /// Connects to the listener that a file leads to, see
    /// [`PipeListener::at`](super::PipeListener::at); as [`connect`](Self::connect). `InvalidData`
    /// if it is not such a file.
    pub fn at(dir: &Dir, name: &str) -> io::Result<Self> {
        let file = dir.open_file(name)?;
        let status = file.status()?;
        // One byte more than the name has shows that there are more.
        let text = read_text(&file, LEAD.len() + Token::LEN + 1)?;
        let token = text.strip_prefix(LEAD).and_then(|token| Token::parse(token.as_bytes()));
        if token.is_some() && status.kind == FileKind::Regular && status.ours {
            return Self::connect(&text);
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    /// Connects to the pipe of this name. `NotFound`: there is none; `WouldBlock`: its owner has to
    /// come for earlier clients; `PermissionDenied`: it is another user's.
    pub fn connect(name: &str) -> io::Result<Self> {
        let wide: Vec<u16> = name.encode_utf16().chain([0]).collect();
        // The owner learns this user, and cannot act in this user's name.
        let flags = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
        // SAFETY: the name ends with a NUL; no other memory is handed over.
        let raw = unsafe {
            CreateFileW(
                wide.as_ptr(),
                GENERIC_READ | GENERIC_WRITE,
                0,
                ptr::null(),
                OPEN_EXISTING,
                flags,
                ptr::null_mut(),
            )
        };
        if raw == INVALID_HANDLE_VALUE {
            let error = io::Error::last_os_error();
            let busy = error.raw_os_error() == Some(ERROR_PIPE_BUSY as i32);
            return Err(if busy { io::ErrorKind::WouldBlock.into() } else { error });
        }
        // SAFETY: opened just now, and this is its only owner.
        let handle = unsafe { OwnedHandle::from_raw_handle(raw) };
        // Names of pipes are everyone's to take.
        if !security::of_object(&handle)?.ours {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Self::new(Arc::new(handle), false)
    }

    /// The server's end of an instance that a client has come to, or a client's.
    pub(super) fn new(handle: Arc<OwnedHandle>, server: bool) -> io::Result<Self> {
        let arrival = Event::new()?;
        let under_way = Overlapped::new(Arc::clone(&handle), Arc::clone(&arrival));
        let writing = Mutex::new(Overlapped::new(Arc::clone(&handle), Event::new()?));
        let reading = Reading { under_way, size: 512, start: 0, end: 0, over: false };
        let pipe = Self { handle, server, reading: Mutex::new(reading), writing, arrival };
        pipe.reading().begin();
        Ok(pipe)
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process at the other end: the one that opened it, or that made it.
    pub fn peer(&self) -> io::Result<u32> {
        let mut pid = 0;
        let ask =
            if self.server { GetNamedPipeClientProcessId } else { GetNamedPipeServerProcessId };
        // SAFETY: the pipe is open as long as `self` lives, and `pid` is ours to write.
        if unsafe { ask(self.handle.as_raw_handle(), &mut pid) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(pid)
    }

    /// From the next read on, this many bytes are read at once.
    pub fn read_ahead(&self, bytes: usize) {
        self.reading().size = bytes.max(1);
    }

    /// Receives what is there. 0: the other side is gone, and everything it sent was received.
    pub fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let reading = &mut *self.reading();
        if reading.start == reading.end && !reading.over {
            reading.advance()?;
        }
        let there = reading.under_way.buffer().get(reading.start..reading.end).unwrap_or_default();
        let count = there.len().min(bytes.len());
        if let (Some(room), Some(there)) = (bytes.get_mut(..count), there.get(..count)) {
            room.copy_from_slice(there);
        }
        reading.start += count;
        Ok(count)
    }

    /// Sends two pieces, all at once: for as many bytes as the other side's buffer has room for.
    ///
    /// # Errors
    /// `BrokenPipe`: the other side is gone, or its buffer had no room; then the connection is of
    /// no use any more.
    pub fn send(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let writing = &mut *self.writing();
        let len = begin_to_send(writing, first, second)?;
        // It has ended by now, or ends at once. If not, part of it may be gone when it is called
        // off.
        match writing.result(true) {
            Ok(sent) if sent == len => Ok(sent),
            Ok(_) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(error),
        }
    }

    /// Sends two pieces, whole. What the other side's buffer has no room for follows once there is,
    /// as long as this end and the thread that sends last.
    ///
    /// # Errors
    /// `WouldBlock`: such a rest is under way, and nothing happens. `BrokenPipe`: the other side is
    /// gone, or a rest was lost.
    pub fn send_later(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let writing = &mut *self.writing();
        if writing.is_begun() {
            writing.result(false)?;
        }
        let len = begin_to_send(writing, first, second)?;
        match writing.result(false) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(len),
        }
    }

    fn writing(&self) -> MutexGuard<'_, Overlapped> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signalled when there is something to receive, or the other side is gone.
    pub fn arrival(&self) -> &Arc<Event> {
        &self.arrival
    }

    /// What a reactor registers: ready when the arrival is signalled.
    pub fn source(&self) -> Source {
        self.arrival.source()
    }
}

/// Begins to send two pieces; how many bytes that are. Nothing is under way.
fn begin_to_send(writing: &mut Overlapped, first: &[u8], second: &[u8]) -> io::Result<usize> {
    let len = first.len() + second.len();
    match writing.buffer_of(len).split_at_mut_checked(first.len()) {
        Some((front, back)) if back.len() == second.len() => {
            front.copy_from_slice(first);
            back.copy_from_slice(second);
        }
        _ => return Err(io::ErrorKind::BrokenPipe.into()),
    }
    writing.begin(|pipe, buffer, len, overlapped| {
        // SAFETY: `Overlapped::begin` keeps pipe, buffer and structure until the write has ended.
        unsafe { WriteFile(pipe, buffer, len, ptr::null_mut(), overlapped) }
    })?;
    Ok(len)
}

impl Handles for Pipe {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.arrival.each(see);
    }
}

impl Reading {
    /// Begins to read. `advance` takes the result, also an immediate one.
    fn begin(&mut self) {
        let _ = self.under_way.buffer_of(self.size);
        let begun = self.under_way.begin(|pipe: HANDLE, buffer, len, overlapped| {
            // SAFETY: `Overlapped::begin` keeps pipe, buffer and structure until the read has
            // ended.
            unsafe { ReadFile(pipe, buffer, len, ptr::null_mut(), overlapped) }
        });
        self.over = begun.is_err();
    }

    /// Takes what the read under way has brought, or begins one.
    fn advance(&mut self) -> io::Result<()> {
        (self.start, self.end) = (0, 0);
        loop {
            if !self.under_way.is_begun() {
                self.begin();
            }
            if self.over {
                return Ok(());
            }
            match self.under_way.result(false) {
                Ok(0) => self.over = true,
                Ok(count) => self.end = count,
                Err(error) => match error.raw_os_error().map(|code| code as u32) {
                    // With the thread that began it ends what a thread has begun.
                    Some(ERROR_OPERATION_ABORTED) => continue,
                    Some(
                        ERROR_BROKEN_PIPE
                        | ERROR_HANDLE_EOF
                        | ERROR_NO_DATA
                        | ERROR_PIPE_NOT_CONNECTED,
                    ) => {
                        self.over = true;
                    }
                    _ => return Err(error),
                },
            }
            return Ok(());
        }
    }
}
