//! Becoming the owner of a name, or reaching its owner, without blocking the runtime's own threads.

use anyipc_core::{Hello, Operation, Result, Role};
#[cfg(feature = "serde")]
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::sleep;

use super::channel::AsyncChannel;
use super::connect::{by, on_a_thread};
use super::reactor::check_runtime;
#[cfg(feature = "serde")]
use super::typed::AsyncTypedChannel;
use crate::address::IntoAddress;
use crate::channel::Channel;
#[cfg(feature = "serde")]
use crate::channel::message::Message;
use crate::endpoint::Endpoint;
use crate::registry::Registry;
use crate::registry::first::{Instance, Race};

impl Registry {
    /// Becomes the owner or connects to it, as [`first_async`] with this registry. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`first_async`].
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn first_async(&self, address: impl IntoAddress) -> Result<Instance<AsyncChannel>> {
        check_runtime()?;
        run(&mut Race::new(self, address)?, |endpoint| Ok(endpoint.hello()))
            .await?
            .try_map(Channel::into_async)
    }

    /// Becomes the owner or connects to it for values, as [`first_typed_async`] with this registry.
    /// Cancel-safe.
    ///
    /// # Errors
    /// Those of [`first_typed_async`].
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    #[cfg(feature = "serde")]
    pub async fn first_typed_async<Out, In>(
        &self,
        address: impl IntoAddress,
    ) -> Result<Instance<AsyncTypedChannel<Out, In>>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        check_runtime()?;
        let hello = |endpoint: &Endpoint| endpoint.typed_hello::<Out, In>(Operation::Connect);
        run(&mut Race::new(self, address)?, hello)
            .await?
            .try_map(|channel| channel.typed()?.into_async())
    }
}

/// As [`first`](crate::first()), async. Cancel-safe: what a dropped future has created or opened is
/// closed.
///
/// # Errors
/// Those of `first`; `Unsupported` outside of a tokio runtime.
///
/// # Panics
/// In a tokio runtime without I/O and time.
pub async fn first_async(address: impl IntoAddress) -> Result<Instance<AsyncChannel>> {
    Registry::global().first_async(address).await
}

/// As [`first_typed`](crate::first_typed), async. Cancel-safe, as [`first_async`].
///
/// # Errors
/// Those of `first_typed`; `Unsupported` outside of a tokio runtime.
///
/// # Panics
/// In a tokio runtime without I/O and time.
#[cfg(feature = "serde")]
pub async fn first_typed_async<Out, In>(
    address: impl IntoAddress,
) -> Result<Instance<AsyncTypedChannel<Out, In>>>
where
    Out: Message + Serialize + ?Sized,
    In: Message + DeserializeOwned,
{
    Registry::global().first_typed_async(address).await
}

/// As [`Race::run`]. What may block, runs on a thread for blocking calls.
pub(crate) async fn run(
    race: &mut Race,
    hello: impl Fn(&Endpoint) -> Result<Hello>,
) -> Result<Instance> {
    let deadline = race.deadline();
    loop {
        let step = race.clone();
        let entering = on_a_thread(Operation::Create, move || step.enter());
        let endpoint = by(deadline, entering).await.ok_or_else(|| race.late())???;
        if endpoint.role() == Role::Owner {
            return Ok(Instance::First(endpoint));
        }
        let next = endpoint.reach(hello(&endpoint)?)?;
        let connected = endpoint.wait_for(next, deadline).await;
        // Until then it holds the name's block, if there is one.
        drop(endpoint);
        if let Some(channel) = race.judge(connected)? {
            return Ok(Instance::Later(channel));
        }
        sleep(race.pause()?).await;
    }
}
