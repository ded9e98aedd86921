//! cargo run --example requests
//!
//! Three processes call a server from several threads. It is killed and started again meanwhile:
//! with `Resend::AtLeastOnce` every call gets its answer.

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use anyipc::request::{ClientEvent, Resend};
use anyipc::{Client, Message, Peer};
use serde::{Deserialize, Serialize};

const ADDRESS: &str = "shm://example.requests?timeout=20s";

#[derive(Serialize, Deserialize)]
struct Square(u64);

#[derive(Serialize, Deserialize)]
struct Squared(u64);

impl Message for Square {
    const NAME: &'static str = "example.Square/1";
}

impl Message for Squared {
    const NAME: &'static str = "example.Squared/1";
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("server") => Ok(serve()?),
        Some("client") => Ok(call()?),
        _ => watch(),
    }
}

fn serve() -> anyipc::Result<()> {
    anyipc::serve(ADDRESS, |_: &Peer, square: Square| Ok(Squared(square.0 * square.0)))
        .concurrency(2)
        .run()
}

fn call() -> anyipc::Result<()> {
    let client: Client<Square, Squared> = Client::builder(ADDRESS)
        .resend(Resend::AtLeastOnce)
        .on_event(|event| match event {
            ClientEvent::Lost(reason) => println!("lost: {reason}"),
            ClientEvent::Resent(count) => println!("{count} call(s) sent again"),
            _ => {}
        })
        .connect()?;
    let calls = |client: Client<Square, Squared>| -> anyipc::Result<u64> {
        let mut sum = 0;
        for number in 0..500 {
            sum += client.call(&Square(number))?.0;
            thread::sleep(Duration::from_micros(200));
        }
        Ok(sum)
    };
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || calls(client))
        })
        .collect();
    for thread in threads {
        let sum = thread.join().map_err(|_| anyipc::Failure::from("a thread panicked"))??;
        println!("process {}: the squares add up to {sum}", std::process::id());
    }
    Ok(())
}

fn watch() -> Result<(), Box<dyn std::error::Error>> {
    let this = std::env::current_exe()?;
    let start = |role: &str| -> std::io::Result<Child> { Command::new(&this).arg(role).spawn() };
    let mut server = start("server")?;
    let clients = [start("client")?, start("client")?, start("client")?];
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(100));
        server.kill()?;
        server.wait()?;
        server = start("server")?;
    }
    for mut client in clients {
        assert!(client.wait()?.success());
    }
    server.kill()?;
    server.wait()?;
    // What a killed process leaves stays until its name is used again, or somebody sweeps.
    anyipc::Registry::global().sweep(true)?;
    Ok(())
}
