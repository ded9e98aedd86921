//! The task that receives for all calls of a client, and connects. The first task that waits starts
//! it; it ends with the last handle of the client.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use anyipc_core::{Error, ErrorKind, Operation, Result, Role};
use tokio::runtime::Handle;

use crate::asynchronous::registration::Retained;
use crate::asynchronous::wait::wait;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::request::ClientEvent;
use crate::request::client::resending::Resending;
use crate::request::client::shared::{Shared, State, wake};
use crate::request::frame::Frame;

/// Starts the task unless someone leads, and wakes it if it has to connect.
pub(super) fn ensure_leader(shared: &Arc<Shared>, state: &mut State) {
    if state.leading {
        if !state.up
            && let Some(driver) = state.driver.take()
        {
            driver.wake();
        }
        return;
    }
    // Outside of a runtime the caller's own error comes first.
    if let Ok(runtime) = Handle::try_current() {
        state.leading = true;
        runtime.spawn(drive(Leader { shared: Arc::clone(shared), receiver: None }));
    }
}

/// Sends a message as a task.
pub(super) async fn send(shared: &Shared, sender: &mut Sender, message: &[u8]) -> Result<()> {
    sender.check_len(message.len())?;
    let (mut offset, mut retained) = (0, Retained::default());
    wait(sender, &shared.reactor, &mut retained, Operation::Send, None, |sender| {
        sender.try_send_rest(message, &mut offset)
    })
    .await
}

/// Leads as long as it lives. Its drop, also with its runtime, lets another lead.
struct Leader {
    shared: Arc<Shared>,
    receiver: Option<Receiver>,
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.leading = false;
        state.driver = None;
        if let Some(receiver) = self.receiver.take() {
            state.receiver = Some(receiver);
        }
        let wakers = state.hand_over();
        drop(state);
        wake(wakers);
    }
}

enum Todo {
    Receive(Receiver),
    Connect,
    End,
}

async fn drive(mut leader: Leader) {
    loop {
        let shared = Arc::clone(&leader.shared);
        let todo = poll_fn(|cx| {
            let mut state = shared.lock();
            if state.closed {
                return Poll::Ready(Todo::End);
            }
            if let Some(receiver) = state.receiver.take() {
                return Poll::Ready(Todo::Receive(receiver));
            }
            if !state.up && (state.calls.has_unsent() || !state.room.is_empty()) {
                return Poll::Ready(Todo::Connect);
            }
            state.driver = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        match todo {
            Todo::End => return,
            Todo::Receive(receiver) => {
                leader.receiver = Some(receiver);
                if let Some(reason) = receive(&mut leader).await {
                    leader.receiver = None;
                    shared.lose(shared.explain(reason));
                }
            }
            Todo::Connect => {
                if let Err(error) = unless_closed(&shared, connect(&shared)).await {
                    shared.fail_unsent(&error);
                }
            }
        }
    }
}

/// Awaits until the last handle is dropped.
async fn unless_closed(shared: &Shared, future: impl Future<Output = Result<()>>) -> Result<()> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            let mut state = shared.lock();
            if state.closed {
                return Poll::Ready(Ok(()));
            }
            state.driver = Some(cx.waker().clone());
        }
        polled
    })
    .await
}

/// Receives until the connection ends, for the reason that is returned, or the client.
async fn receive(leader: &mut Leader) -> Option<Error> {
    let Leader { shared, receiver } = leader;
    let shared = &**shared;
    let receiving = async {
        let receiver = receiver.as_mut().ok_or(Error::new(Operation::Call, ErrorKind::Closed))?;
        let mut retained = Retained::default();
        loop {
            let mut taken = Ok(true);
            let mut take = Some(|message: &[u8]| {
                taken = Frame::decode(message)
                    .and_then(|(frame, payload)| shared.deliver(frame, payload, None));
            });
            wait(receiver, &shared.reactor, &mut retained, Operation::Receive, None, |receiver| {
                receiver.try_with(&mut take)
            })
            .await?;
            taken?;
        }
    };
    unless_closed(shared, receiving).await.err()
}

/// Connects, and sends what is unsent.
async fn connect(shared: &Shared) -> Result<()> {
    if shared.lock().epoch > 0 {
        shared.event(ClientEvent::Reconnecting);
    }
    let (endpoint, deadline) = shared.registry.opened_async(&shared.address).await?;
    let hello = shared.names.client_hello(&endpoint)?;
    let channel = endpoint.next_async(Role::Opener, hello, deadline).await?;
    let (sender, epoch) = shared.install(channel)?;
    let mut resending = Resending::new(shared, sender, epoch);
    while let Some((sender, next)) = resending.next() {
        let sent = send(shared, sender, &next.request).await;
        resending.sent(sent);
    }
    Ok(())
}
