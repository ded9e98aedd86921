//! The halves over a stream in memory that moves bytes one by one, interrupts calls, ends too
//! early, or carries garbage.

mod batches;
mod ends;
mod framing;

use std::io;

use anyipc_core::{Armed, ErrorKind, Flags, FrameHeader, RecvHalf, Result, Wait, Waiter};

use crate::memory_stream::{In, Out, stream};
use crate::stream::{Incoming, Outgoing};
use crate::wire::MAX_ENCODED;

type Sender = crate::FrameSender<Out>;
type Receiver = crate::FrameReceiver<In>;

fn halves(most: usize) -> (Sender, Receiver) {
    let (out, into) = stream(most);
    (Sender::new(out), Receiver::new(into))
}

/// A receiver, and the raw end that it receives from.
fn receiver() -> (Out, Receiver) {
    let (out, into) = stream(usize::MAX);
    (out, Receiver::new(into))
}

/// A sender, and the raw end that receives from it.
fn sender() -> (Sender, In) {
    let (out, into) = stream(usize::MAX);
    (Sender::new(out), into)
}

/// Repeats a call while it is interrupted.
fn calmly<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Sends raw bytes. There must be room for them.
fn say(raw: &mut Out, bytes: &[u8]) {
    assert_eq!(calmly(|| raw.send(bytes)).unwrap(), bytes.len());
}

fn recv(half: &mut Receiver) -> Result<(Flags, Vec<u8>)> {
    let mut got = None;
    half.try_recv_with(&mut |flags, frame| got = Some((flags, frame.to_vec())))?;
    Ok(got.unwrap())
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = FrameHeader { len: payload.len() as u32, flags: Flags::MORE }.encode().to_vec();
    bytes.extend(payload);
    bytes
}

fn noise(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ seed) as u8).collect()
}

/// All bytes that are there.
fn received(raw: &mut In) -> Vec<u8> {
    let mut bytes = vec![0; 4 * MAX_ENCODED];
    let mut len = 0;
    while let Ok(got @ 1..) = calmly(|| raw.recv(&mut bytes[len..])) {
        len += got;
    }
    bytes.truncate(len);
    bytes
}

/// Receives although one call reads only a bounded number of times: `arm` then says that there is
/// more to do.
fn recv_in_steps(half: &mut Receiver) -> Result<(Flags, Vec<u8>)> {
    loop {
        match recv(half) {
            Err(error) if error.is_would_block() => {
                assert!(!half.drained());
                assert_eq!(half.arm(Waiter::Thread).unwrap(), Armed::Ready);
            }
            done => return done,
        }
    }
}
