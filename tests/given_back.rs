//! Memory that one large message took is given back after some short ones, and descriptors at the
//! end of a channel.
#![cfg(all(feature = "in-process", feature = "postcard"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyipc::{ErrorKind, Inbox};
use support::schemes::each;

/// Bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PEERS: usize = 8;
const LARGE: usize = 4 << 20;

#[test]
fn after_some_short_messages() {
    each("given-back", |url| {
        let owner = anyipc::create(url).unwrap();
        let address = owner.address().clone();
        let mut inbox = Inbox::new(owner).unwrap();
        let peers = thread::spawn(move || {
            let mut peers: Vec<_> =
                (0..PEERS).map(|_| anyipc::connect(&address).unwrap()).collect();
            peers.iter_mut().for_each(|peer| peer.send(&vec![1; LARGE]).unwrap());
            // Written in place, or in memory of the sender's.
            peers
                .iter_mut()
                .for_each(|peer| peer.send_with(LARGE, |message| Some(message.len())).unwrap());
            for _ in 0..10 {
                peers.iter_mut().for_each(|peer| peer.send(b"short").unwrap());
            }
            // What values are encoded into, likewise.
            let mut peers: Vec<_> =
                peers.into_iter().map(|peer| peer.typed::<String, u8>().unwrap()).collect();
            peers.iter_mut().for_each(|peer| peer.send(&"x".repeat(LARGE)).unwrap());
            for _ in 0..10 {
                peers.iter_mut().for_each(|peer| peer.send(&"short".into()).unwrap());
            }
            peers
        });
        let long = Duration::from_secs(20);
        for _ in 0..23 * PEERS {
            inbox.recv_timeout(long).unwrap();
        }
        let _peers = peers.join().unwrap();
        assert_eq!(
            inbox.recv_timeout(Duration::from_millis(150)).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        // What the transports keep for a direction each is a fraction of it.
        let live = LIVE.load(Relaxed);
        assert!(live < LARGE * PEERS / 2, "{url}: {live} bytes");
    });
}

/// The process does not keep what belongs to peers that came and went.
#[cfg(unix)]
#[test]
fn peers_that_come_and_go_leave_no_descriptor() {
    let open = || std::fs::read_dir("/dev/fd").unwrap().count();
    each("leave", move |url| {
        let owner = anyipc::create(url).unwrap();
        let address = owner.address().clone();
        let mut inbox = Inbox::new(owner).unwrap();
        let clients = thread::spawn(move || {
            for _ in 0..100 {
                anyipc::connect(&address).unwrap().send(b"hello").unwrap();
            }
        });
        let (mut ended, mut most) = (0, 0);
        while ended < 100 {
            if let anyipc::Event::Disconnected(..) =
                inbox.next_event_timeout(Duration::from_secs(20)).unwrap()
            {
                ended += 1;
            }
            most = most.max(open());
        }
        clients.join().unwrap();
        // A crowd of them may not have been looked at yet; other tests run beside this one.
        assert!(most < 200, "{most} descriptors");
    });
}
