//! cargo run --example edit_requests
//!
//! "Open this file at this line": terminals ask an editor, and get an answer, over any address
//! between processes: add `-- tcp://127.0.0.1:47102`. A terminal is killed while it asks, and the
//! editor is killed and started again: to open a file twice harms nobody, so the clients repeat
//! what is unanswered.

use std::error::Error;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use anyipc::request::Resend;
use anyipc::{Address, Client, Failure, Message, Peer};
use serde::{Deserialize, Serialize};

const ADDRESS: &str = "best://example.edit_requests";
/// Longest wait for an answer, restarts of the editor included.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize, Message)]
#[message(name = "example.Open/1")]
struct Open {
    path: String,
    line: u32,
}

#[derive(Serialize, Deserialize, Message)]
#[message(name = "example.Opened/1")]
struct Opened {
    window: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["editor", address] => Ok(anyipc::serve(address, open).concurrency(2).run()?),
        ["terminal", address, path] => ask(address, path),
        [address] => watch(address),
        _ => watch(ADDRESS),
    }
}

/// The editor's part.
fn open(_terminal: &Peer, open: Open) -> Result<Opened, Failure> {
    match open.path.as_str() {
        "lost.rs" => Err(Failure::new(404, "no such file")),
        _ => Ok(Opened { window: open.line / 40 }),
    }
}

/// The terminal's part.
fn ask(address: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let address = address.parse::<Address>()?.with("timeout", "20s");
    let editor: Client<Open, Opened> =
        Client::builder(address).resend(Resend::AtLeastOnce).connect()?;
    for line in 1..=100 {
        let opened = editor.call_timeout(&Open { path: path.into(), line }, PATIENCE)?;
        assert_eq!(opened.window, line / 40);
        // A person takes much longer.
        sleep(Duration::from_millis(1));
    }
    let error = match editor.call_timeout(&Open { path: "lost.rs".into(), line: 1 }, PATIENCE) {
        Ok(_) => return Err("a file that is not there was opened".into()),
        Err(error) => error,
    };
    assert_eq!(Failure::of(&error).map(Failure::code), Some(404), "{error}");
    println!("{path}: 100 lines were opened; lost.rs: {error}");
    Ok(())
}

fn watch(address: &str) -> Result<(), Box<dyn Error>> {
    let this = std::env::current_exe()?;
    let start = |arguments: &[&str]| Command::new(&this).args(arguments).spawn();
    let kill = |process: &mut Child| process.kill().and_then(|()| process.wait());

    let mut editor = start(&["editor", address])?;
    let mut terminals = Vec::new();
    for path in ["main.rs", "lib.rs", "closed.rs"] {
        terminals.push(start(&["terminal", address, path])?);
    }
    sleep(Duration::from_millis(50));
    for mut terminal in terminals.drain(2..) {
        kill(&mut terminal)?;
    }
    for _ in 0..2 {
        kill(&mut editor)?;
        editor = start(&["editor", address])?;
        sleep(Duration::from_millis(50));
    }
    for mut terminal in terminals {
        assert!(terminal.wait()?.success(), "a terminal got no answer");
    }
    kill(&mut editor)?;
    // What a killed process leaves stays until its name is used again, or somebody sweeps.
    anyipc::Registry::global().sweep(true)?;
    Ok(())
}
