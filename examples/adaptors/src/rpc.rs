//! tarpc: a channel's messages are its requests and responses.

use std::io;

use anyipc::{AsyncChannel, IntoAddress, Listener};
use bytes::BytesMut;
use futures::{StreamExt, TryStreamExt};
use tarpc::context::Context;
use tarpc::serde::{Deserialize, Serialize};
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::{Framed, formats::Bincode};
use tarpc::{Transport, client};

/// What an editor does for others.
#[tarpc::service]
pub trait Editor {
    /// Opens a file at a line, and returns the number of the window.
    async fn open(path: String, line: u32) -> Option<u32>;
}

#[derive(Clone)]
struct Windows;

impl Editor for Windows {
    async fn open(self, _: Context, path: String, line: u32) -> Option<u32> {
        (!path.is_empty()).then_some(line / 60)
    }
}

/// A channel as a transport of tarpc: one message for each request and response, so no lengths are
/// put before them.
pub fn transport<Item, SinkItem>(
    channel: AsyncChannel,
) -> impl Transport<SinkItem, Item, Error = io::Error>
where
    Item: for<'de> Deserialize<'de> + Unpin,
    SinkItem: Serialize + Unpin,
{
    let messages = channel.into_framed().map_ok(BytesMut::from);
    Framed::new(messages, Bincode::<Item, SinkItem>::default())
}

/// Serves all that connect, each in a task.
///
/// # Errors
/// Those of [`Listener::incoming`].
pub async fn serve(listener: Listener) -> io::Result<()> {
    let mut incoming = listener.incoming();
    while let Some(channel) = incoming.next().await {
        tokio::spawn(serve_one(transport(channel?)));
    }
    Ok(())
}

/// Serves one client over any transport of tarpc.
pub async fn serve_one<T>(transport: T)
where
    T: Transport<tarpc::Response<EditorResponse>, tarpc::ClientMessage<EditorRequest>>
        + Send
        + 'static,
    T::Error: Send + Sync,
{
    let requests = BaseChannel::with_defaults(transport).execute(Windows.serve());
    requests.for_each_concurrent(32, |response| response).await;
}

/// A client over any transport of tarpc.
pub fn client<T>(transport: T) -> EditorClient
where
    T: Transport<tarpc::ClientMessage<EditorRequest>, tarpc::Response<EditorResponse>>
        + Send
        + 'static,
    T::Error: Send + Sync,
{
    EditorClient::new(client::Config::default(), transport).spawn()
}

/// Connects to an editor.
///
/// # Errors
/// Those of [`anyipc::connect_async`].
pub async fn connect(address: impl IntoAddress) -> io::Result<EditorClient> {
    Ok(client(transport(anyipc::connect_async(address).await?)))
}
