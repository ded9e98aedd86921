//! cargo run --example hello
//!
//! Two processes, one message each way.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

const ADDRESS: &str = "shm://example.hello";

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("client") {
        let mut channel = anyipc::connect(ADDRESS)?;
        channel.send(b"hello")?;
        println!("the owner says: {}", String::from_utf8(channel.recv()?)?);
        return Ok(());
    }

    let owner = anyipc::create(ADDRESS)?;
    let mut client = Command::new(std::env::current_exe()?).arg("client").spawn()?;
    let mut channel = owner.accept_timeout(Duration::from_secs(10))?;
    println!("the client says: {}", String::from_utf8(channel.recv()?)?);
    channel.send(b"welcome")?;
    client.wait()?;
    Ok(())
}
