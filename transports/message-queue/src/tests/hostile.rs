//! Any sequence of steps, and memory that holds anything.

use std::sync::atomic::Ordering::SeqCst;

use anyipc_memory::Region;
use proptest::prelude::*;

use super::{CHUNKS, Model, PRIORITIES, Scene, Step, act, check, expect, geometry, owner_id};
use crate::client::reset_unshared;
use crate::layout::{CHUNK, Geometry, RECORD, hold, hot, longest_in};
use crate::settings::chunks_of;
use crate::store::Store;

fn any_step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![0..200usize, 0..longest_in(CHUNKS)];
    let push = (0..PRIORITIES, len);
    prop_oneof![
        4 => push.clone().prop_map(|(priority, len)| Step::Push(priority, len)),
        2 => push.prop_map(|(priority, len)| Step::DropOld(priority, len)),
        4 => Just(Step::Pop),
        1 => Just(Step::Purge),
        4 => any_timed_step(),
    ]
}

fn any_timed_step() -> impl Strategy<Value = Step> {
    let (slot, rank, due) = (0..3u32, 0..3usize, 1..200u64);
    prop_oneof![
        2 => (0..PRIORITIES, 0..300usize, due.clone()).prop_map(|(p, len, due)| {
            Step::Delay(p, len, due)
        }),
        4 => (slot.clone(), due.clone()).prop_map(|(slot, due)| Step::Lease(slot, due)),
        2 => rank.clone().prop_map(Step::Ack),
        1 => (rank.clone(), due.clone()).prop_map(|(rank, due)| Step::Retry(rank, due)),
        1 => (rank.clone(), due.clone()).prop_map(|(rank, due)| Step::Extend(rank, due)),
        1 => rank.prop_map(Step::Detach),
        1 => slot.prop_map(Step::Die),
        2 => due.prop_map(Step::Back),
    ]
}

/// Random words, and words that are valid in some places.
fn scribbles() -> impl Strategy<Value = Vec<(usize, u32)>> {
    let chunks = geometry(1).first_chunk();
    let behind = geometry(1).holds_at();
    let at = prop_oneof![64..chunks, chunks..behind, behind..geometry(1).text_at()];
    let value = prop_oneof![any::<u32>(), 0..CHUNKS + 2, hold::DETACHED..hold::DELAYED + 1];
    proptest::collection::vec((at.prop_map(|at| at & !3), value), 1..40)
}

/// Lengths are stored in 32 bits: no queue promises more, however large it is. Needs 64-bit
/// addresses.
#[cfg(target_pointer_width = "64")]
#[test]
fn no_queue_takes_messages_whose_length_does_not_fit_into_its_word() {
    use crate::layout::{MAX_CHUNKS, chunks_for};
    assert_eq!(longest_in(MAX_CHUNKS), u32::MAX as usize);
    assert_eq!(longest_in((1 << 25) - 1), (1 << 32) - CHUNK);
    assert_eq!(longest_in(1 << 25), u32::MAX as usize);
    assert_eq!(chunks_for(u32::MAX as usize), 1 << 25);
    let huge = Geometry { chunks: MAX_CHUNKS, longest: u32::MAX as usize, ..geometry(1) };
    assert!(huge.size().unwrap() > 32 << 30);
    let scene = Scene::new("huge", 1);
    scene.store.region().store(0, &Geometry { longest: u32::MAX as usize + 1, ..huge }.encode());
    assert_eq!(Geometry::read(scene.store.region()), None);
}

/// The limits name no queue that addresses cannot reach, and offsets of the largest do not wrap.
#[test]
fn the_largest_queue_fits_into_the_address_space() {
    use crate::layout::{MAX_CHUNKS, MAX_SLOTS};
    let longest = longest_in(MAX_CHUNKS);
    let largest =
        Geometry { chunks: MAX_CHUNKS, slots: MAX_SLOTS, longest, text: 1 << 16, ..geometry(1) };
    assert!(largest.size().unwrap() < isize::MAX as usize);
    let end = largest.size().unwrap() - largest.text;
    assert_eq!(largest.text_at(), end);
    let order = largest.first_chunk() + MAX_CHUNKS as usize * (CHUNK + RECORD);
    assert_eq!(largest.order_at(), order);
    assert!(largest.first_chunk() < largest.first_record() && order < end);
    assert!(chunks_of(largest.capacity()).is_some());
    assert_eq!(chunks_of(largest.capacity() + 1), None);
    assert_eq!(chunks_of(1 << 32 | 1), (usize::BITS == 64).then_some((1 << 25) + 1));
}

/// A 64-bit process makes queues that a 32-bit one does not make, but can map: it opens them.
#[test]
fn a_queue_opens_as_far_as_it_can_be_mapped() {
    for (chunks, opens) in [(5 << 21, true), (1 << 24, usize::BITS == 64)] {
        let queue = Geometry { chunks, longest: longest_in(1 << 20), ..geometry(1) };
        let decoded = Geometry::decode(queue.encode().first_chunk().unwrap());
        assert_eq!(decoded, Some(queue));
        let fits = decoded.unwrap().size().is_some_and(|size| size < isize::MAX as usize);
        assert_eq!(fits, opens, "{chunks} chunks");
    }
}

proptest! {
    #[test]
    fn queues_do_as_the_model_does(
        priorities in 1..=PRIORITIES,
        steps in proptest::collection::vec(any_step(), 0..200),
    ) {
        let scene = Scene::new("model", priorities);
        scene.reset();
        let mut model = Model::default();
        for (seed, step) in steps.iter().enumerate() {
            let step = step.among(priorities);
            let received = act(&scene.store, &step, seed).unwrap();
            prop_assert_eq!(received, expect(&mut model, &step, seed).0);
        }
        prop_assert_eq!(check(&scene.store), model);
    }

    #[test]
    fn hostile_memory_is_an_error_at_worst(
        priorities in 1..=PRIORITIES,
        steps in proptest::collection::vec((any_step(), scribbles()), 1..20),
    ) {
        let scene = Scene::new("hostile", priorities);
        scene.reset();
        let store = &scene.store;
        for (seed, (step, scribbles)) in steps.iter().enumerate() {
            for (at, value) in scribbles {
                store.region().u32(*at).store(*value, SeqCst);
            }
            for kind in [0, 1] {
                let _ = store.next_sleeper(kind);
                let _ = store.any_sleeper(kind);
                store.await_wake(kind, 2, true, 3);
                store.cancel_wait(kind, 1);
            }
            store.reserve(owner_id(seed as u32 % 3));
            let _ = store.reserved_for();
            store.cancel_reservation(owner_id(1));
            if act(store, &step.among(priorities), seed).is_err() && store.repair().is_ok() {
                check_consistency(store);
            }
            let _ = Geometry::read(store.region());
            let _ = reset_unshared(store.region(), geometry(priorities));
        }
        // Whatever it holds, it can be emptied and used again.
        store.purge().unwrap();
        scene.store.region().u32(hot::DROPPED).store(0, SeqCst);
        scene.store.region().u64(hot::DEAD).store(0, SeqCst);
        let mut model = Model::default();
        for (seed, step) in super::steps(priorities).iter().enumerate() {
            prop_assert_eq!(act(store, step, seed).unwrap(), expect(&mut model, step, seed).0);
        }
    }

    #[test]
    fn hostile_geometry_is_refused(bytes in proptest::collection::vec(any::<u8>(), 40)) {
        let scene = Scene::new("geometry", PRIORITIES);
        let region: &Region = scene.store.region();
        region.store(0, &bytes);
        if let Some(geometry) = Geometry::read(region) {
            prop_assert!(geometry.size().unwrap() <= region.len());
        }
    }
}

/// A repaired queue gives out all its messages.
fn check_consistency(store: &Store) {
    if store.is_timed() {
        store.sort().unwrap();
        for _ in 0..=CHUNKS {
            store.bring_back(u64::MAX, owner_id(0), &mut Vec::new()).unwrap();
        }
    }
    for _ in 0..store.counts().0 {
        let found = store.highest().unwrap().expect("as many as were counted");
        store.pop(&found, &mut Vec::new()).unwrap();
    }
    assert_eq!((store.free(), store.counts(), store.is_empty()), (CHUNKS, (0, 0), true));
}
