//! cargo run --example typed_values
//!
//! An editor and two compilers, each a process. The handshake compares the names of their types; a
//! program with others is told so. Nobody has to think of an address: the editor passes it on.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use anyipc::{Event, Message, TypedInbox};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "example.Diagnostic/1")]
enum Diagnostic {
    Error { path: String, line: u32, text: String },
    Finished { errors: u32 },
}

/// What the editor answers: the diagnostics that it shows.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "example.Shown/1")]
struct Shown(u32);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [address, path] => compile(address, path),
        _ => edit(),
    }
}

fn compile(address: &str, path: &str) -> Result<(), Box<dyn Error>> {
    // Waits for the editor. One of another version would be refused here.
    let mut editor = anyipc::connect_typed::<Diagnostic, Shown>(address)?;
    let text = "unused variable".to_owned();
    editor.send(&Diagnostic::Error { path: path.to_owned(), line: 7, text })?;
    editor.send(&Diagnostic::Finished { errors: 1 })?;
    let Shown(count) = editor.recv()?;
    println!("compiler of {path}: the editor shows {count}");
    Ok(())
}

fn edit() -> Result<(), Box<dyn Error>> {
    let mut inbox = TypedInbox::<Shown, Diagnostic>::new(anyipc::create("best://?unique")?)?;
    let address = inbox.endpoint().address().to_string();
    let this = std::env::current_exe()?;
    let compilers = ["main.rs", "lib.rs"].map(|path| {
        let mut command = Command::new(&this);
        command.args([&address, path]).spawn()
    });

    let other = std::thread::spawn(move || anyipc::connect_typed::<String, ()>(address));
    let (mut shown, mut left) = (0, 2);
    while left > 0 {
        match inbox.next_event_timeout(Duration::from_secs(10))? {
            Event::Message(_, Diagnostic::Error { path, line, text }) => {
                println!("{path}:{line}: {text}");
                shown += 1;
            }
            Event::Message(id, Diagnostic::Finished { .. }) => inbox.send(id, &Shown(shown))?,
            Event::Connected(_) => {}
            Event::Disconnected(..) => left -= 1,
        }
    }
    for compiler in compilers {
        compiler?.wait()?;
    }
    if let Err(error) = other.join().map_err(|_| "the thread panicked")? {
        println!("another program: {error}");
    }
    Ok(())
}
