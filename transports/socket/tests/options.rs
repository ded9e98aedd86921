//! Options of an address: `capacity`, `trust`; and the text that a TCP owner sends.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::ffi::CStr;
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{Endpoint as _, ErrorKind, Flags, Name, Result, SendHalf, Transport};
use anyipc_socket::{Local, StreamEndpoint, StreamSender, Tcp};
use common::{Channel, accept_for, any_port, failed, hello, meet, name, options, recv, send};

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Both sides of a channel, the owner's first.
fn channel<T>(transport: &T, name: &Name, pairs: Pairs<'_>) -> (Channel, Channel)
where
    T: Transport<Endpoint = StreamEndpoint>,
{
    let scheme = transport.schemes()[0];
    let owner = transport.create(name, &options(transport, pairs)).unwrap();
    let opener = transport
        .open(&owner.local_name().unwrap_or(name.clone()), &options(transport, &[]))
        .unwrap();
    thread::scope(|scope| {
        let there = scope.spawn(|| meet(&opener, hello(scheme)).unwrap());
        (meet(&owner, hello(scheme)).unwrap(), there.join().unwrap())
    })
}

/// How many bytes go in until there is no room.
fn room(sender: &mut StreamSender) -> usize {
    let mut frames = 0;
    while sender.try_send(Flags::NONE, &[7; 1000]).is_ok() {
        frames += 1;
    }
    frames * 1000
}

#[test]
fn capacity_bounds_what_is_in_flight_both_ways() {
    let small = [("capacity", "8KiB"), ("trust", "same-user")];
    let ((mut ours, mut our_end, _), (mut theirs, mut their_end, _)) =
        channel(&Local, &name("small"), &small);
    for (sender, receiver) in [(&mut ours, &mut their_end), (&mut theirs, &mut our_end)] {
        let in_flight = room(sender);
        assert!((2000..24_000).contains(&in_flight), "{in_flight}");
        (0..in_flight / 1000).for_each(|_| assert_eq!(recv(receiver).unwrap(), [7; 1000]));
        // Longer messages than the capacity pass, too.
        for len in [8 << 10, sender.max_frame()] {
            send(sender, &vec![1; len]).unwrap();
            assert!(recv(receiver).unwrap() == vec![1; len]);
        }
    }
    let ((mut ours, ..), _there) = channel(&Local, &name("usual"), &[]);
    assert!(room(&mut ours) > 24_000);
    // TCP's receiving end needs two segments, which are large on the loopback.
    let most = |pairs: Pairs<'_>| {
        let ((mut ours, ..), _there) = channel(&Tcp, &any_port(), pairs);
        room(&mut ours)
    };
    let (small, usual) = (most(&small), most(&[]));
    assert!(small < 400_000 && small < usual, "{small} of {usual}");
}

#[test]
fn no_capacity_at_all_is_refused() {
    let none = [("capacity", "0")];
    assert_eq!(
        failed(Local.create(&name("zero"), &options(&Local, &none))).kind(),
        ErrorKind::InvalidOption
    );
    assert_eq!(
        failed(Tcp.create(&any_port(), &options(&Tcp, &none))).kind(),
        ErrorKind::InvalidOption
    );
}

fn text_of(endpoint: &StreamEndpoint) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    endpoint.read_lpsz(&mut |text: &CStr| got = text.to_bytes().to_vec())?;
    Ok(got)
}

#[test]
fn a_tcp_text_is_sent_while_its_owner_accepts() {
    let text = b"read me".repeat(1 << 20);
    let owner = Tcp.alloc_lpsz(&any_port(), &text, &options(&Tcp, &[])).unwrap();
    let name = owner.local_name().unwrap();
    let open = |timeout| Tcp.open(&name, &options(&Tcp, &[("timeout", timeout)])).unwrap();
    let begun = Instant::now();
    let error = failed(text_of(&open("100ms")));
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!((100..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert!(text_of(&owner).unwrap() == text, "the owner reads it alone");
    thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| assert!(text_of(&open("10s")).unwrap() == text)))
            .collect();
        while !readers.iter().all(|reader| reader.is_finished()) {
            assert!(!accept_for(&owner, "tcp", Duration::from_millis(10)));
        }
    });
    // At most the one that gave up is counted.
    assert!(owner.rejections().count <= 1, "{:?}", owner.rejections());
    drop(owner);
    assert_eq!(failed(Tcp.open(&name, &options(&Tcp, &[]))).kind(), ErrorKind::NotFound);
}

#[test]
fn an_owner_that_leaves_leaves_no_reader_waiting() {
    let owner = Tcp.alloc_lpsz(&any_port(), b"short", &options(&Tcp, &[])).unwrap();
    let opener = Tcp.open(&owner.local_name().unwrap(), &options(&Tcp, &[])).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| failed(text_of(&opener)));
        thread::sleep(Duration::from_millis(50));
        let begun = Instant::now();
        drop(owner);
        assert_eq!(reader.join().unwrap().kind(), ErrorKind::NotFound);
        assert!(begun.elapsed() < Duration::from_secs(1));
    });
    assert_eq!(failed(text_of(&opener)).kind(), ErrorKind::NotFound);
}

#[test]
fn a_text_is_sent_to_no_other_peer() {
    let path = std::env::temp_dir().join(format!("anyipc-text-{}", std::process::id()));
    let mut file = std::fs::File::create_new(&path).unwrap();
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::io::Write::write_all(&mut file, &[9; 32]).unwrap();
    let owner = Tcp.alloc_lpsz(&any_port(), b"secret", &options(&Tcp, &[])).unwrap();
    let other = options(&Tcp, &[("key_file", path.to_str().unwrap())]);
    let opener = Tcp.open(&owner.local_name().unwrap(), &other).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| failed(text_of(&opener)));
        while !reader.is_finished() {
            accept_for(&owner, "tcp", Duration::from_millis(10));
        }
        assert_eq!(reader.join().unwrap().kind(), ErrorKind::PermissionDenied);
    });
    assert_eq!(owner.rejections().count, 1);
    std::fs::remove_file(path).unwrap();
}
