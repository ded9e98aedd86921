//! Values in named blocks of shared memory, and waiting for their change.

mod watch;

use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_shared_memory::Block;
#[cfg(feature = "serde")]
use serde::{Serialize, de::DeserializeOwned};

use crate::address::of_memory;
use crate::address::settings::WaitMode;
#[cfg(feature = "serde")]
use crate::codec::CodecId;
use crate::endpoint::Endpoint;
use crate::wait::{deadline, done, wait};
pub use watch::BlockWatch;
use watch::Waiting;

impl Endpoint {
    /// The named block of memory behind this handle.
    ///
    /// # Errors
    /// `Unsupported` if there is none: only `shm://` has blocks, made with `size=`.
    pub fn block(&self) -> Result<&Block> {
        self.get().ok_or_else(|| {
            Error::new(Operation::Block, ErrorKind::Unsupported)
                .because("there is no block; create one with shm://name?size=4096")
                .at(self.address())
        })
    }
}

/// A block that holds one value of any serde type, in the default codec (`postcard`), and calls
/// that wait for a change.
///
/// A reader never sees a part of a value. If a writer is killed, the value before stays.
///
/// ```
/// use std::time::Duration;
///
/// use anyipc::BlockExt;
///
/// let board = anyipc::create("shm://block.board?size=4KiB")?;
/// # let writer = std::thread::spawn(|| {
/// // In one process:
/// let board = anyipc::open("shm://block.board")?;
/// board.block()?.store(&("dark", 11u32))?;
/// # board.close() });
///
/// // In others: each value once, or the newest if there were several.
/// let mut seen = 0;
/// let value: (String, u32) = board.block()?.load_newer(&mut seen, Duration::from_secs(5))?;
/// assert_eq!(value, ("dark".to_owned(), 11));
/// assert_eq!(seen, board.block()?.version()?);
/// # writer.join().unwrap()?;
/// # Ok::<(), anyipc::Error>(())
/// ```
///
/// # Waiting
/// A call that waits sleeps until a change wakes it; it looks by itself every 100 ms, in case the
/// writer died before it woke anyone. Threads sleep on a shared word, any number of them. A task, a
/// [`Select`](crate::Select), and a thread on Windows or on macOS before 14.4, waits by a
/// descriptor and one of the block's 176 participant slots; without one left the call returns
/// `OutOfMemory`.
pub trait BlockExt {
    /// Replaces the value. Blocks while another writer does the same. Wakes all that wait for it:
    /// without any, that costs a few nanoseconds.
    ///
    /// A [`load`](Self::load) and a `store` after it are two calls: writers that change a part of
    /// the value share a [`Mutex`](crate::sync::Mutex) at an address of its own, or one of two
    /// changes is lost.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, `MessageTooLarge` if it is too long for the block,
    /// `Unsupported` without the feature `postcard`, and those of [`Block::store_bytes`].
    #[cfg(feature = "serde")]
    fn store<T: Serialize + ?Sized>(&self, value: &T) -> Result<()>;

    /// Reads the value; `None` if none was stored yet.
    ///
    /// # Errors
    /// `Codec` if it is no `T`, `Unsupported` without the feature `postcard`, and those of
    /// [`Block::load_bytes`].
    #[cfg(feature = "serde")]
    fn load<T: DeserializeOwned>(&self) -> Result<Option<T>>;

    /// Reads the value if its [`version`](Block::version) is not `seen`, and sets `seen` to it.
    /// Otherwise waits for that, `timeout` at most. A `seen` of 0 takes any value. Values that were
    /// replaced before this reader came are skipped; the last one is never missed.
    ///
    /// # Errors
    /// `TimedOut`; `Removed` (found while waiting: the name leads to another block, or to none);
    /// those of [`load`](Self::load): after `Codec` the value counts as seen.
    #[cfg(feature = "serde")]
    fn load_newer<T: DeserializeOwned>(&self, seen: &mut u64, timeout: Duration) -> Result<T>;

    /// As [`load_newer`](Self::load_newer), for bytes that [`Block::store_bytes`] stored.
    ///
    /// # Errors
    /// `TimedOut`, `Removed`, and those of [`Block::load_bytes`].
    fn load_newer_bytes(&self, seen: &mut u64, timeout: Duration) -> Result<Vec<u8>>;

    /// A handle that waits for versions after the present one, also in a
    /// [`Select`](crate::Select). It holds the block's memory until it is dropped.
    ///
    /// # Errors
    /// `Forked`.
    fn watch(&self) -> Result<BlockWatch>;

    /// Waits until the version is not `seen`, and returns it. Without a limit of time; a dropped
    /// future has no effect. [`BlockWatch::changed`] serves a task that waits again and again.
    ///
    /// # Errors
    /// `Removed`; `OutOfMemory` (no participant slot left); `Unsupported` outside of a tokio
    /// runtime; `Forked`.
    #[cfg(feature = "tokio")]
    fn changed(&self, seen: u64) -> impl Future<Output = Result<u64>> + Send;

    /// Waits until the 32-bit word at `offset` is not `seen`, `timeout` at most, and returns it.
    /// The process that changes the word, by any call, wakes with [`Block::wake_u32`].
    ///
    /// Where threads can sleep on a shared word, this one sleeps on the word itself: a program in
    /// another language takes part by the system's calls, such as `futex(2)`. It never spins.
    ///
    /// ```
    /// use std::sync::atomic::Ordering::Release;
    /// use std::time::Duration;
    ///
    /// use anyipc::BlockExt;
    ///
    /// let owner = anyipc::create("shm://block.word?size=64")?;
    /// # let other = std::thread::spawn(|| {
    /// // In one process:
    /// let ready = anyipc::open("shm://block.word")?;
    /// ready.block()?.atomic_u32(8)?.store(1, Release);
    /// ready.block()?.wake_u32(8)?;
    /// # ready.close() });
    ///
    /// // In another:
    /// assert_eq!(owner.block()?.wait_u32(8, 0, Duration::from_secs(5))?, 1);
    /// # other.join().unwrap()?;
    /// # Ok::<(), anyipc::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TimedOut`; `OutOfBounds`, also if `offset` is no multiple of 4; `Removed`; `Forked`.
    fn wait_u32(&self, offset: usize, seen: u32, timeout: Duration) -> Result<u32>;

    /// As [`wait_u32`](Self::wait_u32) for a task, without a limit of time. It wakes at each
    /// [`Block::wake_u32`] of the block, whatever the offset, and looks. Only that wakes it, no
    /// call of the system on the word. A dropped future has no effect.
    ///
    /// # Errors
    /// Those of `wait_u32`; `OutOfMemory` (no participant slot left); `Unsupported` outside of a
    /// tokio runtime.
    #[cfg(feature = "tokio")]
    fn wait_u32_async(&self, offset: usize, seen: u32) -> impl Future<Output = Result<u32>> + Send;
}

impl BlockExt for Block {
    #[cfg(feature = "serde")]
    fn store<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let mut bytes = Vec::new();
        CodecId::default()
            .encode(value, &mut bytes)
            .map_err(|e| located(e.during(Operation::Block), self.name()))?;
        self.store_bytes(&bytes).map_err(|error| located(error, self.name()))
    }

    #[cfg(feature = "serde")]
    fn load<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.load_bytes()
            .and_then(|stored| stored.map(|bytes| decode(&bytes)).transpose())
            .map_err(|error| located(error, self.name()))
    }

    #[cfg(feature = "serde")]
    fn load_newer<T: DeserializeOwned>(&self, seen: &mut u64, timeout: Duration) -> Result<T> {
        decode(&self.load_newer_bytes(seen, timeout)?).map_err(|error| located(error, self.name()))
    }

    fn load_newer_bytes(&self, seen: &mut u64, timeout: Duration) -> Result<Vec<u8>> {
        if let Some(done) = done(self.try_load_newer_bytes(seen)) {
            return done.map_err(|error| located(error, self.name()));
        }
        let mut waiting = Waiting::new(self.value_waiter(*seen), WaitMode::Block);
        wait(&mut waiting, Operation::Block, deadline(Some(timeout)), |_| {
            self.try_load_newer_bytes(seen)
        })
        .map_err(|error| located(error, self.name()))
    }

    fn watch(&self) -> Result<BlockWatch> {
        Ok(BlockWatch::new(self.value_waiter(self.version()?)))
    }

    #[cfg(feature = "tokio")]
    async fn changed(&self, seen: u64) -> Result<u64> {
        BlockWatch::new(self.value_waiter(seen)).changed().await
    }

    fn wait_u32(&self, offset: usize, seen: u32, timeout: Duration) -> Result<u32> {
        let mut waiting = Waiting::new(
            self.word_waiter(offset, seen).map_err(|error| located(error, self.name()))?,
            WaitMode::Block,
        );
        if let Some(done) = done(waiting.waiter.try_wait()) {
            return done.map_err(|error| located(error, self.name()));
        }
        wait(&mut waiting, Operation::Block, deadline(Some(timeout)), |waiting| {
            waiting.waiter.try_wait()
        })
        .map_err(|error| located(error, self.name()))
    }

    #[cfg(feature = "tokio")]
    async fn wait_u32_async(&self, offset: usize, seen: u32) -> Result<u32> {
        let mut waiting = Waiting::new(
            self.word_waiter(offset, seen).map_err(|error| located(error, self.name()))?,
            WaitMode::Block,
        );
        crate::asynchronous::wait_once(&mut waiting, Operation::Block, |waiting| {
            waiting.waiter.try_wait()
        })
        .await
        .map_err(|error| located(error, self.name()))
    }
}

/// The error, with the block's address; `WouldBlock` stays as it is.
#[cold]
fn located(error: Error, name: &str) -> Error {
    if error.is_would_block() { error } else { error.at(of_memory(name)) }
}

#[cfg(feature = "serde")]
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    CodecId::default().decode(bytes).map_err(|e| e.during(Operation::Block))
}
