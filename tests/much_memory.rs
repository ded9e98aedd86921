//! An owner reserves the memory of a channel by parts, while other things happen. As macOS there is
//! nothing to see: memory of `shm_open` is not reserved on Linux.
#![cfg(all(
    target_os = "linux",
    not(anyipc_as_macos),
    feature = "shared-memory",
    feature = "message-queue"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyipc::transport::{Attempt, DynEndpoint, Hello};
use anyipc::{Acceptor, Address, ErrorKind, Inbox, Registry};
use support::schemes::url;
use support::watchdog::watched;

const MIB: u64 = 1 << 20;
/// What one is looked at for is not another test's.
static ALONE: Mutex<()> = Mutex::new(());

/// For both transports, with a capacity of so many MiB for each direction.
fn each(tag: &str, mib: u64, test: impl Fn(&str) + Send + Copy + 'static) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for scheme in ["shm", "mq"] {
        let address = format!("{}?capacity={mib}MiB", url(scheme, tag));
        watched(&address.clone(), move || test(&address));
    }
}

/// Bytes of the nameless memory that this process holds open.
fn reserved() -> u64 {
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten().map(|entry| entry.path());
    let nameless = files.filter(|path| {
        fs::read_link(path)
            .is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:anyipc"))
    });
    nameless.filter_map(|path| fs::metadata(path).ok()).map(|memory| memory.blocks() * 512).sum()
}

/// A connector that has said its hello.
fn connector(url: &str) -> (Box<dyn DynEndpoint>, Attempt) {
    let address: Address = url.parse().unwrap();
    let (transport, options) = Registry::global().resolve(&address).unwrap();
    let endpoint = transport.open(address.name(), &options).unwrap();
    let hello = Hello { transport: address.scheme().into(), max_message: MIB, ..Hello::default() };
    let mut attempt = Attempt::new(hello);
    assert!(endpoint.try_connect(&mut attempt).unwrap_err().is_would_block());
    (endpoint, attempt)
}

fn finds_nobody(acceptor: &mut Acceptor<'_>) {
    let error = acceptor.try_accept().unwrap_err();
    assert!(error.is_would_block(), "{error}");
}

#[test]
fn what_a_connector_that_leaves_would_have_had_is_given_back() {
    each("leaves", 64, |url| {
        let owner = anyipc::create(url).unwrap();
        let mut acceptor = owner.acceptor().unwrap();
        let (_endpoint, attempt) = connector(url);
        while reserved() < 100 * MIB {
            finds_nobody(&mut acceptor);
        }
        drop(attempt);
        // An owner that waits for others does not sleep before that is done.
        for _ in 0..50 {
            if reserved() == 0 {
                break;
            }
            let error = acceptor.accept_timeout(Duration::from_millis(100)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        }
        assert_eq!(reserved(), 0);
        assert_eq!(owner.rejections().count, 1);
        assert!(owner.rejections().last.unwrap().contains("left"));

        // The next one gets in, also where the memory of one that left was half there.
        let (_endpoint, attempt) = connector(url);
        finds_nobody(&mut acceptor);
        drop(attempt);
        let url = url.to_owned();
        let next = thread::spawn(move || anyipc::connect(url).unwrap());
        let mut accepted = acceptor.accept().unwrap();
        next.join().unwrap().send(b"hello").unwrap();
        assert_eq!(accepted.recv().unwrap(), b"hello");
        assert_eq!(reserved(), 0);
    });
}

#[test]
fn a_connector_is_not_late_because_its_owner_is() {
    each("pauses", 2, |url| {
        let owner = anyipc::create(url).unwrap();
        let mut acceptor = owner.acceptor().unwrap();
        let (endpoint, mut attempt) = connector(url);
        finds_nobody(&mut acceptor);
        assert!(reserved() > 0, "it has begun");
        // More than a connector has for its part of the handshake.
        thread::sleep(Duration::from_millis(1200));
        while let Err(error) = endpoint.try_connect(&mut attempt) {
            assert!(error.is_would_block(), "{error}");
            finds_nobody(&mut acceptor);
        }
        acceptor.accept().unwrap();
        assert_eq!(owner.rejections().count, 0);
    });
}

/// They come at once, and each of them waits for no more than those before it.
#[test]
fn a_crowd_gets_in_one_by_one() {
    const CROWD: usize = 8;
    each("crowd", 4, |url| {
        let owner = anyipc::create(url).unwrap();
        let mut acceptor = owner.acceptor().unwrap();
        let mut crowd: Vec<_> = (0..CROWD).map(|_| connector(url)).collect();
        let (mut accepted, mut connected) = (Vec::new(), Vec::new());
        while accepted.len() < CROWD {
            match acceptor.try_accept() {
                Ok(channel) => accepted.push(channel),
                Err(error) => assert!(error.is_would_block(), "{error}"),
            }
            assert!(reserved() <= 12 * MIB, "memory of one channel at a time");
            crowd.retain_mut(|(endpoint, attempt)| match endpoint.try_connect(attempt) {
                Ok(channel) => {
                    connected.push(channel);
                    false
                }
                Err(error) => {
                    assert!(error.is_would_block(), "{error}");
                    true
                }
            });
        }
        assert!(crowd.is_empty());
    });
}

#[test]
fn an_inbox_goes_on_meanwhile() {
    each("inbox", 32, |url| {
        let mut inbox = Inbox::new(anyipc::create(url).unwrap()).unwrap();
        let url = url.to_owned();
        let peers = thread::spawn(move || {
            let mut first = anyipc::connect(&url).unwrap();
            first.send(b"first").unwrap();
            let mut second = anyipc::connect(&url).unwrap();
            second.send(b"second").unwrap();
            (first, second)
        });
        for expected in [&b"first"[..], b"second"] {
            assert_eq!(inbox.recv_timeout(Duration::from_secs(20)).unwrap().1, expected);
        }
        drop(peers.join().unwrap());
    });
}
