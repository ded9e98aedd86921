//! How an inbox sleeps: on the door and on everyone inside.

use std::time::Duration;

use anyipc_core::{Armed, ErrorKind, Interest, Result, Wait, Waiter};

use super::Inbox;
use crate::sys;
use crate::wait::{SLICE, Spinner, Waitable};

/// How long an inbox sleeps at most while its owner cannot accept.
const RETRY: Duration = Duration::from_millis(10);

impl Wait for Inbox {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.accept_due = true;
        if self.scanned.elapsed() >= SLICE {
            self.scan_due = true;
            return Ok(Armed::Ready);
        }
        if std::mem::take(&mut self.busy) {
            return Ok(Armed::Ready);
        }
        self.bell.silence();
        self.sources.clear();
        self.nap = SLICE;
        let waker = self.waker.clone();
        let task = Waiter::Task(&waker);
        let armed = match self.endpoint.raw().arm(&mut self.attempt, task) {
            Err(error) if error.kind() != ErrorKind::Forked => {
                self.stick(error);
                Armed::After(RETRY)
            }
            armed => armed?,
        };
        // Where hints come with a source, that source tells of the channels, too.
        let mut covered = false;
        match armed {
            // Who stands at a stuck door would end every sleep at once. It is shut for a moment, and what
            // its source tells of those inside is found out then.
            _ if self.door_stuck => {
                self.nap = RETRY;
                covered = !self.tokens.is_empty();
            }
            Armed::Ready => return Ok(Armed::Ready),
            Armed::Waker | Armed::Park => {}
            Armed::Source(interest) => {
                self.sources.push((self.endpoint.raw().source(&self.attempt)?, interest));
                covered = !self.tokens.is_empty();
            }
            Armed::After(time) => {
                self.nap = self.nap.min(time);
                if let Ok(source) = self.endpoint.raw().source(&self.attempt) {
                    self.sources.push((source, Interest::Readable));
                    covered = !self.tokens.is_empty();
                }
            }
        }
        for (id, connection) in &mut self.peers {
            if covered && connection.receiver.token().is_some() {
                continue;
            }
            let half = connection.receiver.wait();
            match half.arm(task) {
                Ok(Armed::Source(interest)) => self.sources.push((half.source()?, interest)),
                Ok(Armed::After(time)) => self.nap = self.nap.min(time),
                Ok(Armed::Waker | Armed::Park) => {}
                // Something is there, or the next try tells what is wrong.
                Ok(Armed::Ready) | Err(_) => {
                    if !std::mem::replace(&mut connection.queued, true) {
                        self.queue.push_back(*id);
                    }
                    return Ok(Armed::Ready);
                }
            }
        }
        self.sources.extend(self.bell.source().map(|bell| (bell, Interest::Readable)));
        Ok(Armed::Park)
    }

    fn park(&mut self, timeout: Duration) {
        sys::poll(&self.sources, timeout.min(self.nap));
    }
}

impl Waitable for Inbox {
    fn wait(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
    fn interrupted(&mut self) -> bool {
        std::mem::take(&mut self.busy)
    }
}
