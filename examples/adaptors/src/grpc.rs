//! tonic: a channel's bytes are HTTP/2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyipc::{Address, IntoAddress, Io, Listener, Peer};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

/// The client, and the server's trait.
#[allow(missing_docs, clippy::all, reason = "written by the build script")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/edix.Compiler.rs"));
}
pub use generated::compiler_client::CompilerClient;
pub use generated::compiler_server::{Compiler, CompilerServer};

/// A file to compile.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Compile {
    /// Its path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The number of diagnostics to make up.
    #[prost(uint32, tag = "2")]
    pub diagnostics: u32,
}

/// A line of text.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    /// The line.
    #[prost(string, tag = "1")]
    pub text: String,
}

/// A channel's bytes that tell the service which peer they are from.
pub struct PeerIo(Io);

impl Connected for PeerIo {
    /// In the extensions of each request: process, user, hello.
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.0.peer().clone()
    }
}

impl AsyncRead for PeerIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), cx, buffer)
    }
}

impl AsyncWrite for PeerIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(&mut self.0), cx, pieces)
    }
    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.0), cx)
    }
}

/// What `serve_with_incoming` takes.
pub fn incoming(listener: Listener) -> impl Stream<Item = io::Result<PeerIo>> {
    listener.incoming().map_ok(|channel| PeerIo(channel.into_io()))
}

/// A client's channel to any address. tonic connects again when the owner comes back.
///
/// # Errors
/// Those of tonic, with those of [`anyipc::connect_async`] in them.
pub async fn connect(address: impl IntoAddress) -> Result<Channel, Box<dyn std::error::Error>> {
    let address: Address = address.into_address()?;
    let connector = tower::service_fn(move |_| {
        let address = address.clone();
        async move {
            let channel = anyipc::connect_async(address).await?;
            Ok::<_, io::Error>(TokioIo::new(channel.into_io()))
        }
    });
    // The name is not looked up: the connector knows where to go.
    Ok(Endpoint::from_static("http://anyipc").connect_with_connector(connector).await?)
}

/// A compiler that makes its diagnostics up.
#[derive(Clone, Copy)]
pub struct Pretends;

#[tonic::async_trait]
impl Compiler for Pretends {
    type CompileStream = BoxStream<'static, Result<Text, Status>>;

    async fn version(&self, request: Request<Compile>) -> Result<Response<Text>, Status> {
        // Over UnixStream, in the comparison, there is no peer of ours.
        let pid = request.extensions().get::<Peer>().and_then(|peer| peer.pid);
        if request.get_ref().path.is_empty() {
            return Err(Status::invalid_argument("no path"));
        }
        Ok(Response::new(Text { text: format!("1.0 for process {pid:?}") }))
    }

    async fn compile(
        &self,
        request: Request<Compile>,
    ) -> Result<Response<Self::CompileStream>, Status> {
        let Compile { path, diagnostics } = request.into_inner();
        let lines =
            (0..diagnostics).map(move |line| Ok(Text { text: format!("{path}:{line}: unused") }));
        Ok(Response::new(stream::iter(lines).boxed()))
    }
}

/// Serves all that connect, until `over` ends.
///
/// # Errors
/// Those of tonic.
pub async fn serve(
    listener: Listener,
    over: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .add_service(CompilerServer::new(Pretends))
        .serve_with_incoming_shutdown(incoming(listener), over)
        .await
}
