//! cargo run --features json --example plain_editor
//!
//! Compilers that use this library send their messages to an editor that does not: it is 25 lines
//! of Python (`editor.py` beside this file), which reads lines of JSON from a local socket. Between
//! two programs with this library take another address: see docs/plain.md for what this one lacks.

use std::process::{Command, Stdio};
use std::{env, io, process, thread};

use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct Diagnostic {
    file: String,
    line: u32,
    text: String,
}

/// The editor's answer.
#[derive(Deserialize)]
struct Receipt {
    shown: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = env::temp_dir().join(format!("anyipc-editor-{}.sock", process::id()));
    let address = format!("plain://{}", path.display());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/editor.py");
    // Two compilers with two messages each.
    let editor =
        Command::new("python3").arg(script).arg(&path).arg("4").stdin(Stdio::null()).spawn();
    let mut editor = match editor {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("left out: there is no python3 on this machine");
            return Ok(());
        }
        started => started?,
    };
    let compilers: Vec<_> = ["main.c", "lexer.c"]
        .into_iter()
        .map(|file| {
            let address = address.clone();
            thread::spawn(move || compile(&address, file))
        })
        .collect();
    for compiler in compilers {
        compiler.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    assert!(editor.wait()?.success());
    Ok(())
}

fn compile(address: &str, file: &str) -> anyipc::Result<()> {
    // Waits until the editor listens. Values are JSON here, and each is a line.
    let mut editor = anyipc::connect(address)?.typed::<Diagnostic, Receipt>()?;
    for (line, text) in [(3, "missing ;"), (14, "unused variable `ä`")] {
        editor.send(&Diagnostic { file: file.into(), line, text: text.into() })?;
        assert!(editor.recv()?.shown);
    }
    Ok(())
}
