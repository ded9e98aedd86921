//! Named shared memory and channels over it (`shm://`).
#![allow(dead_code, unused_imports)]

mod sys;
