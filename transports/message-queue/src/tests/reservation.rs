//! The reservation of the next room.

use std::sync::atomic::Ordering::SeqCst;

use super::{Scene, owner_id};
use crate::layout::hot;
use crate::waiters::ROOM;

#[test]
fn a_reservation_is_of_one_sender_and_ends() {
    let scene = Scene::new("reserved", 1);
    let store = &scene.store;
    scene.reset();
    assert!(
        !store.has_reservation()
            && store.reserve(owner_id(0))
            && store.reserve(owner_id(0))
            && !store.reserve(owner_id(1))
    );
    assert_eq!(store.reserved_for(), Some(owner_id(0)));
    // Only the sender with the reservation is woken, and for as little as it needs.
    for (slot, wants) in [(1, 1), (0, 2)] {
        store.await_wake(ROOM, slot, false, wants);
    }
    assert_eq!(store.next_sleeper(ROOM).map(|sleeper| sleeper.slot), Some(0));
    assert!(store.next_sleeper(ROOM).is_none());
    // A repair leaves it: it is not part of what a repair reads.
    store.repair().unwrap();
    store.cancel_reservation(owner_id(1));
    assert_eq!(store.reserved_for(), Some(owner_id(0)));
    store.cancel_reservation(owner_id(0));
    assert!(!store.has_reservation() && store.next_sleeper(ROOM).is_some());
    // An expired time and a time in the future are no reservation: the next sender gets it.
    let word = store.region().u64(hot::RESERVATION);
    for shift in [1000, 1 << 31, u32::MAX - 1000] {
        assert!(store.reserve(owner_id(0)));
        let reserved = word.load(SeqCst);
        word.store(
            reserved & !u64::from(u32::MAX) | u64::from((reserved as u32).wrapping_sub(shift)),
            SeqCst,
        );
        assert_eq!(store.reserved_for(), None);
        assert!(!store.has_reservation() && store.reserve(owner_id(1)));
        store.cancel_reservation(owner_id(1));
    }
    // Bits that are no owner id are no reservation.
    word.store(u64::MAX, SeqCst);
    assert_eq!(store.reserved_for(), None);
    assert!(store.reserve(owner_id(1)) && store.reserved_for() == Some(owner_id(1)));
}
