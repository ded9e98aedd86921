//! Named shared memory and channels over it (`shm://`).
#![allow(dead_code, unused_imports)]

#[cfg(not(loom))]
mod channel;
mod primitive;
#[cfg(not(loom))]
mod rendezvous;
mod ring;
#[cfg(not(loom))]
mod sys;
