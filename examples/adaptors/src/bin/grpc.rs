//! gRPC over some addresses: `cargo run --bin grpc`, or `cargo run --bin grpc shm://compiler`.

use anyipc::Listener;
use anyipc_adaptors::{addresses, grpc};
use futures::TryStreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for address in addresses("grpc") {
        let listener = Listener::bind(&address)?;
        let server = tokio::spawn(grpc::serve(listener, std::future::pending()));
        let mut compiler = grpc::CompilerClient::new(grpc::connect(&address).await?);
        let file = grpc::Compile { path: "main.rs".into(), diagnostics: 3 };
        let version = compiler.version(file.clone()).await?.into_inner().text;
        println!("{address}: {version}");
        let found: Vec<_> = compiler.compile(file).await?.into_inner().try_collect().await?;
        found.iter().for_each(|line| println!("    {}", line.text));
        assert_eq!(found.len(), 3);
        server.abort();
    }
    Ok(())
}
