//! Types of requests, and servers in this process.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

use anyipc::request::{Server, Stopper};
use anyipc::{Client, Failure, Message, Peer, Result};
use serde::{Deserialize, Serialize};

/// A request: what to do with a number and some bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Answered with the number plus one, and so many bytes.
    Add(u64, Vec<u8>, usize),
    /// Fails with this number.
    Fail(i64),
    Panic,
    /// Answered once [`release`] was called as often as this number.
    Wait(u64),
    /// Answered with how often `Wait` and `Add` were begun.
    Begun,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told(pub(crate) u64, pub(crate) Vec<u8>);

impl Message for Ask {
    const NAME: &'static str = "test.Ask/1";
}

impl Message for Told {
    const NAME: &'static str = "test.Told/1";
}

pub(crate) type Asker = Client<Ask, Told>;

/// What the handler of [`answer`] shares with the test.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) begun: AtomicU64,
    pub(crate) released: AtomicU64,
}

impl Service {
    /// Lets one more of the waiting calls go on.
    pub(crate) fn release(&self) {
        self.released.fetch_add(1, SeqCst);
    }

    pub(crate) fn answer(&self, ask: Ask) -> Result<Told, Failure> {
        match ask {
            Ask::Add(number, bytes, len) => {
                self.begun.fetch_add(1, SeqCst);
                Ok(Told(number + 1 + bytes.len() as u64, vec![number as u8; len]))
            }
            Ask::Fail(code) => Err(Failure::new(code, "as asked")),
            Ask::Panic => panic!("as asked"),
            Ask::Wait(count) => {
                self.begun.fetch_add(1, SeqCst);
                while self.released.load(SeqCst) < count {
                    thread::yield_now();
                }
                Ok(Told(count, Vec::new()))
            }
            Ask::Begun => Ok(Told(self.begun.load(SeqCst), Vec::new())),
        }
    }
}

/// A server that runs in a thread; its drop stops it.
pub(crate) struct Running {
    stopper: Stopper,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Running {
    pub(crate) fn new(server: Server<'static, Ask>) -> Self {
        let stopper = server.stopper();
        Self { stopper, thread: Some(thread::spawn(|| server.run())) }
    }

    /// Stops the server and waits for its end.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.stopper.stop();
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap())
    }

    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// A server of [`Service::answer`] with so many threads (0: none), created when this returns.
pub(crate) fn start(url: &str, service: &'static Service, threads: usize) -> Running {
    let server = anyipc::create(url).unwrap().serve(|_: &Peer, ask| service.answer(ask));
    Running::new(if threads > 0 { server.concurrency(threads) } else { server })
}

/// A service that lives as long as the process.
pub(crate) fn service() -> &'static Service {
    Box::leak(Box::default())
}

/// Bytes that postcard writes as they are: any message at all, under the names of a client.
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

impl Message for Raw {
    const NAME: &'static str = "request/1 test.Ask/1";
}

/// What [`Raw`] is answered with; never read as a value.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RawTold;

impl Message for RawTold {
    const NAME: &'static str = "response/1 test.Told/1";
}
