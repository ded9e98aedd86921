//! Someone between an opener and its owner over TCP, without the key: it passes bytes on, changes some, or
//! answers itself.
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

/// Bytes of nonces and proofs that each side says before its hello.
const PROVED: usize = 72;
/// Where in a hello the longest message stands.
const MAX_MESSAGE: usize = 10;

#[derive(Clone, Copy)]
struct Between {
    /// The bytes of the opener and of the owner, over the first connection, that are changed.
    change: [Option<usize>; 2],
    /// Connections after the first are answered here.
    takes_second: bool,
}

const PASSES: Between = Between { change: [None; 2], takes_second: false };

/// Copies what comes, with one byte changed.
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

/// Stands at a port; the opener's first connection that says something is its first.
fn stand(at: TcpListener, owner: SocketAddr, between: Between) {
    thread::spawn(move || {
        let mut begun = false;
        for stream in at.incoming() {
            let mut stream = stream.unwrap();
            // The first only asks whether someone listens.
            if stream.peek(&mut [0]).unwrap_or(0) == 0 {
                continue;
            }
            if std::mem::replace(&mut begun, true) && between.takes_second {
                thread::spawn(move || {
                    let mut ticket = [0; 40];
                    stream.read_exact(&mut ticket).unwrap();
                    // The best it can do.
                    let _ = stream.write_all(&ticket[8..]);
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

/// An owner, and an opener that takes another address of the same port for it.
fn scene(between: Between) -> (StreamEndpoint, StreamEndpoint) {
    let owner = Tcp.create(&any_port(), &options(&Tcp, &[])).unwrap();
    let address: SocketAddr = owner.local_name().unwrap().as_str().parse().unwrap();
    let name = Name::new(&format!("127.0.0.2:{}", address.port())).unwrap();
    stand(TcpListener::bind(name.as_str()).unwrap(), address, between);
    let opener = Tcp.open(&name, &options(&Tcp, &[])).unwrap();
    (owner, opener)
}

/// What the opener comes to while the owner accepts, and whether the owner let anybody in.
fn outcome(between: Between) -> (ErrorKind, bool) {
    let (owner, opener) = scene(between);
    thread::scope(|scope| {
        let opener = scope.spawn(|| failed(meet(&opener, hello("tcp"))).kind());
        let met = accept_for(&owner, "tcp", Duration::from_millis(500));
        (opener.join().unwrap(), met)
    })
}

/// A tunnel does the same; the tests below would prove nothing without this one.
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

/// As someone does that takes the port after the owner's death.
#[test]
fn a_second_connection_to_someone_else_is_refused() {
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
    stand(elsewhere, address, PASSES);
    let opener = Tcp.open(&name, &options(&Tcp, &[])).unwrap();
    thread::scope(|scope| {
        let opener = scope.spawn(|| failed(meet(&opener, hello("tcp"))).kind());
        assert!(!accept_for(&owner, "tcp", Duration::from_millis(500)));
        assert_eq!(opener.join().unwrap(), ErrorKind::PermissionDenied);
    });
}
