//! Real programs without this library on the other side: netcat, Python, Node, and one that uses
//! the interprocess crate. A program that this machine lacks is left out by name.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};

use anyipc_core::{ErrorKind, Flags};
use common::{End, Place, Program, create, meet, name, open_soon};
use interprocess::local_socket::{
    GenericFilePath, GenericNamespaced, ListenerOptions, Stream, prelude::*,
};

/// Answers each message with it and a `!`, until the peer leaves. Returns their number.
fn echo(end: &mut End) -> usize {
    for count in 0.. {
        match end.recv() {
            Ok(message) => send_long(end, &[&message[..], b"!"].concat()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                return count;
            }
        }
    }
    0
}

/// Sends messages of several lengths, and expects each with a `!`.
fn ask(end: &mut End) {
    for message in ["one", "", "zwei, ärger", &"long ".repeat(60_000)] {
        send_long(end, message.as_bytes());
        let answer = end.recv().unwrap();
        assert!(answer == format!("{message}!").as_bytes(), "{} bytes", answer.len());
    }
}

/// Sends a message of any length in fragments, as the facade does.
fn send_long(end: &mut End, message: &[u8]) {
    let max = end.sender.max_frame();
    end.sender.reserve(message.len());
    let mut rest = message;
    while rest.len() > max {
        let (piece, tail) = rest.split_at(max);
        common::wait_loop().send(&mut *end.sender, Flags::MORE, piece).unwrap();
        rest = tail;
    }
    end.send(rest).unwrap();
}

#[test]
fn netcat_says_a_line_and_hears_one() {
    let place = Place::new();
    let path = place.name("nc.sock");
    let owner = create(&path, &[]).unwrap();
    let Some(mut nc) = Program::start("nc", &["-NU", path.as_str()]) else { return };
    nc.feed(b"first\nsecond\n");
    let mut end = meet(&*owner).unwrap();
    assert_eq!(end.peer.uid, Some(anyipc_os::user()));
    assert_eq!(echo(&mut end), 2);
    drop(end);
    assert_eq!(nc.output(), "first!\nsecond!\n");
}

/// It accepts once: the first channel is the connection that `open` may have made.
#[test]
fn a_listening_netcat_is_reached() {
    let place = Place::new();
    let path = place.name("nc.sock");
    let Some(mut nc) = Program::start("nc", &["-lNU", path.as_str()]) else { return };
    let mut end = meet(&*open_soon(&path, &[])).unwrap();
    end.send(b"to netcat").unwrap();
    nc.feed(b"from netcat\n");
    assert_eq!(end.recv().unwrap(), b"from netcat");
    drop(end);
    assert_eq!(nc.output(), "to netcat\n");
}

/// Speaks each framing, as a client (asks) or a server (answers).
const PYTHON: &str = r#"
import socket, struct, sys
role, frames, path = sys.argv[1:4]
path = path if path.startswith("/") else "\0" + path
sock = socket.socket(socket.AF_UNIX)
if role == "server":
    sock.bind(path); sock.listen(1)
    sock, _ = sock.accept()
else:
    sock.connect(path)
wire = sock.makefile("rwb")
order = {"length32le": "<I", "length32be": ">I"}.get(frames)
def put(text):
    if order: wire.write(struct.pack(order, len(text)) + text)
    elif frames == "lines": wire.write(text + b"\n")
    else: wire.write(b"Content-Length: %d\r\n\r\n" % len(text) + text)
    wire.flush()
def get():
    if order:
        head = wire.read(4)
        return wire.read(struct.unpack(order, head)[0]) if head else None
    if frames == "lines":
        line = wire.readline()
        return line[:-1] if line else None
    length = None
    while True:
        line = wire.readline()
        if not line: return None
        if line == b"\r\n": return wire.read(length)
        name, value = line.split(b":")
        if name.lower() == b"content-length": length = int(value)
if role == "server":
    while (text := get()) is not None: put(text + b"!")
else:
    for text in ["one", "", "zwei, ärger", "long " * 60000]:
        put(text.encode())
        assert get() == text.encode() + b"!", text[:20]
print("done")
"#;

const FRAMES: [&str; 4] = ["lines", "length32le", "length32be", "content-length"];

#[test]
fn python_is_the_client_and_the_server_in_each_framing() {
    let place = Place::new();
    for frames in FRAMES {
        for target in [name(), place.name(frames)] {
            let args = |role| ["-c", PYTHON, role, frames, target.as_str()];
            let owner = create(&target, &[("frames", frames)]).unwrap();
            let Some(python) = Program::start("python3", &args("client")) else { return };
            let mut end = meet(&*owner).unwrap();
            assert_eq!(echo(&mut end), 4, "{frames}");
            assert_eq!(python.output(), "done\n", "{frames}");
            drop((end, owner));

            let Some(python) = Program::start("python3", &args("server")) else { return };
            let mut end = meet(&*open_soon(&target, &[("frames", frames)])).unwrap();
            ask(&mut end);
            drop(end);
            assert_eq!(python.output(), "done\n", "{frames}");
            let _ = std::fs::remove_file(target.as_str());
        }
    }
}

/// Answers or asks by lines.
const NODE: &str = r#"
const net = require("net"), [role, path] = process.argv.slice(1);
const lines = (socket, each) => {
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (text) => {
        const parts = (rest + text).split("\n");
        rest = parts.pop();
        parts.forEach(each);
    });
};
if (role === "server") {
    const server = net.createServer((socket) => {
        lines(socket, (line) => socket.write(line + "!\n"));
        socket.on("end", () => { server.close(); console.log("done"); });
    }).listen(path);
} else {
    const socket = net.connect(path), asked = ["one", "", "zwei, ärger"];
    let next = 0;
    lines(socket, (line) => {
        if (line !== asked[next] + "!") process.exit(1);
        if (++next === asked.length) { socket.end(); console.log("done"); }
    });
    asked.forEach((line) => socket.write(line + "\n"));
}
"#;

#[test]
fn node_is_the_client_and_the_server() {
    let place = Place::new();
    let path = place.name("node.sock");
    let owner = create(&path, &[]).unwrap();
    let client = Program::start("node", &["-e", NODE, "client", path.as_str()]);
    let Some(node) = client else { return };
    let mut end = meet(&*owner).unwrap();
    assert_eq!(echo(&mut end), 3);
    // It waits for the end of the other direction.
    drop((end, owner));
    assert_eq!(node.output(), "done\n");
    let Some(node) = Program::start("node", &["-e", NODE, "server", path.as_str()]) else { return };
    let mut end = meet(&*open_soon(&path, &[])).unwrap();
    ask(&mut end);
    drop(end);
    assert_eq!(node.output(), "done\n");
}

/// Plays the other program in a process of its own, which knows interprocess alone.
#[test]
fn interprocess_program() {
    let Ok(role) = std::env::var("PLAIN_ROLE") else { return };
    let target = std::env::var("PLAIN_TARGET").unwrap();
    let name = match target.starts_with('/') {
        true => target.clone().to_fs_name::<GenericFilePath>().unwrap(),
        false => target.clone().to_ns_name::<GenericNamespaced>().unwrap(),
    };
    if role == "server" {
        let listener = ListenerOptions::new().name(name).create_sync().unwrap();
        let mut stream = BufReader::new(listener.accept().unwrap());
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).unwrap() > 0 {
            line.insert(line.len() - 1, b'!');
            stream.get_mut().write_all(&line).unwrap();
            line.clear();
        }
        return;
    }
    let mut stream = Stream::connect(name).unwrap();
    stream.write_all(b"one\n\nzwei\n").unwrap();
    let mut answer = [0; 13];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"one!\n!\nzwei!\n");
}

#[test]
fn an_interprocess_program_is_the_client_and_the_server() {
    let place = Place::new();
    let play = |role: &str, target: &anyipc_core::Name| {
        let me = std::env::current_exe().unwrap();
        let args = ["--exact", "interprocess_program", "--nocapture"].map(String::from);
        let env = [format!("PLAIN_ROLE={role}"), format!("PLAIN_TARGET={target}")];
        let all = [&env[..], &[me.display().to_string()], &args[..]].concat();
        Program::start("env", &all).unwrap()
    };
    for target in [name(), place.name("interprocess.sock")] {
        let owner = create(&target, &[]).unwrap();
        let program = play("client", &target);
        let mut end = meet(&*owner).unwrap();
        assert_eq!(echo(&mut end), 3);
        program.output();
        drop((end, owner));
        let program = play("server", &target);
        let mut end = meet(&*open_soon(&target, &[])).unwrap();
        ask(&mut end);
        drop(end);
        program.output();
    }
}
