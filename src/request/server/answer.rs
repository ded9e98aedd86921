//! Answers as bytes, and handlers that make them.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Operation, Peer, Result};
use serde::Serialize;

use super::jobs::{Control, Job, Replies, Reply};
use crate::codec::CodecId;
use crate::inbox::PeerId;
use crate::request::failure::{Cause, Failure};
use crate::request::frame::Frame;

/// Writes the failure of a call.
pub(crate) fn write_failure(id: u32, failure: &Failure, frame: &mut Vec<u8>) {
    let (cause, code) = (failure.cause(), failure.code());
    frame.clear();
    frame.extend(Frame::Failure { id, cause, code }.encode());
    frame.extend(failure.text().as_bytes());
}

/// Writes a frame with a value, or the failure to encode it.
pub(crate) fn write_value<T: Serialize>(
    head: Frame,
    id: u32,
    value: &T,
    codec: CodecId,
    frame: &mut Vec<u8>,
) {
    frame.clear();
    frame.extend(head.encode());
    if let Err(error) = codec.encode(value, frame) {
        write_failure(id, &Failure::because(Cause::Codec, error.to_string()), frame);
    }
}

/// The failure of a handler that panicked.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    Failure::because(Cause::Panicked, format!("the handler panicked: {}", said.unwrap_or("?")))
}

/// Writes the one answer of a call: the response, or why there is none.
pub(crate) fn write_answer<Response: Serialize>(
    id: u32,
    answer: std::thread::Result<Result<Response, Failure>>,
    codec: CodecId,
    max_message: usize,
    frame: &mut Vec<u8>,
) {
    match answer {
        Ok(Ok(response)) => {
            write_value(Frame::Response { id }, id, &response, codec, frame);
            if frame.len() > max_message {
                let failure = Failure::because(Cause::Codec, too_large(frame.len(), max_message));
                write_failure(id, &failure, frame);
            }
        }
        Ok(Err(failure)) => write_failure(id, &failure, frame),
        Err(panic) => write_failure(id, &panicked(&*panic), frame),
    }
}

pub(crate) fn too_large(len: usize, max_message: usize) -> String {
    format!("the response of {len} bytes is longer than the channel's max_message={max_message}")
}

/// Executes a handler of single responses, and writes the answer.
pub(super) fn respond<Request, Response: Serialize>(
    handler: impl FnOnce(&Peer, Request) -> Result<Response, Failure>,
    job: Job<Request>,
    codec: CodecId,
    frame: &mut Vec<u8>,
) {
    let Job { id, peer, request, max_message, .. } = job;
    let answer = catch_unwind(AssertUnwindSafe(|| handler(&peer, request)));
    write_answer(id, answer, codec, max_message, frame);
}

/// Executes a handler of streams, and writes how the stream has ended.
pub(super) fn stream<Request, Response: Serialize>(
    handler: impl FnOnce(&Peer, Request, &mut Outgoing<Response>) -> Result<(), Failure>,
    job: Job<Request>,
    codec: CodecId,
    replies: &Arc<Replies>,
    frame: &mut Vec<u8>,
) {
    let Job { from, id, peer, until, request, max_message, control } = job;
    let Some(control) = control.filter(|control| control.is_stream()) else {
        return write_failure(id, &no_stream_asked(), frame);
    };
    let replies = Arc::clone(replies);
    let marker = PhantomData;
    let mut outgoing =
        Outgoing { to: from, id, until, codec, control, replies, max_message, marker };
    match catch_unwind(AssertUnwindSafe(|| handler(&peer, request, &mut outgoing))) {
        Ok(Ok(())) => {
            frame.clear();
            frame.extend(Frame::End { id }.encode());
        }
        Ok(Err(failure)) => write_failure(id, &failure, frame),
        Err(panic) => write_failure(id, &panicked(&*panic), frame),
    }
}

pub(crate) fn no_stream_asked() -> Failure {
    Failure::because(
        Cause::Stream,
        "this server answers with a stream, and the client asked for one response",
    )
}

/// The stream that answers a request: what a handler of [`serve_stream`](super::serve_stream) sends
/// with.
pub struct Outgoing<Response> {
    to: PeerId,
    id: u32,
    until: Option<Instant>,
    codec: CodecId,
    control: Arc<Control>,
    replies: Arc<Replies>,
    max_message: usize,
    marker: PhantomData<fn(&Response)>,
}

impl<Response: Serialize> Outgoing<Response> {
    /// Sends an item. Blocks while the client has not taken the ones before, as long as there is
    /// time left for the call.
    ///
    /// # Errors
    /// `Closed`: the client has cancelled the call, or left. `TimedOut`: the time for the call is
    /// over. `MessageTooLarge`, `Codec`. The handler may return the error as its own.
    pub fn send(&mut self, item: &Response) -> Result<()> {
        let mut frame = Frame::Item { id: self.id }.encode().to_vec();
        self.codec.encode(item, &mut frame)?;
        if frame.len() > self.max_message {
            return Err(Error::new(Operation::Serve, ErrorKind::MessageTooLarge)
                .because(too_large(frame.len(), self.max_message)));
        }
        self.control.take(frame.len(), self.until)?;
        self.replies.push(Reply { to: self.to, id: self.id, ends: false, frame });
        Ok(())
    }

    /// True if nobody waits for the stream any more: the client has cancelled the call, or left.
    pub fn is_cancelled(&self) -> bool {
        self.control.is_cancelled()
    }

    /// How much time is left for the call; `None` without a limit.
    pub fn time_left(&self) -> Option<Duration> {
        self.until.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl<Response> fmt::Debug for Outgoing<Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("id", &self.id).finish_non_exhaustive()
    }
}
