//! A block lives until its last holder leaves, in any order and by any end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]
#![cfg(any(target_os = "linux", windows))]

mod block_process;

use block_process::Place;

#[test]
fn process() {
    block_process::serve();
}

#[test]
fn the_contents_outlive_the_creator() {
    let place = Place::new();
    let (mut creator, mut other) = (place.spawn(), place.spawn());
    creator.ok("create a block size=100");
    creator.ok("write a 90 0123456789");
    other.ok("open a block size=100");
    creator.exit();
    assert_eq!(other.ok("read a 90 10"), "0123456789");
    // Newcomers still find it.
    let mut third = place.spawn();
    third.ok("open a block ");
    assert_eq!(third.ok("len a"), "100");
    third.ok("close a");
    other.ok("close a");
    other.fails("open a block ", "not_found", -3);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn the_contents_outlive_a_killed_creator() {
    let place = Place::new();
    let (mut creator, mut other) = (place.spawn(), place.spawn());
    creator.ok("create a block size=10");
    creator.ok("write a 0 0123456789");
    other.ok("open a block ");
    creator.kill();
    assert_eq!(other.ok("read a 0 10"), "0123456789");
    // The name is taken as long as the block lives, but can be adopted.
    other.fails("create b block size=10", "exists", -1);
    other.fails("create b block size=11,create=open_or_create", "mismatch", -2);
    assert_eq!(other.ok("create b block size=10,create=open_or_create"), "owner");
    assert_eq!(other.ok("read b 0 10"), "0123456789");
    other.ok("close a");
    other.ok("close b");
    other.fails("open a block ", "not_found", -3);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn total_death_leaves_nothing_in_the_way() {
    for reclaim in ["create", "open", "open_or_create", "sweep"] {
        let place = Place::new();
        let mut holders = [place.spawn(), place.spawn(), place.spawn()];
        holders[0].ok("create a block size=5000");
        holders[0].ok("write a 0 old");
        holders[1].ok("open a block ");
        holders[2].ok("open a block ");
        holders.into_iter().for_each(block_process::Process::kill);
        assert!(place.block("block").exists());

        let mut next = place.spawn();
        assert!(next.ok("inspect block").starts_with("block:stale:block:[]"));
        match reclaim {
            "create" => {
                next.ok("create a block size=3");
                assert_eq!(next.ok("read a 0 3"), "\0\0\0", "the new block is not the old one");
                next.ok("close a");
            }
            "open_or_create" => {
                next.ok("create a block size=3,create=open_or_create");
                next.ok("close a");
            }
            "open" => {
                next.fails("open a block ", "not_found", -3);
                assert!(!place.block("block").exists());
                // The dead owner's rendezvous waits for the next owner or a sweep.
                next.ok("sweep fix");
            }
            _ => {
                assert_eq!(
                    next.ok("sweep no"),
                    next.ok("sweep no"),
                    "only looking changes nothing"
                );
                next.ok("sweep fix");
            }
        }
        assert_eq!(place.files(), [""; 0], "{reclaim}");
    }
}

#[test]
fn a_text_outlives_its_creator() {
    let place = Place::new();
    let (mut creator, mut other) = (place.spawn(), place.spawn());
    creator.ok("lpsz a text C:\\Users\\Me\\myfile.ex");
    creator.fails("lpsz b text again", "exists", -1);
    other.ok("open a text ");
    creator.kill();
    assert_eq!(other.ok("text a"), "C:\\Users\\Me\\myfile.ex");
    assert_eq!(other.ok("len a"), "22");
    // Not every block is a text.
    other.ok("create b plain size=1");
    other.fails("text b", "mismatch", -3);
}

#[test]
fn two_opens_of_one_process_are_two_handles() {
    let place = Place::new();
    let mut process = place.spawn();
    process.ok("create a block size=10");
    process.fails("create b block size=10", "exists", -1);
    process.ok("open b block ");
    process.ok("close a");
    process.ok("write b 0 x");
    process.ok("close b");
    process.fails("open b block ", "not_found", -3);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn the_inventory_tells_who_holds_what() {
    let place = Place::new();
    let (mut one, mut two) = (place.spawn(), place.spawn());
    one.ok("create a block size=10");
    two.ok("open a block ");
    let shown = |mut pids: Vec<u32>| {
        pids.sort();
        // No system but Linux reports the holders of a lock.
        pids.retain(|_| cfg!(target_os = "linux") && !cfg!(anyipc_as_macos));
        format!("{pids:?}").replace(' ', "")
    };
    let (both, owner) = (shown(vec![one.pid(), two.pid()]), shown(vec![one.pid()]));
    let looked = two.ok("list");
    assert!(looked.contains(&format!("block:live:block:{both}")), "{looked}");
    assert!(looked.contains(&format!("rendezvous:live:block:{owner}")), "{looked}");
    assert_eq!(two.ok("sweep fix"), "", "nothing is stale");
    two.fails("remove block no", "busy", 0);
    two.fails("remove other no", "not_found", 0);
    // Force takes the name; the holders keep the memory and hear of it at the end.
    two.ok("remove block force");
    let mut files = place.files();
    // Windows removes a file in use with its last handle, and gives it another name until then.
    files.retain(|file| cfg!(unix) || !file.ends_with(".tmp"));
    assert_eq!(files, [""; 0]);
    one.ok("write a 0 still");
    assert_eq!(two.ok("read a 0 5"), "still");
    two.fails("close a", "stat_failed", -5);
    two.fails("open a block ", "not_found", -3);
    one.kill();
}
