//! The second connection of a connector that was admitted, while further ones cannot be.

use std::time::Instant;

use super::{Entry, HalfOpen, Handshake, Listening, MAX_TAKEN, Next, Reserve};

impl<H: Handshake> HalfOpen<H> {
    /// The second connection of a connector that was admitted queues behind further connectors.
    /// While those cannot be admitted, they are taken and closed, with a descriptor that is kept
    /// free for this, until it is found. A connector that is closed without an answer tries again.
    pub(super) fn take_awaited<L: Listening<Handshake = H>>(
        &mut self,
        listening: &mut L,
        until: Instant,
    ) -> Option<L::Channel> {
        for _ in 0..MAX_TAKEN {
            let reserve = self.list.iter_mut().find_map(|entry| {
                entry.handshake.reserve().filter(|reserve| !reserve.is_empty()).map(std::mem::take)
            })?;
            drop(reserve);
            let next = listening.next_second(&self.set);
            let before = self.list.len();
            let channel = match next {
                Ok(Next::Begun(handshake)) => {
                    self.step_one(Entry { handshake, watched: None }, listening)
                }
                Ok(Next::Rejected(error)) => {
                    self.reject(None, &error);
                    None
                }
                Ok(Next::Left) => None,
                Ok(Next::NoConnector) | Err(_) => {
                    self.refill();
                    return None;
                }
            };
            if channel.is_some() {
                return channel;
            }
            // A connection that has sent a hello is closed; a silent one may be the awaited one.
            if self.list.len() > before
                && let Some(entry) = self.list.pop_back()
            {
                if entry.handshake.has_spoken() {
                    drop(self.forget(entry));
                } else {
                    self.list.push_back(entry);
                }
            }
            self.refill();
            if Instant::now() >= until {
                break;
            }
        }
        None
    }

    /// Refills the reserves of the connectors that were admitted.
    fn refill(&mut self) {
        for entry in &mut self.list {
            if let Some(reserve) = entry.handshake.reserve().filter(|reserve| reserve.is_empty())
                && let Ok(again) = Reserve::new(1, &self.set)
            {
                *reserve = again;
            }
        }
    }
}
