//! How an inbox sleeps: on the listener and on every peer.

use std::time::Duration;

use anyipc_core::{Armed, Error, Operation, Result, Source, Wait, Waiter};

use super::listener::Covered;
use super::sender::PeerSender;
use super::{Inbox, PeerId};
use crate::wait::Waitable;
use crate::wait::select::{Arming, Member};
use crate::wait::sleeper::Sleeper;
use crate::wait::spin::Spinner;

impl Wait for Inbox {
    fn source(&self) -> Result<Source> {
        self.sleeper.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.arm_with(waiter, &[], &mut None)
    }

    fn due(&self) -> Option<Duration> {
        self.sleeper.due()
    }

    fn park(&mut self, timeout: Duration) {
        self.sleeper.sleep(timeout);
    }

    // Nothing is disarmed: no other waiter waits for these channels, and each sender wakes in vain
    // once at most.
}

impl Inbox {
    /// What ends the sleep that was armed last.
    #[cfg(feature = "serde")]
    pub(crate) fn waker(&self) -> std::task::Waker {
        self.sleeper.waker()
    }

    /// Arms everything, and room for the next message to each of these peers.
    ///
    /// A task cannot sleep on a source for reading and writing at once: `room` has the sources for
    /// writing then, and is a source itself.
    pub(crate) fn arm_with(
        &mut self,
        waiter: Waiter<'_>,
        congested: &[PeerId],
        room: &mut Option<Sleeper>,
    ) -> Result<Armed> {
        let Self { endpoint, listener, schedule, peers, sleeper, .. } = self;
        if schedule.request_scan()
            || std::mem::take(&mut self.interrupted)
            || self.found.is_some()
            || schedule.forget_last(endpoint, peers)
        {
            return Ok(Armed::Ready);
        }
        sleeper.reset(waiter);
        let covered = listener.arm(endpoint, sleeper)?;
        if covered == Covered::Ready {
            // The next try may take as long again: a task yields after it.
            self.interrupted = true;
            return Ok(Armed::Ready);
        }
        let waker = sleeper.waker();
        let task = Waiter::Task(&waker);
        for (place, connection) in peers.iter_mut() {
            if covered == Covered::ConnectorsAndHints && connection.receiver.token().is_some() {
                continue;
            }
            let half = connection.receiver.target();
            match half.arm(task).and_then(|armed| sleeper.add(armed, || half.source())) {
                Ok(true) => continue,
                Ok(false) => {}
                // The next try returns the error.
                Err(_) if connection.receiver.is_ready() => {}
                Err(error) => return Err(error),
            }
            schedule.enqueue(place, connection);
            return Ok(Armed::Ready);
        }
        let mut room = match waiter {
            Waiter::Task(_) if !congested.is_empty() => {
                let room =
                    match room {
                        Some(room) => room,
                        none => none.insert(Sleeper::new().map_err(|error| {
                            Error::io(Operation::Send, "waiting for room", error)
                        })?),
                    };
                room.reset(waiter);
                Some(room)
            }
            _ => None,
        };
        for id in congested {
            // One that has left is found by the next try.
            let Some(PeerSender::Own(sender)) = peers.sender_mut(*id) else {
                return Ok(Armed::Ready);
            };
            let half = sender.target();
            let armed = half.arm(task)?;
            let on = room.as_deref_mut().unwrap_or(&mut *sleeper);
            if !on.add(armed, || half.source())? {
                return Ok(Armed::Ready);
            }
        }
        if let Some(room) = room {
            let armed = room.armed()?;
            sleeper.add(armed, || room.source())?;
        }
        sleeper.armed()
    }

    /// Takes back what was armed for these peers.
    #[cfg(feature = "serde")]
    pub(crate) fn disarm_senders(&mut self, congested: &[PeerId]) {
        for id in congested {
            if let Some(PeerSender::Own(sender)) = self.peers.sender_mut(*id) {
                sender.target().disarm();
            }
        }
    }
}

impl Waitable for Inbox {
    fn target(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
    fn take_interrupted(&mut self) -> bool {
        std::mem::take(&mut self.interrupted)
    }
}

impl Member for Inbox {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }
    fn arm_in_select(&mut self, arming: Arming<'_>) -> Result<bool> {
        if self.arm(Waiter::Thread)? == Armed::Ready {
            return Ok(false);
        }
        arming.add_all(&self.sleeper);
        Ok(true)
    }
    fn may_spin(&mut self) -> bool {
        self.spinner.may_spin()
    }
}

#[cfg(all(test, feature = "shared-memory", target_os = "linux"))]
mod tests {
    use std::thread;
    use std::time::Instant;

    use anyipc_core::Error;

    use super::*;

    /// Its hint stays set while the inbox polls it, so the peer wakes nothing meanwhile.
    #[test]
    fn the_peer_of_the_last_message_is_heard_before_a_sleep_and_in_it() {
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
