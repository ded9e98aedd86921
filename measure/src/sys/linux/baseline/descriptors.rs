//! A pipe each way or a socket, as one stream. Reads and writes wait as a [`Terms`] says.

use std::hint::spin_loop;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};

use crate::baseline::Terms;

/// Both directions of a stream.
#[derive(Debug)]
pub struct Descriptors {
    input: OwnedFd,
    output: OwnedFd,
    /// Time to spin before sleeping; `None` without end. With zero the descriptors block.
    spin: Option<Duration>,
}

impl Descriptors {
    pub(super) fn new(terms: &Terms, input: OwnedFd, output: OwnedFd) -> io::Result<Self> {
        let spin = terms.spin();
        if spin != Some(Duration::ZERO) {
            ioctl_fionbio(&input, true)?;
            ioctl_fionbio(&output, true)?;
        }
        Ok(Self { input, output, spin })
    }
}

impl Read for Descriptors {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(&self.input, PollFlags::IN, self.spin, || read(&self.input, &mut *buffer))
    }
}

impl Write for Descriptors {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(&self.output, PollFlags::OUT, self.spin, || write(&self.output, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Repeats a call that would block: at once for the time `spin`, then after `poll`.
#[inline]
fn retry(
    on: &OwnedFd,
    flags: PollFlags,
    spin: Option<Duration>,
    mut call: impl FnMut() -> Result<usize, Errno>,
) -> io::Result<usize> {
    let mut until = None;
    loop {
        match call() {
            Err(Errno::AGAIN) => {}
            Err(Errno::INTR) => continue,
            done => return Ok(done?),
        }
        let Some(spin) = spin else {
            spin_loop();
            continue;
        };
        let now = Instant::now();
        if now >= *until.get_or_insert(now + spin) {
            match poll(&mut [PollFd::new(on, flags)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
