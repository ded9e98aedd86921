//! What a block's calls do within one process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]
#![cfg(any(target_os = "linux", windows))]

mod block_process;

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use anyipc_core::{Endpoint as _, ErrorKind, Name, Result, Transport};
use anyipc_shared_memory::{Block, Endpoint, SharedMemory};
use block_process::alone::alone;
use block_process::{block, options};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const T: SharedMemory = SharedMemory;

fn in_one_process(test: &str, body: impl FnOnce()) {
    alone(test, Duration::from_secs(60), |place| {
        body();
        assert_eq!(place.files(), [""; 0]);
    });
}

fn create(name: &str, size: usize) -> Endpoint {
    T.create(&Name::new(name).unwrap(), &options(&format!("size={size}")).unwrap()).unwrap()
}

fn kind<V>(result: Result<V>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind(),
    }
}

#[test]
fn every_size_is_exact() {
    in_one_process("every_size_is_exact", || {
        for size in [1, 2, 7, 8, 4095, 4096, 4097, 65536, 10_000_019] {
            let endpoint = create("sizes", size);
            let b = block(&endpoint);
            assert_eq!(b.len(), size);
            assert!(b.as_ptr().addr().is_multiple_of(4096));
            b.write_at(size - 1, b"x").unwrap();
            let mut bytes = vec![1; size];
            b.read_at(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(b'x'));
            assert!(bytes.iter().all(|&byte| byte == 0), "a new block is zeroed");
        }
    });
}

#[test]
fn nothing_reaches_over_the_end() {
    in_one_process("nothing_reaches_over_the_end", || {
        let endpoint = create("bounds", 100);
        let b = block(&endpoint);
        for (offset, len) in
            [(0, 101), (100, 1), (101, 0), (99, 2), (usize::MAX, 1), (usize::MAX, 0)]
        {
            assert_eq!(kind(b.read_at(offset, &mut vec![0; len])), ErrorKind::OutOfBounds);
            assert_eq!(kind(b.write_at(offset, &vec![0; len])), ErrorKind::OutOfBounds);
        }
        b.read_at(100, &mut []).unwrap();
        for offset in [97, 100, usize::MAX, usize::MAX - 3] {
            assert_eq!(kind(b.atomic_u32(offset)), ErrorKind::OutOfBounds);
            assert_eq!(kind(b.atomic_u64(offset)), ErrorKind::OutOfBounds);
            assert_eq!(kind(b.get::<u64>(offset)), ErrorKind::OutOfBounds);
            assert_eq!(kind(b.put(offset, &1u64)), ErrorKind::OutOfBounds);
        }
        let text = b.atomic_u32(2).unwrap_err().to_string();
        assert!(text.contains("offset 2 is no multiple of 4"), "{text}");
        let text = b.read_at(99, &mut [0; 2]).unwrap_err().to_string();
        assert!(text.contains("2 bytes at offset 99 of a block of 100 bytes"), "{text}");
    });
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Debug, PartialEq, Clone, Copy)]
#[repr(C)]
struct Point {
    x: u32,
    y: u16,
    z: [u8; 2],
}

#[test]
fn values_go_in_and_out() {
    in_one_process("values_go_in_and_out", || {
        let endpoint = create("values", 100);
        let b = block(&endpoint);
        let point = Point { x: 1, y: 2, z: [3, 4] };
        for offset in [0, 1, 92] {
            b.put(offset, &point).unwrap();
            assert_eq!(b.get::<Point>(offset).unwrap(), point);
        }
        b.put(8, &point).unwrap();
        // SAFETY: no other process knows the block.
        assert_eq!(unsafe { b.view::<Point>(8) }.unwrap(), &point);
        // SAFETY: as above.
        assert_eq!(kind(unsafe { b.view::<Point>(9) }), ErrorKind::OutOfBounds);
        b.atomic_u32(8).unwrap().fetch_add(10, SeqCst);
        assert_eq!(b.get::<Point>(8).unwrap().x, 11);
        b.atomic_u64(16).unwrap().store(u64::MAX, SeqCst);
        assert_eq!(b.get::<[u8; 2]>(17).unwrap(), [255, 255]);
    });
}

#[test]
fn two_handles_see_the_same_bytes() {
    in_one_process("two_handles_see_the_same_bytes", || {
        let one = create("shared", 100);
        let two = T.open(&Name::new("shared").unwrap(), &options("").unwrap()).unwrap();
        block(&one).atomic_u32(4).unwrap().store(7, SeqCst);
        assert_eq!(block(&two).atomic_u32(4).unwrap().load(SeqCst), 7);
        assert_ne!(block(&one).as_ptr(), block(&two).as_ptr());
        let b: &Block = two.extension().unwrap().downcast_ref().unwrap();
        assert_eq!(b.len(), 100);
    });
}

#[test]
fn a_stored_value_has_a_limit() {
    in_one_process("a_stored_value_has_a_limit", || {
        let endpoint = create("stored", 100);
        let b = block(&endpoint);
        assert_eq!(b.load_bytes().unwrap(), None);
        for value in [&b"first"[..], b"", &[7; 50]] {
            b.store_bytes(value).unwrap();
            assert_eq!(b.load_bytes().unwrap().unwrap(), value);
        }
        let error = b.store_bytes(&[0; 51]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
        for part in ["51 bytes", "50 at most", "size=102"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert_eq!(b.load_bytes().unwrap().unwrap(), [7; 50], "the old value stays");
        let tiny = create("tiny", 1);
        block(&tiny).store_bytes(b"").unwrap();
        assert_eq!(kind(block(&tiny).store_bytes(b"x")), ErrorKind::MessageTooLarge);
    });
}

#[test]
fn a_text_someone_wrote_over_is_an_error() {
    in_one_process("a_text_someone_wrote_over_is_an_error", || {
        let endpoint =
            T.alloc_lpsz(&Name::new("text").unwrap(), b"text", &options("").unwrap()).unwrap();
        assert_eq!(block(&endpoint).len(), 5);
        endpoint.read_lpsz(&mut |text| assert_eq!(text, c"text")).unwrap();
        block(&endpoint).write_at(4, b"!").unwrap();
        assert_eq!(kind(endpoint.read_lpsz(&mut |_| ())), ErrorKind::Corrupt);
        block(&endpoint).write_at(1, b"\0").unwrap();
        endpoint.read_lpsz(&mut |text| assert_eq!(text, c"t")).unwrap();
    });
}
