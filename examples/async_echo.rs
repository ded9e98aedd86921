//! cargo run --example async_echo --features tokio
//!
//! An async owner that echoes to every process that connects, each in its own task.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use anyipc::{AsyncChannel, ErrorKind};
use tokio::task::JoinSet;
use tokio::time::timeout;

const ADDRESS: &str = "shm://example.async_echo";
const CLIENTS: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("client") {
        let mut channel = anyipc::connect_async(ADDRESS).await?;
        channel.send(format!("hello from process {}", std::process::id()).as_bytes()).await?;
        println!("echo: {}", String::from_utf8(channel.recv().await?)?);
        return Ok(());
    }

    let owner = anyipc::create(ADDRESS)?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Command::new(std::env::current_exe()?).arg("client").spawn()?);
    }
    let mut echoes = JoinSet::new();
    for _ in 0..CLIENTS {
        let channel = timeout(Duration::from_secs(10), owner.accept_async()).await??;
        echoes.spawn(echo(channel));
    }
    for served in echoes.join_all().await {
        println!("a client left after {} message(s)", served?);
    }
    for mut client in clients {
        client.wait()?;
    }
    Ok(())
}

/// Answers until the other side closes.
async fn echo(mut channel: AsyncChannel) -> anyipc::Result<u64> {
    loop {
        match channel.recv().await {
            Ok(message) => channel.send(&message).await?,
            Err(error) if error.kind() == ErrorKind::Closed => {
                return Ok(channel.stats().messages_received);
            }
            Err(error) => return Err(error),
        }
    }
}
