//! How an inbox sleeps: on the door and on everyone inside.

use std::time::Duration;

use anyipc_core::{Armed, ErrorKind, Interest, Result, Wait, Waiter};

use super::Inbox;
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
        if std::mem::take(&mut self.busy) || self.found.is_some() {
            return Ok(Armed::Ready);
        }
        self.sleeper.begin();
        let waker = self.sleeper.waker();
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
        // Who stands at a stuck door would end every sleep at once. It is shut for a moment, and what its
        // source tells of those inside is found out then.
        if self.door_stuck {
            self.sleeper.shorten(RETRY);
            covered = self.peers.any_hinted();
        } else {
            let source = || self.endpoint.raw().source(&self.attempt);
            if !self.sleeper.add(armed, source)? {
                return Ok(Armed::Ready);
            }
            match armed {
                Armed::Source(_) => covered = self.peers.any_hinted(),
                Armed::After(_) => {
                    if let Ok(source) = source() {
                        self.sleeper.add_source(source, Interest::Readable);
                        covered = self.peers.any_hinted();
                    }
                }
                Armed::Ready | Armed::Waker | Armed::Park => {}
            }
        }
        for (place, connection) in self.peers.iter_mut() {
            if covered && connection.receiver.token().is_some() {
                continue;
            }
            let half = connection.receiver.wait();
            let sleeps = half.arm(task).and_then(|armed| self.sleeper.add(armed, || half.source()));
            // Something is there, or the next try tells what is wrong.
            if !sleeps.unwrap_or(false) {
                connection.enqueue(place, &mut self.queue);
                return Ok(Armed::Ready);
            }
        }
        Ok(Armed::Park)
    }

    fn park(&mut self, timeout: Duration) {
        self.sleeper.sleep(timeout);
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
