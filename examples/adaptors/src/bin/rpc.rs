//! tarpc over some addresses: `cargo run --bin rpc`, or `cargo run --bin rpc shm://editor`.

use anyipc::Listener;
use anyipc_adaptors::{addresses, rpc};
use tarpc::context;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for address in addresses("rpc") {
        let server = tokio::spawn(rpc::serve(Listener::bind(&address)?));
        let editor = rpc::connect(&address).await?;
        let window = editor.open(context::current(), "main.rs".into(), 130).await?;
        println!("{address}: main.rs:130 is in window {window:?}");
        assert_eq!(window, Some(2));
        server.abort();
    }
    Ok(())
}
