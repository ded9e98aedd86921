use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::credit::{Allowance, BUFFER, CREDIT, Debt, MOST_UNITS};
use crate::wire::{ROOM, STOP};
use anyipc_os::{Dir, FileKind, Pipe, PipeListener, overwrite, read_text};

/// What the names of our pipes begin with. Where a name's owner listens stands in a file of the private directory.
const LEAD: &str = r"\\.\pipe\anyipc-";
/// How long a removed file may stand.
const LEAVING: Duration = Duration::from_secs(1);

/// Listens at a pipe of a fresh name, which is written into a file of this name.
pub(super) fn listen(dir: &Dir, name: &str) -> io::Result<PipeListener> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut pipe = LEAD.to_owned();
    for byte in random {
        let _ = write!(pipe, "{byte:02x}");
    }
    let listener = PipeListener::new(&pipe, BUFFER)?;
    let deadline = Instant::now() + LEAVING;
    loop {
        match dir.create_file(name) {
            Ok(file) => {
                overwrite(&file, pipe.as_bytes())?;
                return Ok(listener);
            }
            // A file that was removed may stand until a connector that was reading it has closed it.
            Err(error) => match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::PermissionDenied
                    if Instant::now() < deadline =>
                {
                    thread::yield_now();
                }
                io::ErrorKind::AlreadyExists => return Err(io::ErrorKind::AddrInUse.into()),
                _ => return Err(error),
            },
        }
    }
}

/// A connection over a named pipe. First both sides talk; then one of them sends a channel's frames, and the other
/// tells what it has taken.
#[derive(Debug)]
pub struct Local {
    pipe: Pipe,
    role: Mutex<Role>,
}

#[derive(Debug)]
enum Role {
    Talks,
    Sends { allowance: Allowance, stopped: bool },
    Receives(Debt),
}

impl Local {
    pub(super) fn connect(dir: &Dir, name: &str) -> io::Result<Self> {
        let file = dir.open_file(name)?;
        let status = file.status()?;
        let pipe = read_text(&file, 256)?;
        if status.kind != FileKind::Regular || !status.ours || !pipe.starts_with(LEAD) {
            // About to be written, if it is empty.
            let kind = if status.size == 0 { io::ErrorKind::NotFound } else { io::ErrorKind::InvalidData };
            return Err(kind.into());
        }
        Pipe::connect(&pipe).map(Self::new)
    }

    pub(super) fn new(pipe: Pipe) -> Self {
        Self { pipe, role: Mutex::new(Role::Talks) }
    }

    pub(super) fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    fn role(&self) -> MutexGuard<'_, Role> {
        self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_sending(&self, capacity: u64) {
        *self.role() = Role::Sends { allowance: Allowance::new(capacity), stopped: false };
    }

    pub(super) fn begin_receiving(&self) {
        self.pipe.read_ahead(ROOM);
        *self.role() = Role::Receives(Debt::default());
    }

    /// Sends as much as there is room for.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.send_two(bytes, &[])
    }

    /// The same for two pieces.
    pub(super) fn send_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let Role::Sends { allowance, stopped } = &mut *self.role() else {
            return self.pipe.send(first, second);
        };
        let heard = hear(&self.pipe, allowance, stopped);
        if *stopped {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        heard?;
        let room = allowance.room();
        let first = first.get(..room).unwrap_or(first);
        let second = second.get(..room - first.len()).unwrap_or(second);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = self.pipe.send(first, second).inspect_err(|_| {
            // What it said before it left.
            let _ = hear(&self.pipe, allowance, stopped);
        })?;
        allowance.sent(sent);
        Ok(sent)
    }

    /// Receives what is there. A sender hears whether the receiver left in order.
    pub(super) fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut *self.role() {
            Role::Talks => self.pipe.recv(bytes),
            Role::Sends { stopped, .. } => Ok(usize::from(*stopped)),
            Role::Receives(debt) => {
                let got = self.pipe.recv(bytes)?;
                let units = debt.took(got);
                if units > 0 {
                    // If the sender is gone, this is nothing to it.
                    let credits = [CREDIT; MOST_UNITS];
                    let _ = self.pipe.send(credits.get(..units).unwrap_or(&credits), &[]);
                }
                Ok(got)
            }
        }
    }

    /// Whether a send would do more than block.
    pub(super) fn writable(&self) -> bool {
        match &mut *self.role() {
            Role::Sends { allowance, stopped } => {
                hear(&self.pipe, allowance, stopped).is_err() || *stopped || allowance.room() > 0
            }
            _ => true,
        }
    }

    pub(super) fn stretch(&self, more: bool) {
        if let Role::Sends { allowance, .. } = &mut *self.role() {
            allowance.stretch(more);
        }
    }
}

/// Hears all that the receiver has said. `BrokenPipe`: it is gone, or says what cannot be.
fn hear(pipe: &Pipe, allowance: &mut Allowance, stopped: &mut bool) -> io::Result<()> {
    let mut said = [0; 128];
    loop {
        let count = match pipe.recv(&mut said) {
            Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        for byte in said.get(..count).unwrap_or_default() {
            match *byte {
                STOP => *stopped = true,
                CREDIT if allowance.credit() => {}
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }
}
