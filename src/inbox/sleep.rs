//! How an inbox sleeps: on the door and on everyone inside.

use std::time::Duration;

use anyipc_core::{Armed, ErrorKind, Result, Wait, Waiter};

use super::Inbox;
use crate::wait::select::{Member, Sleep};
use crate::wait::{SLICE, Spinner, Waitable};

/// How long an inbox sleeps at most while its owner cannot accept.
const RETRY: Duration = Duration::from_millis(10);

impl Wait for Inbox {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        if self.scanned.elapsed() >= SLICE {
            self.scan_due = true;
            return Ok(Armed::Ready);
        }
        if std::mem::take(&mut self.busy) || self.found.is_some() {
            return Ok(Armed::Ready);
        }
        // Nobody looks at who spoke last while we sleep: from now on its hint counts like any other's.
        let last = self.last.take();
        if std::mem::take(&mut self.steady)
            && last.and_then(|place| self.peers.token_at(place)).is_some()
        {
            self.refill();
            if !self.queue.is_empty() {
                return Ok(Armed::Ready);
            }
        }
        self.accept_due = true;
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
        // Who stands at a stuck door would end every sleep at once. It is shut for a moment, and what its
        // source tells of those inside is found out then.
        let covered = if self.door_stuck {
            self.sleeper.shorten(RETRY);
            true
        } else {
            let source = || self.endpoint.raw().source(&self.attempt);
            if !self.sleeper.add(armed, source)? {
                // The next try may take as long again: a task lets others run after it.
                self.busy = true;
                return Ok(Armed::Ready);
            }
            matches!(armed, Armed::Source(_))
        };
        for (place, connection) in self.peers.iter_mut() {
            if covered && connection.receiver.token().is_some() {
                continue;
            }
            let half = connection.receiver.wait();
            let sleeps = half.arm(task).and_then(|armed| self.sleeper.add(armed, || half.source()));
            match sleeps {
                Ok(true) => continue,
                Ok(false) => {}
                // The next try tells what is wrong.
                Err(_) if connection.receiver.is_ready() => {}
                Err(error) => return Err(error),
            }
            connection.enqueue(place, &mut self.queue);
            return Ok(Armed::Ready);
        }
        Ok(Armed::Park)
    }

    fn park(&mut self, timeout: Duration) {
        self.sleeper.sleep(timeout);
    }

    // Nothing is disarmed: nobody else waits for these channels, and each sender rings for nothing once at most.
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

impl Member for Inbox {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }
    fn sleep_on(&mut self, sleep: Sleep<'_>) -> Result<bool> {
        if self.arm(Waiter::Thread)? == Armed::Ready {
            return Ok(false);
        }
        sleep.add_all(self.sleeper());
        Ok(true)
    }
    fn spins(&mut self) -> bool {
        self.spinner().spins()
    }
}

#[cfg(all(test, feature = "shared-memory", target_os = "linux"))]
mod tests {
    use std::thread;
    use std::time::Instant;

    use anyipc_core::Error;

    use super::*;

    /// Its hint stays where it is as long as the inbox looks at it, so it rings no bell meanwhile.
    #[test]
    fn who_spoke_last_is_heard_before_a_sleep_and_in_it() {
        let url = format!("shm://inbox.sleep.{}", std::process::id());
        let mut inbox = Inbox::new(crate::create(&url).unwrap()).unwrap();
        let peer = thread::spawn(move || crate::connect(&url).unwrap());
        inbox.next_event().unwrap();
        let mut peer = peer.join().unwrap();
        for round in 0..100u8 {
            for _ in 0..2 {
                peer.send(b"steady").unwrap();
                assert_eq!(inbox.recv().unwrap().1, b"steady");
            }
            assert!(inbox.try_recv().is_err_and(|error| error.is_would_block()));
            peer.send(b"unheard").unwrap();
            assert!(matches!(inbox.arm(Waiter::Thread), Ok(Armed::Ready)), "{round}");
            assert_eq!(inbox.try_recv().unwrap().1, b"unheard");
            while !matches!(inbox.arm(Waiter::Thread), Ok(Armed::Park)) {
                assert!(inbox.try_recv().as_ref().is_err_and(Error::is_would_block), "{round}");
            }
            peer.send(b"woken").unwrap();
            let slept = Instant::now();
            inbox.park(Duration::from_secs(20));
            assert!(slept.elapsed() < Duration::from_secs(20), "{round}");
            assert_eq!(inbox.try_recv().unwrap().1, b"woken");
        }
    }
}
