//! Both ends of a channel within this process.

use std::fmt::Debug;
use std::thread;
use std::time::Duration;

use anyipc::{Channel, Endpoint, ErrorKind, Result};

/// The owner, its end of a channel, and the opener's end.
pub(crate) fn pair(url: &str) -> (Endpoint, Channel, Channel) {
    pair_with(url, url)
}

/// As [`pair`], with another address for the opener.
pub(crate) fn pair_with(url: &str, opener: &str) -> (Endpoint, Channel, Channel) {
    let owner = anyipc::create(url).unwrap();
    let opener = opener.to_owned();
    let connecting = thread::spawn(move || anyipc::connect(opener).unwrap());
    let accepted = owner.accept_timeout(Duration::from_secs(20)).unwrap();
    (owner, accepted, connecting.join().unwrap())
}

/// As [`pair`], async, without the owner.
#[cfg(feature = "tokio")]
pub(crate) async fn async_pair(url: &str) -> (anyipc::AsyncChannel, anyipc::AsyncChannel) {
    let owner = anyipc::create(url).unwrap();
    let (a, b) = tokio::join!(owner.accept_async(), anyipc::connect_async(url));
    (a.unwrap(), b.unwrap())
}

/// A runtime with one thread: a call that blocks this thread blocks every task.
#[cfg(feature = "tokio")]
pub(crate) fn alone() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The kind of an error that must be there.
#[track_caller]
pub(crate) fn kind<T: Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}
