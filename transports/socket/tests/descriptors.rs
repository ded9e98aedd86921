//! An owner that has hardly any descriptors left goes on, and does not busy-loop. The test is alone
//! in its process, since it uses up the descriptors of that process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Attempt, Endpoint as _, Transport, Waiter};
use anyipc_os::sleep;
use anyipc_socket::{Local, StreamEndpoint, Tcp};
use common::{accept_for, any_port, hello, meet, name, options, recv, send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors of this process may be open.
const LIMIT: u64 = 64;

/// Keeps a connection open.
type Open = Box<dyn std::any::Any>;

fn a_crowd_takes_all_descriptors(
    owner: &StreamEndpoint,
    opener: &StreamEndpoint,
    scheme: &str,
    connect: &dyn Fn() -> Open,
) {
    let usual = getrlimit(Resource::Nofile);
    // The crowd's ends belong to this process, too. They come first and leave too few for the
    // owner's.
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), ..usual }).unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let mut crowd: Vec<_> = (open..LIMIT - 8).map(|_| connect()).collect();
    let mut attempt = Attempt::new(hello(scheme));
    assert!(owner.try_connect(&mut attempt).unwrap_err().is_would_block());
    // Others wait in the queue. The owner looks at it now and then, not all the time.
    let waits = Instant::now() + Duration::from_millis(200);
    let mut looks = 0;
    while Instant::now() < waits {
        assert!(owner.try_connect(&mut attempt).unwrap_err().is_would_block());
        looks += 1;
        if let Armed::Source(interest) = owner.arm(&mut attempt, Waiter::Thread).unwrap() {
            sleep(&owner.source(&attempt).unwrap(), interest, Duration::from_millis(50));
        }
    }
    assert!(looks < 100, "it looked {looks} times");
    assert!(!accept_for(owner, scheme, Duration::from_millis(50)));
    // The crowd leaves: connectors that waited are accepted.
    crowd.clear();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut sender, mut receiver, _) = meet(opener, hello(scheme)).unwrap();
            send(&mut sender, b"ping").unwrap();
            assert_eq!(recv(&mut receiver).unwrap(), b"pong");
        });
        let (mut sender, mut receiver, _) = meet(owner, hello(scheme)).unwrap();
        assert_eq!(recv(&mut receiver).unwrap(), b"ping");
        send(&mut sender, b"pong").unwrap();
    });
    setrlimit(Resource::Nofile, usual).unwrap();
}

#[test]
fn an_owner_without_descriptors_goes_on() {
    let name = name("descriptors");
    let owner = Local.create(&name, &options(&Local, &[])).unwrap();
    let opener = Local.open(&name, &options(&Local, &[])).unwrap();
    let path = Local.inspect(&name, &options(&Local, &[])).unwrap().remove(0).path;
    a_crowd_takes_all_descriptors(&owner, &opener, "local", &|| {
        Box::new(UnixStream::connect(&path).unwrap())
    });

    let owner = Tcp.create(&any_port(), &options(&Tcp, &[])).unwrap();
    let name = owner.local_name().unwrap();
    let opener = Tcp.open(&name, &options(&Tcp, &[])).unwrap();
    a_crowd_takes_all_descriptors(&owner, &opener, "tcp", &|| {
        Box::new(TcpStream::connect(name.as_str()).unwrap())
    });
}
