//! The instructions that one message costs its sender and its receiver, through the facade by
//! address.
//!
//! `benches/instructions.sh` runs this under valgrind, which counts inside of [`sends`] and
//! [`receives`] only. The counts do not depend on other programs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

use std::hint::black_box;

use anyipc::Channel;

/// Messages of a round: the ring holds them all, because both ends belong to one thread.
const ROUND: usize = 200;
const ROUNDS: usize = 50;

#[inline(never)]
fn sends(channel: &mut Channel, message: &[u8; 64]) {
    for _ in 0..ROUND {
        channel.send(black_box(message)).unwrap();
    }
}

#[inline(never)]
fn receives(channel: &mut Channel, buffer: &mut Vec<u8>) {
    for _ in 0..ROUND {
        channel.recv_into(black_box(&mut *buffer)).unwrap();
    }
}

fn main() {
    let url = format!("shm://instructions-{}?capacity=64KiB", std::process::id());
    let owner = anyipc::create(&url).unwrap();
    let connecting = std::thread::spawn(move || anyipc::connect(&url).unwrap());
    let mut receiver = owner.accept().unwrap();
    let mut sender = connecting.join().unwrap();
    let message = [7; 64];
    let mut buffer = Vec::with_capacity(message.len());
    for _ in 0..ROUNDS {
        sends(&mut sender, &message);
        receives(&mut receiver, &mut buffer);
        assert_eq!(buffer, message);
    }
    println!("{} messages", ROUND * ROUNDS);
}
