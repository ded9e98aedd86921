//! cargo run --example compiler_to_editor
//!
//! Many compilers, one editor that shows their diagnostics as they come, over any address between
//! processes: add `-- local://example.editor`. A compiler is killed half-way: the editor takes its
//! diagnostics away. The editor is killed and started again: each compiler that runs finds the new
//! one by the same address, and reports again from its first diagnostic on.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use anyipc::{ErrorKind, Event, Message, TypedInbox};
use serde::{Deserialize, Serialize};

const ADDRESS: &str = "best://example.compiler_to_editor";
/// Diagnostics of each file.
const COUNT: u32 = 20;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "example.Report/1")]
enum Report {
    File(String),
    Error { line: u32, text: String },
    Finished,
}

/// The number of diagnostics that the editor shows for the compiler's file.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "example.Shows/1")]
struct Shows(u32);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["editor", address] => Ok(edit(address)?),
        ["compiler", address, file] => Ok(compile(address, file)?),
        [address] => watch(address),
        _ => watch(ADDRESS),
    }
}

fn edit(address: &str) -> anyipc::Result<()> {
    let mut inbox = TypedInbox::<Shows, Report>::new(anyipc::create(address)?)?;
    let mut files = BTreeMap::new();
    loop {
        match inbox.next_event()? {
            Event::Connected(compiler) => drop(files.insert(compiler, (String::new(), 0))),
            Event::Message(compiler, report) => {
                let Some((file, shown)) = files.get_mut(&compiler) else { continue };
                match report {
                    Report::File(name) => *file = name,
                    Report::Error { line, text } => {
                        *shown += 1;
                        println!("{file}:{line}: {text}");
                    }
                    // A compiler that is gone by now is reported below.
                    Report::Finished => drop(inbox.send(compiler, &Shows(*shown))),
                }
            }
            Event::Disconnected(compiler, reason) => match files.remove(&compiler) {
                Some((file, shown)) if reason.kind() != ErrorKind::Closed => {
                    println!("{file}: the compiler died; its {shown} diagnostics are taken away");
                }
                _ => {}
            },
        }
    }
}

fn compile(address: &str, file: &str) -> anyipc::Result<()> {
    loop {
        match report(address, file) {
            Ok(shown) => {
                assert_eq!(shown, COUNT, "the editor does not show all");
                return Ok(());
            }
            Err(error) => match error.kind() {
                ErrorKind::Closed | ErrorKind::PeerGone | ErrorKind::NoOwner => {
                    println!("{file}: the editor has left; once more from the beginning");
                }
                _ => return Err(error),
            },
        }
    }
}

/// Reports all diagnostics to the editor, which may come a little later than the compiler.
fn report(address: &str, file: &str) -> anyipc::Result<u32> {
    let mut editor = anyipc::connect_typed::<Report, Shows>(address)?;
    editor.send(&Report::File(file.into()))?;
    for line in 1..=COUNT {
        // A compiler takes its time.
        sleep(Duration::from_millis(5));
        editor.send(&Report::Error { line, text: "unused variable".into() })?;
    }
    editor.send(&Report::Finished)?;
    Ok(editor.recv()?.0)
}

fn watch(address: &str) -> Result<(), Box<dyn Error>> {
    let this = std::env::current_exe()?;
    let start = |arguments: &[&str]| Command::new(&this).args(arguments).spawn();
    let kill = |process: &mut Child| process.kill().and_then(|()| process.wait());

    let files = ["main.rs", "lib.rs", "half.rs", "util.rs"];
    let mut compilers = Vec::new();
    for file in files {
        compilers.push(start(&["compiler", address, file])?);
    }
    let mut editor = start(&["editor", address])?;
    sleep(Duration::from_millis(60));
    kill(&mut compilers[2])?;
    kill(&mut editor)?;
    let mut editor = start(&["editor", address])?;
    for (file, mut compiler) in files.into_iter().zip(compilers) {
        let success = compiler.wait()?.success();
        assert!(success || file == "half.rs", "{file} was not reported");
    }
    kill(&mut editor)?;
    // What a killed process leaves stays until its name is used again, or somebody sweeps.
    anyipc::Registry::global().sweep(true)?;
    println!("all that the compilers reported was shown");
    Ok(())
}
