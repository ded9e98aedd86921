//! Hostile connectors: garbage, silence, slowness, crowds, wrong secrets, other protocols.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{Attempt, Endpoint as _, ErrorKind, Name, Transport};
use anyipc_socket::{Local, StreamEndpoint, Tcp};
use common::{accept_for, any_port, failed, hello, meet, name, options, recv, send};

/// A raw connection to an owner.
trait Wire: Read + Write + Send {
    fn limit_reads(&self, time: Duration);
    fn end_writing(&self);
}

impl Wire for UnixStream {
    fn limit_reads(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
    }
    fn end_writing(&self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

impl Wire for TcpStream {
    fn limit_reads(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
    }
    fn end_writing(&self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

/// An owner, and how raw and honest connectors reach it.
struct Target {
    owner: StreamEndpoint,
    scheme: &'static str,
    connect: Box<dyn Fn() -> Box<dyn Wire> + Sync>,
    open: Box<dyn Fn() -> StreamEndpoint + Sync>,
}

fn local_target(tag: &str) -> Target {
    let name = name(tag);
    let owner = Local.create(&name, &options(&Local, &[])).unwrap();
    let path = PathBuf::from(Local.inspect(&name, &options(&Local, &[])).unwrap().remove(0).path);
    Target {
        owner,
        scheme: "local",
        connect: Box::new(move || Box::new(UnixStream::connect(&path).unwrap())),
        open: Box::new(move || Local.open(&name, &options(&Local, &[])).unwrap()),
    }
}

fn tcp_target() -> Target {
    let owner = Tcp.create(&any_port(), &options(&Tcp, &[])).unwrap();
    let name = owner.local_name().unwrap();
    let address: SocketAddr = name.as_str().parse().unwrap();
    assert_ne!(address.port(), 0, "the owner tells its real port");
    Target {
        owner,
        scheme: "tcp",
        connect: Box::new(move || Box::new(TcpStream::connect(address).unwrap())),
        open: Box::new(move || Tcp.open(&name, &options(&Tcp, &[])).unwrap()),
    }
}

fn both(tag: &str, scene: fn(&Target)) {
    scene(&local_target(tag));
    scene(&tcp_target());
}

/// One message each way between the owner and an honest peer that connects while the owner accepts.
fn honest_peers_meet(target: &Target) {
    assert_eq!(channels_until_an_honest_peer(target), 1);
}

/// The same, where connectors that gave up may have become channels. Returns how many the owner
/// accepted.
fn channels_until_an_honest_peer(target: &Target) -> u32 {
    thread::scope(|scope| {
        scope.spawn(|| {
            let endpoint = (target.open)();
            let (mut sender, mut receiver, _) = meet(&endpoint, hello(target.scheme)).unwrap();
            send(&mut sender, b"ping").unwrap();
            assert_eq!(recv(&mut receiver).unwrap(), b"pong");
        });
        for accepted in 1.. {
            let (mut sender, mut receiver, _) = meet(&target.owner, hello(target.scheme)).unwrap();
            match recv(&mut receiver) {
                Ok(message) => {
                    assert_eq!(message, b"ping");
                    send(&mut sender, b"pong").unwrap();
                    return accepted;
                }
                Err(error) => {
                    let ended = matches!(error.kind(), ErrorKind::Closed | ErrorKind::PeerGone);
                    assert!(ended, "{error}");
                }
            }
        }
        unreachable!("the honest peer connects")
    })
}

#[test]
fn garbage_is_turned_away_and_counted() {
    both("garbage", |target| {
        let garbage: [&[u8]; 7] = [
            b"GET / HTTP/1.1\r\n\r\n",
            &[0; 4096],
            &[0xff; 100],
            b"AIPC\x03\x00\xff\xff and so on",
            b"AIPC\r\n\r\nthe beginning of before version 5, and then nothing that proves \
                anything at all.............",
            b"AIPC\r\n\x06\0the right beginning, and then nothing that proves anything at \
                all.............",
            b"AIPC\x03\x00\x00\x00",
        ];
        for (i, bytes) in garbage.into_iter().enumerate() {
            let mut hostile = (target.connect)();
            hostile.write_all(bytes).unwrap();
            hostile.end_writing();
            honest_peers_meet(target);
            let rejections = target.owner.rejections();
            assert_eq!(rejections.count, i as u64 + 1, "{:?}", rejections.last);
        }
    });
}

#[test]
fn a_slow_connector_is_dropped_within_a_second_and_delays_no_other() {
    const HOSTILES: usize = 100;
    both("slow", |target| {
        let lead: &[u8] = if target.scheme == "local" { b"A" } else { b"AIPC\r\n\x06\x0012345" };
        let mut hostiles: Vec<_> = (0..HOSTILES).map(|_| (target.connect)()).collect();
        hostiles.iter_mut().step_by(2).for_each(|hostile| hostile.write_all(lead).unwrap());
        let begun = Instant::now();
        honest_peers_meet(target);
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "honest peers connected after {:?}",
            begun.elapsed()
        );
        assert!(!accept_for(&target.owner, target.scheme, Duration::from_millis(1300)));
        let rejections = target.owner.rejections();
        assert_eq!(rejections.count, HOSTILES as u64, "{:?}", rejections.last);
        assert!(rejections.last.unwrap().contains("1 s"));
        for hostile in &mut hostiles {
            // The owner hung up: at most a rejection, then the end.
            hostile.limit_reads(Duration::from_secs(5));
            let mut said = Vec::new();
            let _ = hostile.read_to_end(&mut said);
            assert!(said.len() < 2048);
        }
        honest_peers_meet(target);
    });
}

/// Each byte comes soon, but the hello as a whole never does.
#[test]
fn a_connector_that_trickles_is_dropped_within_a_second() {
    both("trickle", |target| {
        let mut bytes = hello(target.scheme).encode().unwrap();
        if target.scheme == "tcp" {
            bytes = b"AIPC\r\n\x06\x0012345678901234567890123456789012".to_vec();
        }
        let mut hostile = (target.connect)();
        thread::scope(|scope| {
            let dropped = scope.spawn(move || {
                let begun = Instant::now();
                for byte in bytes {
                    if hostile.write_all(&[byte]).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(100));
                }
                begun.elapsed()
            });
            assert!(!accept_for(&target.owner, target.scheme, Duration::from_millis(1500)));
            assert_eq!(target.owner.rejections().count, 1);
            assert!(dropped.join().unwrap() < Duration::from_millis(1600));
        });
        honest_peers_meet(target);
    });
}

#[test]
fn leaving_after_the_hello_is_no_error() {
    both("leave", |target| {
        for _ in 0..20 {
            let opener = (target.open)();
            let mut attempt = Attempt::new(hello(target.scheme));
            assert!(failed(opener.try_connect(&mut attempt)).is_would_block());
            drop(attempt);
        }
        honest_peers_meet(target);
    });
}

#[test]
fn connecting_and_leaving_is_no_offence() {
    both("probe", |target| {
        for _ in 0..300 {
            drop((target.connect)());
        }
        honest_peers_meet(target);
        assert_eq!(target.owner.rejections().count, 0);
    });
}

/// Connectors give up at every step of a handshake. Over TCP one that leaves with a join token
/// frees its place at once, of which an owner has 256.
#[test]
fn connectors_that_give_up_keep_no_other_out() {
    both("give-up", |target| {
        let endpoint = (target.open)();
        let mut accepted = 0;
        for connector in 0..2400 {
            let mut attempt = Attempt::new(hello(target.scheme));
            for _ in 0..connector % 6 {
                let tried = endpoint.try_connect(&mut attempt);
                if tried.is_ok() {
                    break;
                }
                accepted += usize::from(
                    target.owner.try_connect(&mut Attempt::new(hello(target.scheme))).is_ok(),
                );
            }
        }
        let begun = Instant::now();
        channels_until_an_honest_peer(target);
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{} {:?}",
            target.scheme,
            begun.elapsed()
        );
        println!("{}: {accepted} of 2400 were accepted", target.scheme);
    });
}

#[test]
fn fifty_clients_at_once() {
    const CLIENTS: usize = 50;
    const MESSAGES: u64 = 200;
    both("fifty", |target| {
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                scope.spawn(move || {
                    let endpoint = (target.open)();
                    let (mut sender, mut receiver, _) =
                        meet(&endpoint, hello(target.scheme)).unwrap();
                    for i in 0..MESSAGES {
                        let text = format!("{client}/{i}");
                        send(&mut sender, text.as_bytes()).unwrap();
                        assert_eq!(recv(&mut receiver).unwrap(), text.as_bytes());
                    }
                });
            }
            for _ in 0..CLIENTS {
                let (mut sender, mut receiver, _) =
                    meet(&target.owner, hello(target.scheme)).unwrap();
                scope.spawn(move || {
                    let mut count = 0;
                    let end = loop {
                        match recv(&mut receiver) {
                            Ok(text) => send(&mut sender, &text).unwrap(),
                            Err(error) => break error,
                        }
                        count += 1;
                    };
                    assert_eq!((count, end.kind()), (MESSAGES, ErrorKind::Closed));
                });
            }
        });
        assert_eq!(target.owner.rejections().count, 0, "{:?}", target.owner.rejections().last);
    });
}

fn key_file(tag: &str, bytes: &[u8]) -> PathBuf {
    use std::os::unix::fs::OpenOptionsExt;
    let path = std::env::temp_dir().join(format!("anyipc-{tag}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut file =
        std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).unwrap();
    file.write_all(bytes).unwrap();
    path
}

#[test]
fn a_wrong_secret_is_permission_denied_on_both_sides() {
    let (ours, theirs) = (key_file("ours", &[1; 32]), key_file("theirs", &[2; 32]));
    let with = |path: &PathBuf| options(&Tcp, &[("key_file", path.to_str().unwrap())]);
    let owner = Tcp.create(&any_port(), &with(&ours)).unwrap();
    let name = owner.local_name().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for other in [with(&theirs), options(&Tcp, &[])] {
                let begun = Instant::now();
                let error = failed(meet(&Tcp.open(&name, &other).unwrap(), hello("tcp")));
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
                assert!(error.to_string().contains("key_file"), "{error}");
                assert!(begun.elapsed() < Duration::from_secs(1));
            }
            let (mut sender, ..) =
                meet(&Tcp.open(&name, &with(&ours)).unwrap(), hello("tcp")).unwrap();
            send(&mut sender, b"it is me").unwrap();
        });
        let (_, mut receiver, peer) = meet(&owner, hello("tcp")).unwrap();
        assert_eq!(recv(&mut receiver).unwrap(), b"it is me");
        assert_eq!((peer.pid, peer.uid), (None, None));
        assert_eq!(owner.rejections().count, 2);
    });
    // Nor does an owner without the secret get a channel.
    let impostor = Tcp.create(&any_port(), &with(&theirs)).unwrap();
    let name = impostor.local_name().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let error = failed(meet(&Tcp.open(&name, &with(&ours)).unwrap(), hello("tcp")));
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        });
        assert!(!accept_for(&impostor, "tcp", Duration::from_millis(500)));
    });
    for path in [ours, theirs] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let path = key_file("open", &[3; 32]);
    let create =
        || Tcp.create(&any_port(), &options(&Tcp, &[("key_file", path.to_str().unwrap())]));
    create().unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(failed(create()).kind(), ErrorKind::PermissionDenied);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, b"short").unwrap();
    assert_eq!(failed(create()).kind(), ErrorKind::InvalidOption);
    std::fs::remove_file(&path).unwrap();
    let error = failed(create());
    assert!(error.to_string().contains("make one"), "{error}");
}

/// A server of another protocol answers with something else than a welcome.
#[test]
fn another_servers_answer_is_corrupt_within_a_second() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-x\r\n", &[0; 100]] {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = Name::new(&server.local_addr().unwrap().to_string()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                // The first connection only finds out whether an owner listens.
                drop(server.accept().unwrap());
                let (mut stream, _) = server.accept().unwrap();
                let mut asked = [0; 8];
                stream.read_exact(&mut asked).unwrap();
                stream.write_all(answer).unwrap();
                let _ = stream.read(&mut [0; 1024]);
            });
            let begun = Instant::now();
            let endpoint = Tcp.open(&name, &options(&Tcp, &[])).unwrap();
            let error = failed(meet(&endpoint, hello("tcp")));
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(1));
        });
    }
}

#[test]
fn an_owner_that_trickles_is_timed_out() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = Name::new(&server.local_addr().unwrap().to_string()).unwrap();
    let endpoint = Tcp.open(&name, &options(&Tcp, &[])).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            drop(server.accept().unwrap());
            let (mut stream, _) = server.accept().unwrap();
            for byte in b"AIPC\r\n\x06\x0012345678901234567890123456789012" {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        let begun = Instant::now();
        let error = failed(meet(&endpoint, hello("tcp")));
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!((900..2000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    });
}

#[test]
fn an_owner_that_stops_in_the_middle_is_timed_out() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = Name::new(&server.local_addr().unwrap().to_string()).unwrap();
    let endpoint = Tcp.open(&name, &options(&Tcp, &[])).unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            drop(server.accept().unwrap());
            let (mut stream, _) = server.accept().unwrap();
            stream.write_all(b"AIPC\r\n").unwrap();
            stream
        });
        let begun = Instant::now();
        let error = failed(meet(&endpoint, hello("tcp")));
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!((900..2000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        drop(server.join());
    });
}

#[test]
fn a_remote_address_needs_allow_remote() {
    for outside in ["0.0.0.0:0", "[::]:0"] {
        let name = Name::new(outside).unwrap();
        let error = failed(Tcp.create(&name, &options(&Tcp, &[])));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("allow_remote=true"), "{error}");
    }
    let name = Name::new("0.0.0.0:0").unwrap();
    let owner = Tcp.create(&name, &options(&Tcp, &[("allow_remote", "true")])).unwrap();
    assert_eq!(
        failed(
            Tcp.create(&owner.local_name().unwrap(), &options(&Tcp, &[("allow_remote", "true")]))
        )
        .kind(),
        ErrorKind::Exists
    );
}

#[test]
fn over_ipv6() {
    let Ok(owner) = Tcp.create(&Name::new("[::1]:0").unwrap(), &options(&Tcp, &[])) else {
        println!("this machine has no IPv6 loopback");
        return;
    };
    let name = owner.local_name().unwrap();
    let open = Box::new(move || Tcp.open(&name, &options(&Tcp, &[])).unwrap());
    honest_peers_meet(&Target {
        owner,
        scheme: "tcp",
        connect: Box::new(|| panic!("no raw connection is made")),
        open,
    });
}

/// A TCP connection that takes a while to close: nothing receives what it sent, and `SO_LINGER`
/// waits for that.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sends = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (receives, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&sends, Some(Duration::from_secs(5))).unwrap();
    sends.set_nonblocking(true).unwrap();
    while (&sends).write(&[7; 1 << 16]).is_ok() {}
    (sends, receives)
}

#[test]
fn descriptors_of_a_connector_hold_no_call_up() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    let name = name("rights");
    let owner = Local.create(&name, &options(&Local, &[])).unwrap();
    let path = Local.inspect(&name, &options(&Local, &[])).unwrap().remove(0).path;
    for bytes in [&b"AIPC"[..], &hello("local").encode().unwrap()] {
        let connector = UnixStream::connect(&path).unwrap();
        let (lingers, _receives) = lingering();
        let fds = [std::os::fd::AsFd::as_fd(&lingers)];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        assert!(rights.push(SendAncillaryMessage::ScmRights(&fds)));
        let pieces = [std::io::IoSlice::new(bytes)];
        match sendmsg(&connector, &pieces, &mut rights, SendFlags::empty()) {
            Err(rustix::io::Errno::PERM) => {}
            Ok(_) => {
                println!(
                    "NOT TESTED: this kernel cannot refuse descriptors (Linux 6.16 and later can)"
                );
                drop((lingers, _receives));
                return;
            }
            Err(error) => panic!("{error}"),
        }
        drop(lingers);
        let begun = Instant::now();
        assert!(owner.try_connect(&mut Attempt::new(hello("local"))).is_err());
        assert!(begun.elapsed() < Duration::from_secs(2), "held up for {:?}", begun.elapsed());
    }
}
