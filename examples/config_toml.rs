//! cargo run --example config_toml --features config
//!
//! Addresses from a configuration. The environment overrides it without a rebuild: try
//! `ANYIPC_ERRORS_URL=inproc://elsewhere` in front of the command.

use std::error::Error;
use std::thread;

use anyipc::{Address, Config};

const FILE: &str = r#"
[addresses]
errors = "shm://example.errors?wait=block&max_message=64KiB"
edits = "inproc://example.edits"
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // In a program of your own: Config::from_file("anyipc.toml")?
    let config = Config::from_str(FILE)?;
    for name in ["errors", "edits"] {
        let address = config.address(name)?;
        println!("{name}: {address}: {}", ask(&address)?);
    }
    // A mistake is an error that names the choices.
    println!("{}", anyipc::create("shm://x?wait=hard").err().ok_or("wait=hard was taken")?);
    Ok(())
}

/// The same code for every transport.
fn ask(address: &Address) -> Result<String, Box<dyn Error>> {
    let owner = anyipc::create(address)?;
    thread::scope(|scope| {
        let client = scope.spawn(|| -> anyipc::Result<Vec<u8>> {
            let mut channel = anyipc::connect(address)?;
            channel.send(b"main.rs:7: unused variable")?;
            channel.recv()
        });
        let mut channel = owner.accept()?;
        let report = channel.recv()?;
        channel.send(&[b"got ", &report[..]].concat())?;
        Ok(String::from_utf8(client.join().map_err(|_| "the client panicked")??)?)
    })
}
