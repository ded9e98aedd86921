//! A channel's halves, blocking or async, under one name: the tests' loops are written once, as
//! async functions. With blocking halves they never wait for a reactor; [`run`] polls them once.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyipc::{Channel, ErrorKind, Receiver, Result, Sender};

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

/// How one side sends. Each repeats what did not go out, so that all messages arrive in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Send,
    /// Messages of more than one frame are sent in the plain way.
    Try,
    Timeout,
    /// Some messages at once.
    Many,
    /// Futures that are dropped after some polls; a blocking half tries.
    Dropped,
}

impl Way {
    pub(crate) const ALL: &[Self] =
        &[Self::Send, Self::Try, Self::Timeout, Self::Many, Self::Dropped];

    /// How many messages it sends at once.
    pub(crate) const fn batch(self) -> usize {
        if matches!(self, Self::Many) { 5 } else { 1 }
    }
}

/// A timeout that often passes before there is room.
const SHORT_TIMEOUT: Duration = Duration::from_micros(500);

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
    /// Sends these messages, in this way, until each of them was `Ok`.
    pub(crate) async fn send(&mut self, messages: &[Vec<u8>], way: Way) -> Result<()> {
        if way == Way::Many {
            return match self {
                Self::Sync(sender) => sender.send_many(messages).map(drop),
                #[cfg(feature = "tokio")]
                Self::Async(sender) => sender.send_many(messages).await.map(drop),
            };
        }
        for message in messages {
            while !self.send_one(message, way).await? {
                match self {
                    Self::Sync(_) => std::thread::yield_now(),
                    #[cfg(feature = "tokio")]
                    Self::Async(_) => tokio::task::yield_now().await,
                }
            }
        }
        Ok(())
    }

    /// False if nothing of it was sent.
    pub(crate) async fn send_one(&mut self, message: &[u8], way: Way) -> Result<bool> {
        let sent = match (&mut *self, way) {
            (Self::Sync(sender), Way::Try | Way::Dropped) => sender.try_send(message),
            (Self::Sync(sender), Way::Timeout) => sender.send_timeout(message, SHORT_TIMEOUT),
            (Self::Sync(sender), _) => sender.send(message),
            #[cfg(feature = "tokio")]
            (Self::Async(sender), Way::Try) => sender.try_send(message),
            #[cfg(feature = "tokio")]
            (Self::Async(sender), Way::Timeout) => {
                let Ok(sent) = tokio::time::timeout(SHORT_TIMEOUT, sender.send(message)).await
                else {
                    return Ok(false);
                };
                sent
            }
            #[cfg(feature = "tokio")]
            (Self::Async(sender), Way::Dropped) => {
                let polls = 1 + message.len() % 3;
                let Some(sent) = polled(sender.send(message), polls).await else {
                    return Ok(false);
                };
                sent
            }
            #[cfg(feature = "tokio")]
            (Self::Async(sender), _) => sender.send(message).await,
        };
        match sent {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(false),
                // Not with a try.
                ErrorKind::MessageTooLarge => match self {
                    Self::Sync(sender) => sender.send(message).map(|()| true),
                    #[cfg(feature = "tokio")]
                    Self::Async(sender) => sender.send(message).await.map(|()| true),
                },
                _ => Err(error),
            },
        }
    }
}

/// What a future gives within so many polls; then it is dropped.
#[cfg(feature = "tokio")]
async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for poll in 1..=polls {
        let ready = std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(output) = ready.await {
            return Some(output);
        }
        if poll < polls {
            tokio::task::yield_now().await;
        }
    }
    None
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
        return tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(work);
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
