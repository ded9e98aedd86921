//! A connection on which one side sends frames, and the other one returns credit for what it has
//! taken.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::credit::{CREDIT, MOST_UNITS, ReceiveCredit, SendCredit};
use crate::wire::STOP;

/// The connection. No call blocks.
pub(super) trait Duplex {
    /// Sends two pieces, or as much of them as the system takes now.
    fn send(&self, first: &[u8], second: &[u8]) -> io::Result<usize>;

    /// Receives what is there. 0: the other side hung up.
    fn recv(&self, bytes: &mut [u8]) -> io::Result<usize>;
}

/// One side's state.
#[derive(Debug)]
pub(super) struct Flow(Mutex<Role>);

#[derive(Debug)]
enum Role {
    /// The handshake: both sides send and receive bytes.
    Handshake,
    Sends {
        send_credit: SendCredit,
        /// True once the receiver has said that it closes.
        stopped: bool,
    },
    Receives(ReceiveCredit),
}

impl Flow {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Role::Handshake))
    }

    fn role(&self) -> MutexGuard<'_, Role> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_sending(&self, capacity: u64) {
        *self.role() = Role::Sends { send_credit: SendCredit::new(capacity), stopped: false };
    }

    pub(super) fn begin_receiving(&self) {
        *self.role() = Role::Receives(ReceiveCredit::default());
    }

    /// Sends as much of two pieces as the credit allows.
    pub(super) fn send(
        &self,
        over: &impl Duplex,
        first: &[u8],
        second: &[u8],
    ) -> io::Result<usize> {
        let Role::Sends { send_credit, stopped } = &mut *self.role() else {
            return over.send(first, second);
        };
        let read = read_credit(over, send_credit, stopped);
        if *stopped {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        read?;
        let room = send_credit.room();
        let first = first.get(..room).unwrap_or(first);
        let second = second.get(..room - first.len()).unwrap_or(second);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = over.send(first, second).inspect_err(|_| {
            // What the receiver said before it left.
            let _ = read_credit(over, send_credit, stopped);
        })?;
        send_credit.sent(sent);
        Ok(sent)
    }

    /// Receives what is there. On a connection that sends frames that is `STOP`, or the end.
    pub(super) fn recv(&self, over: &impl Duplex, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut *self.role() {
            Role::Handshake => over.recv(bytes),
            Role::Sends { send_credit, stopped } => {
                let read = read_credit(over, send_credit, stopped);
                match bytes.first_mut() {
                    Some(word) if *stopped => {
                        *word = STOP;
                        Ok(1)
                    }
                    _ if read.is_ok() => Err(io::ErrorKind::WouldBlock.into()),
                    _ => Ok(0),
                }
            }
            Role::Receives(receive_credit) => {
                let got = over.recv(bytes)?;
                let units = receive_credit.took(got);
                if units > 0 {
                    // If this fails, the sender is gone and needs no credit.
                    let credits = [CREDIT; MOST_UNITS];
                    let _ = over.send(credits.get(..units).unwrap_or(&credits), &[]);
                }
                Ok(got)
            }
        }
    }

    /// True if a send would do more than block.
    pub(super) fn writable(&self, over: &impl Duplex) -> bool {
        match &mut *self.role() {
            Role::Sends { send_credit, stopped } => {
                read_credit(over, send_credit, stopped).is_err()
                    || *stopped
                    || send_credit.room() > 0
            }
            _ => true,
        }
    }

    /// Makes room for one more frame, the last one of this direction.
    pub(super) fn raise_limit(&self) {
        if let Role::Sends { send_credit, .. } = &mut *self.role() {
            send_credit.raise_limit();
        }
    }
}

/// Reads what the receiver has said, up to its `STOP`. `BrokenPipe`: it is gone, or returns credit
/// for bytes that were not sent.
fn read_credit(
    over: &impl Duplex,
    send_credit: &mut SendCredit,
    stopped: &mut bool,
) -> io::Result<()> {
    let mut words = [0; 128];
    while !*stopped {
        let count = match over.recv(&mut words) {
            Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        for byte in words.get(..count).unwrap_or_default() {
            match *byte {
                STOP => *stopped = true,
                CREDIT if send_credit.credit() => {}
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }
    Ok(())
}
