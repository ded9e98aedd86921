use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use anyipc_core::{Capabilities, ErrorKind, Flags};

use super::connect::expect;
use super::{assert_unsupported, failed};
use crate::Fixture;
use crate::fixture::{End, Pair};
use crate::noise::bytes;
use crate::wait_loop::{WaitLoop, Watchdog};

/// The longest frame that is tried, in bytes. Longer ones are legal.
const LONGEST: usize = 16 << 20;

type Frame = (Flags, Vec<u8>);

/// Sends the frames from another thread, and compares what arrives.
fn exchange(fixture: &Fixture<'_>, from: &mut End, to: &mut End, frames: &[Frame]) {
    let wait_loop = WaitLoop::thread(fixture);
    thread::scope(|scope| {
        scope.spawn(|| {
            for (flags, payload) in frames {
                wait_loop.send(&mut *from.sender, *flags, payload).expect("send");
            }
        });
        let mut buffer = Vec::new();
        for (i, (flags, payload)) in frames.iter().enumerate() {
            let got = wait_loop.recv(&mut *to.receiver, &mut buffer).expect("receive");
            assert_eq!((got, buffer.len()), (*flags, payload.len()), "frame {i}");
            assert!(buffer == *payload, "frame {i} of {} bytes arrived changed", payload.len());
        }
    });
}

/// Nothing may be on its way: the next frame that arrives is one that is sent now.
#[track_caller]
fn assert_silent(fixture: &Fixture<'_>, from: &mut End, to: &mut End) {
    exchange(fixture, from, to, &[(Flags::NONE, b"the next frame".to_vec())]);
    let mut seen = false;
    let error = failed(to.receiver.try_recv_with(&mut |_, _| seen = true));
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    assert!(!seen, "an empty channel showed a frame");
}

pub fn every_length_arrives_whole(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let max = here.sender.max_frame();
    assert!(max > 0 && there.sender.max_frame() > 0, "max_frame is 0");
    let max = max.min(there.sender.max_frame()).min(LONGEST);
    let near = [1, 2, 4, 8, 64, 256, 4096, max.div_ceil(2), max]
        .into_iter()
        .flat_map(|n| [n - 1, n, n + 1]);
    let lengths: Vec<_> = near.chain([3, 1000, 0]).filter(|n| *n <= max).collect();
    let both_ways = lengths.iter().chain(lengths.iter().rev());
    let frames: Vec<Frame> = both_ways.map(|&n| (Flags::NONE, bytes(n as u64, n))).collect();
    exchange(fixture, &mut here, &mut there, &frames);
    exchange(fixture, &mut there, &mut here, &frames);
}

pub fn too_long_is_refused(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    for end in [&mut here, &mut there] {
        let max = end.sender.max_frame();
        for len in [max.saturating_add(1), max.saturating_mul(2), usize::MAX]
            .into_iter()
            .filter(|n| *n > max)
        {
            let mut called = false;
            let error = failed(end.sender.try_send_with(len, Flags::NONE, &mut |_| {
                called = true;
                Some(0)
            }));
            assert_eq!(error.kind(), ErrorKind::MessageTooLarge, "{error}");
            assert!(!called, "fill was called for a frame over max_frame");
        }
        if max < LONGEST {
            let error = failed(end.sender.try_send(Flags::NONE, &vec![7; max + 1]));
            assert_eq!(error.kind(), ErrorKind::MessageTooLarge, "{error}");
        }
    }
    assert_silent(fixture, &mut here, &mut there);
    assert_silent(fixture, &mut there, &mut here);
}

pub fn flags_are_carried(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let both = Flags::from_bits(Flags::MORE.bits() | Flags::ABORT.bits()).expect("known flags");
    if !fixture.can(Capabilities::HANDSHAKE) {
        for flags in [Flags::MORE, Flags::ABORT, both] {
            for payload in [&b""[..], b"a fragment"] {
                assert_unsupported(here.sender.try_send(flags, payload));
                let filled = here.sender.try_send_with(9, flags, &mut |_| Some(9));
                assert_unsupported(filled);
            }
        }
        return assert_silent(fixture, &mut here, &mut there);
    }
    let frames: Vec<Frame> = [Flags::MORE, Flags::NONE, Flags::ABORT, both, Flags::MORE]
        .into_iter()
        .flat_map(|flags| [(flags, Vec::new()), (flags, bytes(1, 100))])
        .collect();
    exchange(fixture, &mut here, &mut there, &frames);
    exchange(fixture, &mut there, &mut here, &frames);
}

pub fn order_is_kept(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let frames: Vec<Frame> =
        (0..5000u64).map(|i| (Flags::NONE, i.to_le_bytes().to_vec())).collect();
    exchange(fixture, &mut here, &mut there, &frames);
    exchange(fixture, &mut there, &mut here, &frames);
}

pub fn filling_less_sends_less(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let max = here.sender.max_frame().min(1000);
    let wait_loop = WaitLoop::thread(fixture);
    for len in [0, 1, max / 3, max] {
        let payload = bytes(len as u64, len);
        let send = here.sender.try_send_with(max, Flags::NONE, &mut |frame| {
            assert_eq!(frame.len(), max, "fill must get exactly as many bytes as were asked for");
            frame[..len].copy_from_slice(&payload);
            Some(len)
        });
        send.expect("send into an empty channel");
        expect(wait_loop, &mut there, &payload);
    }
    assert_silent(fixture, &mut here, &mut there);
}

pub fn filling_nothing_sends_nothing(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    for max in [0, 1, here.sender.max_frame().min(1000)] {
        for _ in 0..100 {
            let _ = here.sender.try_send_with(max, Flags::MORE, &mut |frame| {
                frame.fill(0xff);
                None
            });
        }
        assert_silent(fixture, &mut here, &mut there);
    }
}

pub fn a_panic_sends_nothing(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let max = here.sender.max_frame().min(1000);
    for _ in 0..100 {
        let send = || {
            here.sender.try_send_with(max, Flags::NONE, &mut |frame| {
                frame.fill(0xff);
                resume_unwind(Box::new("in fill"))
            })
        };
        assert!(
            catch_unwind(AssertUnwindSafe(send)).is_err(),
            "try_send_with swallowed the panic of fill"
        );
    }
    assert_silent(fixture, &mut here, &mut there);
    assert_silent(fixture, &mut there, &mut here);
}

pub fn receiving_appends(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let mut buffer = b"kept".to_vec();
    let error = failed(there.receiver.try_recv_into(&mut buffer));
    assert_eq!((error.kind(), buffer.as_slice()), (ErrorKind::WouldBlock, b"kept".as_slice()));
    let wait_loop = WaitLoop::thread(fixture);
    let more = if fixture.can(Capabilities::HANDSHAKE) { Flags::MORE } else { Flags::NONE };
    for (flags, payload) in [(more, b" one".as_slice()), (Flags::NONE, b""), (Flags::NONE, b" two")]
    {
        wait_loop.send(&mut *here.sender, flags, payload).expect("send");
        let watchdog = Watchdog::new("try_recv_into");
        loop {
            match there.receiver.try_recv_into(&mut buffer) {
                Ok(got) => break assert_eq!(got, flags),
                Err(error) => assert!(error.is_would_block(), "{error}"),
            }
            watchdog.look();
        }
    }
    assert_eq!(buffer, b"kept one two");
}

/// Sends until the channel is full. Frame `i` is `bytes(i, len)`. Returns the number of frames.
#[track_caller]
pub(super) fn fill_up(end: &mut End, len: usize) -> u64 {
    let limit = (256 << 20) / (len as u64 + 1);
    for i in 0..limit {
        match end.sender.try_send(Flags::NONE, &bytes(i, len)) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                assert!(i > 0, "an empty channel refused a frame as WouldBlock");
                return i;
            }
        }
    }
    unreachable!("{limit} frames of {len} bytes did not fill the channel: it has no bound");
}

pub fn full_would_block_and_drains(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let max = here.sender.max_frame().min(64 << 10);
    for len in [max, max / 4, 100.min(max), 0] {
        let sent = fill_up(&mut here, len);
        let (more, mut all) = (vec![0xff; max], sent);
        for _ in 0..10 {
            match here.sender.try_send(Flags::NONE, &more) {
                // What was on its way has arrived, which over a network makes room without a
                // receive.
                Ok(()) => all += 1,
                Err(error) => assert!(error.is_would_block(), "{error}"),
            }
        }
        let watchdog = Watchdog::new("draining");
        let mut received = 0;
        while received < all {
            let mut check = |flags, frame: &[u8]| {
                let right = if received < sent { &bytes(received, len) } else { &more };
                assert!(flags == Flags::NONE && frame == right, "frame {received} arrived changed");
                received += 1;
            };
            match there.receiver.try_recv_with(&mut check) {
                Ok(()) => continue,
                Err(error) => assert!(error.is_would_block(), "{error}"),
            }
            watchdog.look();
        }
        assert_silent(fixture, &mut here, &mut there);
    }
}
