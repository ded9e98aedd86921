//! A channel's halves, blocking or async, under one name: the tests' loops are written once, as async
//! functions. Those over blocking halves never wait for a reactor, and [`run`] polls them once.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyipc::{Channel, Receiver, Result, Sender};

/// How one side waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Spin,
    Adaptive,
    Block,
    Async,
}

impl Mode {
    /// Those that were compiled in.
    pub(crate) const ALL: &[Self] = &[
        Self::Spin,
        Self::Adaptive,
        Self::Block,
        #[cfg(feature = "tokio")]
        Self::Async,
    ];

    pub(crate) fn parse(word: &str) -> Self {
        *Self::ALL.iter().find(|mode| mode.word() == word).unwrap()
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Adaptive => "adaptive",
            Self::Block => "block",
            Self::Async => "async",
        }
    }

    /// What the address says.
    pub(crate) const fn wait(self) -> &'static str {
        if matches!(self, Self::Async) { "block" } else { self.word() }
    }
}

pub(crate) enum Tx {
    Sync(Sender),
    #[cfg(feature = "tokio")]
    Async(anyipc::AsyncSender),
}

pub(crate) enum Rx {
    Sync(Receiver),
    #[cfg(feature = "tokio")]
    Async(anyipc::AsyncReceiver),
}

impl Tx {
    pub(crate) async fn send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            Self::Sync(sender) => sender.send(message),
            #[cfg(feature = "tokio")]
            Self::Async(sender) => sender.send(message).await,
        }
    }
}

impl Rx {
    pub(crate) async fn recv(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        match self {
            Self::Sync(receiver) => receiver.recv_into(buffer),
            #[cfg(feature = "tokio")]
            Self::Async(receiver) => receiver.recv_into(buffer).await,
        }
    }
}

/// The channel's halves. An async mode needs [`run`] around it.
pub(crate) fn split(channel: Channel, mode: Mode) -> (Tx, Rx) {
    #[cfg(feature = "tokio")]
    if mode == Mode::Async {
        let (sender, receiver) = channel.into_async().unwrap().split();
        return (Tx::Async(sender), Rx::Async(receiver));
    }
    let _ = mode;
    let (sender, receiver) = channel.split();
    (Tx::Sync(sender), Rx::Sync(receiver))
}

/// Runs a loop over halves: for async ones in a runtime of one thread.
pub(crate) fn run<F: Future>(mode: Mode, work: F) -> F::Output {
    #[cfg(feature = "tokio")]
    if mode == Mode::Async {
        return tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    }
    let _ = mode;
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a blocking half waited for a reactor"),
    }
}

/// Runs two loops at once: on two threads, or as two tasks of one thread.
pub(crate) fn run_both<A, B>(
    mode: Mode,
    channel: Channel,
    a: impl FnOnce(Tx) -> A + Send + 'static,
    b: impl FnOnce(Rx) -> B,
) -> (A::Output, B::Output)
where
    A: Future + Send + 'static,
    B: Future,
    A::Output: Send + 'static,
{
    #[cfg(feature = "tokio")]
    if mode == Mode::Async {
        return run(mode, async {
            let (tx, rx) = split(channel, mode);
            let a = tokio::spawn(a(tx));
            let b = b(rx).await;
            (a.await.unwrap(), b)
        });
    }
    let (tx, rx) = split(channel, mode);
    let a = std::thread::spawn(move || run(mode, a(tx)));
    let b = run(mode, b(rx));
    (a.join().unwrap(), b)
}
