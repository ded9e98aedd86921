//! A relay between an opener and its owner over TCP, without the key: it passes bytes on, changes
//! some, or answers itself.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyipc_core::{Endpoint as _, ErrorKind, Name, Transport};
use anyipc_socket::{StreamEndpoint, Tcp};
use common::{accept_for, any_port, failed, hello, meet, options, recv, send};

/// The bytes of nonces and proofs that each side sends before its hello.
const PROVED: usize = 72;
/// The index of `max_message` in a hello.
const MAX_MESSAGE: usize = 10;

#[derive(Clone, Copy)]
struct Between {
    /// The indices of the bytes that are changed on the first connection: of the opener's, of the
    /// owner's.
    change: [Option<usize>; 2],
    /// True if the relay itself answers connections after the first one.
    takes_second: bool,
}

const PASSES: Between = Between { change: [None; 2], takes_second: false };

/// Copies bytes, one of them changed.
fn copy(mut from: TcpStream, mut to: TcpStream, change: Option<usize>) {
    let (mut at, mut bytes) = (0, [0; 4096]);
    while let Ok(got @ 1..) = from.read(&mut bytes) {
        if let Some(byte) =
            change.and_then(|change| change.checked_sub(at)).filter(|&byte| byte < got)
        {
            bytes[byte] ^= 1;
        }
        at += got;
        if to.write_all(&bytes[..got]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Listens at a port. The first connection over which the opener sends something counts as its
/// first one.
fn relay(at: TcpListener, owner: SocketAddr, between: Between) {
    thread::spawn(move || {
        let mut begun = false;
        for stream in at.incoming() {
            let mut stream = stream.unwrap();
            // This connection only finds out whether an owner listens.
            if stream.peek(&mut [0]).unwrap_or(0) == 0 {
                continue;
            }
            if std::mem::replace(&mut begun, true) && between.takes_second {
                thread::spawn(move || {
                    let mut token = [0; 40];
                    stream.read_exact(&mut token).unwrap();
                    // The best that a relay without the key can do.
                    let _ = stream.write_all(&token[8..]);
                    let _ = stream.read(&mut [0]);
                });
                continue;
            }
            let there = TcpStream::connect(owner).unwrap();
            let (back, forth) = (stream.try_clone().unwrap(), there.try_clone().unwrap());
            let [ours, theirs] = between.change;
            thread::spawn(move || copy(stream, there, ours));
            thread::spawn(move || copy(forth, back, theirs));
        }
    });
}

/// An owner, and an opener that connects to another address with the same port.
fn scene(between: Between) -> (StreamEndpoint, StreamEndpoint) {
    let owner = Tcp.create(&any_port(), &options(&Tcp, &[])).unwrap();
    let address: SocketAddr = owner.local_name().unwrap().as_str().parse().unwrap();
    let name = Name::new(&format!("127.0.0.2:{}", address.port())).unwrap();
    relay(TcpListener::bind(name.as_str()).unwrap(), address, between);
    let opener = Tcp.open(&name, &options(&Tcp, &[])).unwrap();
    (owner, opener)
}

/// The opener's error while the owner accepts, and whether the owner accepted a connector.
fn outcome(between: Between) -> (ErrorKind, bool) {
    let (owner, opener) = scene(between);
    thread::scope(|scope| {
        let opener = scope.spawn(|| failed(meet(&opener, hello("tcp"))).kind());
        let met = accept_for(&owner, "tcp", Duration::from_millis(500));
        (opener.join().unwrap(), met)
    })
}

/// A tunnel does the same. Without this test the tests below would prove nothing.
#[test]
fn bytes_that_are_passed_on_unchanged_make_a_channel() {
    let (owner, opener) = scene(PASSES);
    thread::scope(|scope| {
        scope.spawn(|| send(&mut meet(&opener, hello("tcp")).unwrap().0, b"through").unwrap());
        let (_, mut receiver, _) = meet(&owner, hello("tcp")).unwrap();
        assert_eq!(recv(&mut receiver).unwrap(), b"through");
    });
}

#[test]
fn a_changed_hello_is_refused() {
    let change = [Some(PROVED + MAX_MESSAGE), None];
    assert_eq!(outcome(Between { change, ..PASSES }), (ErrorKind::PermissionDenied, false));
}

#[test]
fn a_changed_welcome_is_refused() {
    let change = [None, Some(PROVED + MAX_MESSAGE)];
    assert_eq!(outcome(Between { change, ..PASSES }), (ErrorKind::PermissionDenied, false));
}

/// As by a process that takes the port after the owner's death.
#[test]
fn a_second_connection_to_another_process_is_refused() {
    assert_eq!(
        outcome(Between { takes_second: true, ..PASSES }),
        (ErrorKind::PermissionDenied, false)
    );
}

#[test]
fn proofs_of_another_port_are_worth_nothing() {
    let owner = Tcp.create(&any_port(), &options(&Tcp, &[])).unwrap();
    let address: SocketAddr = owner.local_name().unwrap().as_str().parse().unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = Name::new(&elsewhere.local_addr().unwrap().to_string()).unwrap();
    relay(elsewhere, address, PASSES);
    let opener = Tcp.open(&name, &options(&Tcp, &[])).unwrap();
    thread::scope(|scope| {
        let opener = scope.spawn(|| failed(meet(&opener, hello("tcp"))).kind());
        assert!(!accept_for(&owner, "tcp", Duration::from_millis(500)));
        assert_eq!(opener.join().unwrap(), ErrorKind::PermissionDenied);
    });
}
