//! Single instances, for tasks.

use anyipc_core::{Error, ErrorKind, Operation, Result};
use tokio::time::sleep;

use super::channel::AsyncChannel;
use super::connect::by;
use super::first::run;
use super::reactor::check_runtime;
use super::wait_once;
use crate::address::IntoAddress;
use crate::inbox::Inbox;
use crate::registry::Registry;
use crate::registry::first::{Instance, Race};
use crate::single_instance::SingleInstance;
use crate::single_instance::first::{FirstInstance, Handover};
use crate::single_instance::later::{LaterInstance, Offer, code};
use crate::single_instance::launch::Launch;
use crate::single_instance::word::Word;

impl SingleInstance {
    /// As [`start_with`](Self::start_with), async. Cancel-safe but for the launch, which a dropped
    /// future may have handed over.
    ///
    /// # Errors
    /// Those of `start_with`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn start_async(address: impl IntoAddress, launch: &Launch) -> Result<Self> {
        check_runtime()?;
        let mut race = Race::new(Registry::global(), address)?;
        let offer = Offer::new(launch)?;
        loop {
            match run(&mut race, Offer::hello).await? {
                Instance::First(owner) => return FirstInstance::new(owner).map(Self::First),
                Instance::Later(channel) => {
                    let channel = channel.into_async()?;
                    if let Some(later) = make(&offer, channel, &race).await? {
                        return Ok(Self::Later(later));
                    }
                }
            }
            sleep(race.pause()?).await;
        }
    }
}

/// As [`Offer::make`].
async fn make(
    offer: &Offer,
    mut channel: AsyncChannel,
    race: &Race,
) -> Result<Option<LaterInstance>> {
    let pid = channel.peer().pid;
    let said = in_time(race, channel.recv()).await;
    if !race.hears(Word::Ready, said, pid)? {
        return Ok(None);
    }
    let sent = in_time(race, channel.send(offer.bytes())).await;
    if !race.has_sent(sent, pid)? {
        return Ok(None);
    }
    let said = in_time(race, channel.recv()).await;
    if !race.hears(Word::Taken, said, pid)? {
        return Ok(None);
    }
    Ok(Some(LaterInstance::new(channel.into_sync(), race)))
}

async fn in_time<T>(race: &Race, call: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || Err(Error::new(Operation::Connect, ErrorKind::TimedOut));
    by(race.deadline(), call).await.unwrap_or_else(late)
}

impl FirstInstance {
    /// As [`next`](Self::next), async. Cancel-safe: a dropped future has taken no launch.
    ///
    /// # Errors
    /// Those of `next`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn next_async(&mut self) -> Result<Handover> {
        loop {
            let event = wait_once(&mut self.inbox, Operation::Receive, Inbox::try_event).await;
            let event = event.map_err(|error| self.inbox.explain(error))?;
            if let Some(handover) = self.handle(event) {
                return Ok(handover);
            }
        }
    }
}

impl LaterInstance {
    /// As [`wait`](Self::wait), async.
    ///
    /// # Errors
    /// Those of `wait`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn wait_async(self) -> Result<i32> {
        let (channel, first) = self.into_parts();
        let mut channel = channel.into_async()?;
        let said = channel.recv().await;
        code(said, first, channel.address())
    }
}
