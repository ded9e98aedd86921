//! Channels against a peer that breaks the rules. The rings' memory is written directly, as a
//! hostile process would.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, ErrorKind, Flags, RecvHalf, Role, SendHalf, Wait, Waiter};
use anyipc_memory::Map;
use anyipc_memory::handover::Half;
use anyipc_ring::Storage;
use proptest::prelude::*;

use super::layout::SPARE;
use super::shared_ring::SharedRing;
use super::*;

type Halves = (Sender, Receiver);

fn pair(capacity: usize, in_place: bool) -> (Layout, Halves, Option<Halves>) {
    resizing_pair(capacity, in_place, capacity, false)
}

fn resizing_pair(
    capacity: usize,
    in_place: bool,
    limit: usize,
    spares: bool,
) -> (Layout, Halves, Option<Halves>) {
    let (ours, theirs) = Link::pair().unwrap();
    let extent = Layout::extent(capacity, spares);
    let memory = anyipc_memory::anonymous(extent.len, extent.reserved).unwrap();
    let map = || Arc::new(Map::new(&memory, extent.len).unwrap());
    let layout = Layout::over(&map(), capacity, spares).unwrap();
    let mapped = Layout::over(&map(), capacity, spares).unwrap();
    let a = halves(&layout, Arc::new(ours), Role::Owner, None, in_place, limit);
    let b = halves(&mapped, Arc::new(theirs), Role::Opener, None, in_place, limit);
    (mapped, a, Some(b))
}

fn bytes(receiver: &mut Receiver) -> anyipc_core::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    receiver.try_recv_into(&mut buffer)?;
    Ok(buffer)
}

#[test]
fn frames_cross_in_both_directions() {
    for in_place in [false, true] {
        let (_, (mut send_a, mut recv_a), b) = pair(4096, in_place);
        let (mut send_b, mut recv_b) = b.unwrap();
        let max = send_a.max_frame();
        for i in 0..1000usize {
            let message = vec![i as u8; i % (max + 1)];
            send_a.try_send(Flags::MORE, &message).unwrap();
            let mut got = None;
            recv_b.try_recv_with(&mut |flags, frame| got = Some((flags, frame.to_vec()))).unwrap();
            assert_eq!(got, Some((Flags::MORE, message)));
            send_b.try_send(Flags::NONE, b"ok").unwrap();
            assert_eq!(bytes(&mut recv_a).unwrap(), b"ok");
        }
        assert_eq!(
            send_a.try_send(Flags::NONE, &vec![0; max + 1]).unwrap_err().kind(),
            ErrorKind::MessageTooLarge
        );
    }
}

#[test]
fn a_dead_peer_is_gone_after_the_last_message() {
    let (_, (mut send_a, mut recv_a), b) = pair(4096, false);
    let (mut send_b, recv_b) = b.unwrap();
    send_b.try_send(Flags::NONE, b"last words").unwrap();
    // As a kill does: the socket closes, and no state word says CLOSED.
    send_b.abandon();
    recv_b.abandon();
    assert_eq!(bytes(&mut recv_a).unwrap(), b"last words");
    let start = Instant::now();
    let error = loop {
        match bytes(&mut recv_a) {
            Err(error) if error.is_would_block() => std::thread::yield_now(),
            other => break other.unwrap_err(),
        }
        assert!(start.elapsed() < Duration::from_secs(1));
    };
    assert_eq!(error.kind(), ErrorKind::PeerGone);
    assert_eq!(send_a.try_send(Flags::NONE, b"x").unwrap_err().kind(), ErrorKind::PeerGone);
}

#[test]
fn an_orderly_end_is_closed_not_gone() {
    let (_, (mut send_a, mut recv_a), b) = pair(4096, false);
    let (mut send_b, recv_b) = b.unwrap();
    send_b.try_send(Flags::NONE, b"bye").unwrap();
    drop((send_b, recv_b));
    assert_eq!(bytes(&mut recv_a).unwrap(), b"bye");
    assert_eq!(bytes(&mut recv_a).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(send_a.try_send(Flags::NONE, b"x").unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn arming_after_a_wake_up_does_not_sleep() {
    let (_, (_send_a, mut recv_a), b) = pair(4096, false);
    let (mut send_b, _recv_b) = b.unwrap();
    assert_eq!(recv_a.arm(Waiter::Thread).unwrap(), Armed::Park);
    send_b.try_send(Flags::NONE, b"x").unwrap();
    let start = Instant::now();
    recv_a.park(Duration::from_secs(20));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "the sender took the flag, so the word differs"
    );
    assert_eq!(recv_a.arm(Waiter::Thread).unwrap(), Armed::Ready);
}

#[test]
fn a_sender_that_sleeps_gets_more_room_and_loses_nothing() {
    for spares in [false, true] {
        fill_and_receive(spares);
    }
}

fn fill_and_receive(spares: bool) {
    let (_, (mut sender, _recv), b) = resizing_pair(4096, false, 1 << 20, spares);
    let (_send, mut receiver) = b.unwrap();
    let max = sender.max_frame();
    let message = |i: u32| i.to_le_bytes().repeat(i as usize % (max / 4));
    let (mut sent, mut received, mut most) = (0u32, 0u32, 0);
    for round in 0..200u32 {
        // Fills the ring, sleeps for room, is given a little.
        loop {
            // On a slow machine, too, its rounds are short.
            sender.has_just_looked();
            match sender.try_send(Flags::NONE, &message(sent)) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    if sender.arm(Waiter::Thread).unwrap() == Armed::Park {
                        break;
                    }
                }
            }
        }
        most = most.max(sent - received);
        for _ in 0..if round % 2 == 0 { 3 } else { sent - received } {
            assert_eq!(bytes(&mut receiver).unwrap(), message(received));
            received += 1;
        }
        let _ = receiver.arm(Waiter::Thread);
    }
    assert!(most > 1000, "at most {most} messages were in flight");
    assert_eq!(sender.max_frame(), (1 << 20) / 4);
    drop(sender);
    while received < sent {
        assert_eq!(bytes(&mut receiver).unwrap(), message(received));
        received += 1;
    }
    assert_eq!(bytes(&mut receiver).unwrap_err().kind(), ErrorKind::Closed);
}

/// Without a receive there is as much room as in a socket's buffer.
#[test]
fn a_full_ring_goes_on_in_the_spare_array_at_once() {
    for limit in [4096, 1 << 20] {
        let (_, (mut sender, _recv), b) = resizing_pair(4096, false, limit, limit > 4096);
        let (_send, mut receiver) = b.unwrap();
        let message = |i: u32| vec![i as u8; 500];
        let sent =
            (0..).take_while(|i| sender.try_send(Flags::NONE, &message(*i)).is_ok()).count() as u32;
        let room = if limit > 4096 { SPARE } else { 4096 } / 512;
        assert!((room - 3..=room).contains(&(sent as usize)), "{sent} of {room}");
        for i in 0..sent {
            assert_eq!(bytes(&mut receiver).unwrap(), message(i));
        }
        assert!(bytes(&mut receiver).unwrap_err().is_would_block());
    }
}

/// The receiver has no descriptor or no memory left: the ring stays small, the channel whole.
#[test]
fn an_offer_that_is_declined_changes_nothing() {
    let (_, (mut sender, _recv), b) = resizing_pair(4096, false, 1 << 20, false);
    let (_send, mut receiver) = b.unwrap();
    receiver.decline_offers();
    let (mut sent, mut received) = (0u32, 0u32);
    for _ in 0..200 {
        while sender.try_send(Flags::NONE, &sent.to_le_bytes()).is_ok() {
            sent += 1;
        }
        let _ = sender.arm(Waiter::Thread);
        assert!(sent - received < 64, "the ring has 64 lines");
        while received < sent {
            assert_eq!(bytes(&mut receiver).unwrap(), received.to_le_bytes());
            received += 1;
        }
        assert!(bytes(&mut receiver).unwrap_err().is_would_block());
    }
}

#[test]
fn a_panicking_reader_uses_the_message_up() {
    for in_place in [false, true] {
        let (_, (mut sender, _recv), b) = pair(4096, in_place);
        let (_send, mut receiver) = b.unwrap();
        sender.try_send(Flags::NONE, b"poison").unwrap();
        sender.try_send(Flags::NONE, b"next").unwrap();
        let read =
            std::panic::AssertUnwindSafe(|| receiver.try_recv_with(&mut |_, _| panic!("poisoned")));
        assert!(std::panic::catch_unwind(read).is_err());
        assert_eq!(bytes(&mut receiver).unwrap(), b"next");
    }
}

/// The first call after the death says so, however long the caller has been away.
#[test]
fn a_slow_sender_does_not_send_to_a_dead_peer() {
    let (_, (mut sender, _recv), b) = pair(4096, false);
    let (peer, receiver) = b.unwrap();
    sender.try_send(Flags::NONE, b"heard").unwrap();
    peer.abandon();
    receiver.abandon();
    sender.was_last_called_long_ago();
    assert_eq!(sender.try_send(Flags::NONE, b"late").unwrap_err().kind(), ErrorKind::PeerGone);
}

/// Not even one on the fast path, with a receiver that died awake.
#[test]
fn a_sender_on_the_fast_path_that_pauses_does_not_send_to_a_dead_peer() {
    let (_, (mut sender, _recv), b) = pair(1 << 16, false);
    let (peer, mut receiver) = b.unwrap();
    for _ in 0..200 {
        sender.try_send(Flags::NONE, &[7; 500]).unwrap();
        bytes(&mut receiver).unwrap();
    }
    peer.abandon();
    receiver.abandon();
    sender.was_last_called_long_ago();
    assert_eq!(sender.try_send(Flags::NONE, b"late").unwrap_err().kind(), ErrorKind::PeerGone);
}

#[test]
fn a_move_without_memory_is_corrupt() {
    let (_, (sender, _recv), b) = resizing_pair(4096, false, 1 << 20, false);
    let (_send, mut receiver) = b.unwrap();
    sender.move_to_nowhere();
    for _ in 0..3 {
        assert_eq!(bytes(&mut receiver).unwrap_err().kind(), ErrorKind::Corrupt, "for good");
    }
}

/// The header holds the low bits of the position: with 2^16 lines, one array of offers is valid in
/// each lap.
#[test]
fn an_array_full_of_offers_ends_with_the_second() {
    const CAPACITY: usize = 4 << 20;
    let (done, ended) = std::sync::mpsc::channel();
    let test = move || {
        let (layout, (_send, mut receiver), _peer) =
            resizing_pair(CAPACITY, false, 2 * CAPACITY, false);
        for line in 0..layout.to_owner.lines() {
            layout.to_owner.header(line).store(3 << 40 | line << 48, Ordering::Relaxed);
        }
        assert!(bytes(&mut receiver).unwrap_err().is_would_block(), "the first one was declined");
        assert_eq!(bytes(&mut receiver).unwrap_err().kind(), ErrorKind::Corrupt);
        let _ = done.send(());
    };
    std::thread::spawn(test);
    ended.recv_timeout(Duration::from_secs(20)).unwrap();
}

#[test]
fn an_offer_beside_an_offer_is_corrupt() {
    let (_, (mut sender, _recv), b) = resizing_pair(4096, false, 1 << 20, true);
    let (_send, mut receiver) = b.unwrap();
    sender.offer_beside_an_offer();
    assert!(bytes(&mut receiver).unwrap_err().is_would_block(), "the first one was accepted");
    assert_eq!(bytes(&mut receiver).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// What the closure has written stays as it is while it reads it again, even if the peer writes the
/// ring.
#[test]
fn a_frame_is_written_where_the_peer_cannot_change_it() {
    for in_place in [false, true] {
        let (_, (mut sender, _recv), b) = pair(4096, in_place);
        let (_send, mut receiver) = b.unwrap();
        let ring = sender.ring().clone();
        let mut changed = false;
        let mut fill = |frame: &mut [u8]| {
            frame.fill(7);
            (0..ring.lines()).for_each(|line| ring.header(line).store(0, Ordering::Relaxed));
            changed = frame.iter().any(|byte| *byte != 7);
            Some(200)
        };
        sender.try_send_with(300, Flags::NONE, &mut fill).unwrap();
        assert_eq!(changed, in_place);
        assert_eq!(bytes(&mut receiver).unwrap().len(), 200);
    }
}

/// A waker that uses the channel when it is woken.
struct Nested(Arc<Link>, std::sync::atomic::AtomicU32);

impl std::task::Wake for Nested {
    fn wake(self: Arc<Self>) {
        self.0.register(Half::Sender, Waker::noop());
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_waker_may_use_the_channel() {
    let (_, (_send, receiver), b) = pair(4096, false);
    let link = receiver.link();
    let nested = Arc::new(Nested(Arc::clone(&link), 0.into()));
    link.register(Half::Sender, &Arc::clone(&nested).into());
    b.unwrap().0.link().ring_doorbell();
    link.register(Half::Receiver, Waker::noop());
    assert_eq!(nested.1.load(Ordering::Relaxed), 1);
}

/// Only where a reactor reports edges: events on Windows are signalled or not.
#[cfg(target_os = "linux")]
mod edges {
    use anyipc_core::Interest;
    use rustix::event::{Timespec, epoll};

    use super::*;

    /// A task that slept before leaves old doorbell bytes on the socket. Its reactor sees each new
    /// one all the same, however long that goes on and whichever half sleeps, and then the hang-up.
    #[test]
    fn each_doorbell_byte_is_seen_beside_old_ones() {
        let (_, (mut send_a, mut recv_a), b) = pair(4096, false);
        let (mut send_b, mut recv_b) = b.unwrap();
        let saw_edge = edges(&recv_a);
        for round in 0..2000 {
            assert_eq!(recv_a.rearm(Waker::noop()).unwrap(), Armed::Source(Interest::Readable));
            send_b.try_send(Flags::NONE, b"message").unwrap();
            assert!(saw_edge(), "round {round}");
            assert_eq!(bytes(&mut recv_a).unwrap(), b"message");
        }
        while send_a.try_send(Flags::NONE, &[0; 900]).is_ok() {}
        for round in 0..2000 {
            assert_eq!(send_a.rearm(Waker::noop()).unwrap(), Armed::Source(Interest::Readable));
            while bytes(&mut recv_b).is_ok() {}
            assert!(saw_edge(), "round {round}");
            while send_a.try_send(Flags::NONE, &[0; 900]).is_ok() {}
        }
        assert_eq!(recv_a.rearm(Waker::noop()).unwrap(), Armed::Source(Interest::Readable));
        send_b.abandon();
        recv_b.abandon();
        assert!(saw_edge());
        // After an event a task arms in full.
        while recv_a.arm(Waiter::Task(Waker::noop())).unwrap() != Armed::Ready {}
        assert_eq!(bytes(&mut recv_a).unwrap_err().kind(), ErrorKind::PeerGone);
    }

    /// Waits for the next edge of a half's source.
    fn edges(half: &dyn Wait) -> impl Fn() -> bool + use<> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&set, &*half.source().unwrap(), epoll::EventData::new_u64(0), flags).unwrap();
        move || {
            let mut events = [const { std::mem::MaybeUninit::uninit() }; 1];
            let long = Timespec { tv_sec: 10, tv_nsec: 0 };
            !epoll::wait(&set, &mut events, Some(&long)).unwrap().0.is_empty()
        }
    }
}

/// What a hostile peer can write: any word of the control lines and of the array.
fn scribble(ring: &SharedRing, word: u64, place: u64) {
    match place % 4 {
        0 => ring.head().store(word, Ordering::Relaxed),
        1 => ring.consumer_state().store(word as u32, Ordering::Relaxed),
        2 => ring.producer_state().store(word as u32, Ordering::Relaxed),
        _ => ring.header(place / 4).store(word, Ordering::Relaxed),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn scribbling_ends_in_an_error_not_in_a_crash(
        writes in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<usize>()), 1..60),
        near in any::<bool>(), in_place in any::<bool>(), resizes in any::<bool>(),
    ) {
        let limit = if resizes { 1 << 20 } else { 4096 };
        let (layout, (mut sender, mut receiver), peer) =
            resizing_pair(4096, in_place, limit, resizes);
        let spares = layout.spares.into_iter().flatten();
        let rings: Vec<_> = [layout.to_opener, layout.to_owner].into_iter().chain(spares).collect();
        for (mut word, place, ring) in writes {
            if near {
                // Plausible values find more than random ones.
                word = (word & 0x7f) | (word & 0x3) << 40 | (word & 0xff) << 48;
            }
            scribble(&rings[ring % rings.len()], word, place);
            for _ in 0..3 {
                let mut read = |_: Flags, frame: &[u8]| assert!(frame.len() <= limit);
                if let Err(error) = receiver.try_recv_with(&mut read) {
                    prop_assert!(matches!(
                        error.kind(),
                        ErrorKind::WouldBlock
                            | ErrorKind::Corrupt
                            | ErrorKind::Closed
                            | ErrorKind::PeerGone
                    ));
                }
                let _ = sender.try_send(Flags::NONE, &[7; 700]);
                let _ = sender.arm(Waiter::Thread);
                let _ = receiver.arm(Waiter::Thread);
            }
        }
        drop(peer);
    }
}
