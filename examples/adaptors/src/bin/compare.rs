//! tarpc and tonic over `local://` and `shm://` beside the same over a `UnixStream`:
//! `cargo run --release --bin compare`. Calls per second, the best of some rounds that take turns.

use std::path::Path;
use std::time::{Duration, Instant};

use anyipc::Listener;
use anyipc_adaptors::{grpc, rpc};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use hyper_util::rt::TokioIo;
use tarpc::context;
use tarpc::tokio_serde::formats::Bincode;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::codec::LengthDelimitedCodec;
use tonic::transport::{Channel, Endpoint, Server};

const ROUNDS: usize = 5;

type Failed = Box<dyn std::error::Error>;

/// One way to a server.
struct Way {
    name: &'static str,
    rpc: rpc::EditorClient,
    grpc: grpc::CompilerClient<Channel>,
    /// Calls per second: tarpc one after another and 32 at once, the same of tonic; messages per
    /// second of a stream of tonic.
    best: [f64; 5],
}

async fn over(name: &'static str, address: &str) -> Result<Way, Failed> {
    let (first, second) = (format!("{address}.rpc"), format!("{address}.grpc"));
    tokio::spawn(rpc::serve(Listener::bind(&first)?));
    let client = rpc::connect(&first).await?;
    tokio::spawn(grpc::serve(Listener::bind(&second)?, std::future::pending()));
    let channel = grpc::connect(&second).await?;
    Ok(Way { name, rpc: client, grpc: grpc::CompilerClient::new(channel), best: [0.0; 5] })
}

/// As the frameworks' own examples do it.
async fn over_sockets(dir: &Path) -> Result<Way, Failed> {
    let listener = UnixListener::bind(dir.join("rpc"))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let framed = LengthDelimitedCodec::builder().new_framed(stream);
            let transport = tarpc::serde_transport::new(framed, Bincode::default());
            tokio::spawn(rpc::serve_one(transport));
        }
    });
    let stream = UnixStream::connect(dir.join("rpc")).await?;
    let framed = LengthDelimitedCodec::builder().new_framed(stream);
    let rpc = rpc::client(tarpc::serde_transport::new(framed, Bincode::default()));
    let listener = UnixListener::bind(dir.join("grpc"))?;
    let accepted = futures::stream::unfold(listener, |listener| async move {
        Some((listener.accept().await.map(|(stream, _)| stream), listener))
    });
    let server = Server::builder().add_service(grpc::CompilerServer::new(grpc::Pretends));
    tokio::spawn(server.serve_with_incoming(accepted.boxed()));
    let path = dir.join("grpc");
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    let channel = Endpoint::from_static("http://socket").connect_with_connector(connector).await?;
    let grpc = grpc::CompilerClient::new(channel);
    Ok(Way { name: "UnixStream", rpc, grpc, best: [0.0; 5] })
}

impl Way {
    async fn measure(&mut self, time: Duration) -> Result<(), Failed> {
        let open = || self.rpc.open(context::current(), "main.rs".into(), 130);
        let file = || grpc::Compile { path: "main.rs".into(), diagnostics: 2000 };
        let mut rates = [0.0; 5];
        for (pattern, rate) in rates.iter_mut().enumerate() {
            let (start, mut count) = (Instant::now(), 0);
            while start.elapsed() < time {
                count += match pattern {
                    0 => open().await.map(|_| 1)?,
                    1 => join_all((0..32).map(|_| open())).await.len(),
                    2 => self.grpc.version(file()).await.map(|_| 1)?,
                    3 => {
                        let clients = (0..32).map(|_| self.grpc.clone());
                        let calls =
                            clients.map(|mut client| async move { client.version(file()).await });
                        join_all(calls).await.len()
                    }
                    _ => {
                        let lines = self.grpc.compile(file()).await?.into_inner();
                        lines.try_fold(0, |count, _| async move { Ok(count + 1) }).await?
                    }
                };
            }
            *rate = count as f64 / start.elapsed().as_secs_f64();
        }
        self.best.iter_mut().zip(rates).for_each(|(best, rate)| *best = best.max(rate));
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let quick = std::env::args().any(|word| word == "--quick");
    let time = Duration::from_millis(if quick { 20 } else { 400 });
    let dir = std::env::temp_dir().join(format!("anyipc-compare-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let name = format!("compare.{}", std::process::id());
    let mut ways = vec![
        over_sockets(&dir).await?,
        over("local", &format!("local://{name}")).await?,
        over("shm", &format!("shm://{name}")).await?,
    ];
    for _ in 0..if quick { 1 } else { ROUNDS } {
        for way in &mut ways {
            way.measure(time).await?;
        }
    }
    println!(
        "{:<12}{:>12}{:>12}{:>12}{:>12}{:>14}",
        "1000/s", "tarpc", "x 32", "tonic", "x 32", "tonic stream"
    );
    let base = ways[0].best;
    for way in &ways {
        print!("{:<12}", way.name);
        for (rate, base) in way.best.iter().zip(base) {
            print!(" {:>6.1} {:.2}", rate / 1000.0, rate / base);
        }
        println!();
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
