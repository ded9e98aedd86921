//! Eight processes race to create, open and close one name, and some are killed at random instants.
//!
//! `ANYIPC_TEST_ROUNDS` sets the number of rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]
#![cfg(target_os = "linux")]

mod block_process;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use anyipc_core::{Endpoint as _, ErrorKind, Name, Role, Transport};
use anyipc_shared_memory::{Endpoint, SharedMemory};
use block_process::alone::{Random, alone};
use block_process::forked::{Forked, fork, shared_words};
use block_process::{block, options};

const PROCESSES: usize = 8;
const OPERATIONS: usize = 30;

/// The words that the processes of a round share.
struct Board {
    go: &'static AtomicU32,
    /// The process that believes to be the owner, plus one.
    owner: &'static AtomicU32,
    /// The process that is about to be killed.
    doomed: &'static [AtomicU32],
    /// How often each thing was seen: created, adopted, opened, refused.
    seen: &'static [AtomicU32],
}

#[test]
fn no_double_owner_no_lost_block_no_leftover() {
    let rounds = std::env::var("ANYIPC_TEST_ROUNDS").map_or(1000, |text| text.parse().unwrap());
    alone("no_double_owner_no_lost_block_no_leftover", Duration::from_secs(600), |place| {
        let words = shared_words(1024);
        let board = Board {
            go: &words[0],
            owner: &words[64],
            doomed: &words[128..128 + PROCESSES],
            seen: &words[256..260],
        };
        let mut kills = 0;
        for round in 1..=rounds {
            kills += play(round, &board);
            let t = SharedMemory;
            if round % 2 == 0 {
                // The next create succeeds in every state, and its close leaves nothing.
                let endpoint = t.create(&name(), &options("size=64").unwrap()).unwrap();
                t.close(endpoint).unwrap();
            } else {
                t.sweep(&options("").unwrap(), true).unwrap();
            }
            assert_eq!(place.files(), [""; 0], "round {round}");
        }
        println!(
            "{rounds} rounds, {kills} kills; created, adopted, opened, refused: {:?}",
            board.seen
        );
    });
}

/// One round; how many were killed.
fn play(round: u32, board: &Board) -> u32 {
    board.owner.store(0, SeqCst);
    board.doomed.iter().for_each(|d| d.store(0, SeqCst));
    let start = |me| {
        fork(move || {
            work(me, round, board).map_err(|fault| println!("{round} {me}: {fault}")).is_ok()
        })
    };
    let workers: Vec<Forked> = (0..PROCESSES).map(start).collect();
    board.go.store(round, SeqCst);
    let mut random = Random::new(u64::from(round));
    for _ in 0..random.below(6) {
        random.pause(Duration::from_millis(2));
        let victim = random.below(PROCESSES as u64) as usize;
        board.doomed[victim].store(1, SeqCst);
        workers[victim].shoot();
    }
    let mut killed = 0;
    for (worker, doomed) in workers.into_iter().zip(board.doomed) {
        let status = worker.wait();
        let by_signal = status.code().is_none();
        assert!(
            status.success() || (by_signal && doomed.load(SeqCst) == 1),
            "round {round}: {status}"
        );
        killed += u32::from(by_signal);
    }
    killed
}

fn work(me: usize, round: u32, board: &Board) -> Result<(), String> {
    while board.go.load(SeqCst) != round {
        std::thread::yield_now();
    }
    let t = SharedMemory;
    let mut random = Random::new(u64::from(round) * 100 + me as u64 + 1);
    let plain = options("size=64").unwrap();
    let adopt = options("size=64,create=open_or_create").unwrap();
    for operation in 0..OPERATIONS {
        let kind = [0, 0, 0, 1, 2][random.below(5) as usize];
        let result = match kind {
            0 => t.create(&name(), &plain),
            1 => t.create(&name(), &adopt),
            _ => t.open(&name(), &plain.clone()),
        };
        match result {
            Ok(endpoint) => {
                board.seen[kind].fetch_add(1, SeqCst);
                let fresh = kind == 0;
                let token =
                    ((u64::from(round) << 32) | (operation * PROCESSES + me + 1) as u64).max(1);
                hold(&endpoint, me, fresh, token, board)?;
                random.pause(Duration::from_micros(50));
                if endpoint.role() == Role::Owner {
                    let mine = board.owner.compare_exchange(me as u32 + 1, 0, SeqCst, SeqCst);
                    mine.map_err(|other| format!("{} became owner beside me", other as i64 - 1))?;
                }
                t.close(endpoint).map_err(|e| format!("close: {e}"))?;
            }
            Err(error) => {
                board.seen[3].fetch_add(1, SeqCst);
                let expected = match kind {
                    0 => error.kind() == ErrorKind::Exists,
                    1 => false,
                    _ => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Mismatch),
                };
                if !expected {
                    return Err(format!("kind {kind}: {error}"));
                }
            }
        }
    }
    Ok(())
}

/// Checks what must be true while we hold the block.
fn hold(
    endpoint: &Endpoint,
    me: usize,
    fresh: bool,
    token: u64,
    board: &Board,
) -> Result<(), String> {
    if endpoint.role() == Role::Owner {
        let before = board.owner.swap(me as u32 + 1, SeqCst) as usize;
        if before != 0 && board.doomed[before - 1].load(SeqCst) == 0 {
            return Err(format!("{} is an owner beside me", before - 1));
        }
    }
    let word = block(endpoint).atomic_u64(0).map_err(|e| e.to_string())?;
    let seen = word.compare_exchange(0, token, SeqCst, SeqCst);
    if fresh && endpoint.role() != Role::Owner {
        return Err("a creator that is no owner".into());
    }
    let token = seen.map_or_else(|there| there, |_| token);
    // The name leads to this block as long as we hold it.
    let t = SharedMemory;
    let again = t.open(&name(), &options("size=64").unwrap()).map_err(|e| format!("lost: {e}"))?;
    let there = block(&again).atomic_u64(0).map_err(|e| e.to_string())?.load(SeqCst);
    if there != token {
        return Err(format!("the name leads to another block: {there:x}, not {token:x}"));
    }
    t.close(again).map_err(|e| format!("second close: {e}"))?;
    match t.create(&name(), &options("size=64").unwrap()) {
        Err(error) if error.kind() == ErrorKind::Exists => Ok(()),
        Err(error) => Err(format!("create beside a live block: {error}")),
        Ok(_) => Err("create succeeded beside a live block".into()),
    }
}

fn name() -> Name {
    Name::new("one name").unwrap()
}
