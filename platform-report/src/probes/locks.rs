//! Locks that show which processes live.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyipc::Operation;
use anyipc_os::{
    Dir, Fd, Lock, Scope, hold, is_held, is_number_locked, try_lock, try_lock_number,
    try_write_lock, unlock, unlock_number, write_unlock,
};

use super::{Found, Setting, describe, retried, unique};
use crate::helper::{Helper, Orders, say};
use crate::outcome::Outcome;

/// A file to lock, which is removed in the end.
struct File {
    directory: Dir,
    name: String,
    file: Fd,
}

impl File {
    fn new() -> Result<Self, Box<dyn Error>> {
        let (directory, name) = (Dir::open(Scope::User, Operation::Create)?, unique());
        let file = directory.create_file(&name)?;
        Ok(Self { directory, name, file })
    }

    fn again(&self) -> io::Result<Fd> {
        self.directory.open_file(&self.name)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = self.directory.unlink(&self.name);
    }
}

/// The locks: the word for [`lock`], and whether another handle finds each free.
type IsFree = fn(&Fd) -> io::Result<bool>;
const LOCKS: &[(&str, IsFree)] = &[
    ("exclusive", |file| taken_and_freed(try_lock(file, Lock::Shared)?, || unlock(file))),
    ("shared", |file| taken_and_freed(try_lock(file, Lock::Exclusive)?, || unlock(file))),
    ("hold", |file| is_held(file).map(|held| !held)),
    ("write", |file| taken_and_freed(try_write_lock(file)?, || write_unlock(file))),
    ("number", |file| {
        let free = taken_and_freed(try_lock_number(file, 3)?, || unlock_number(file, 3))?;
        if is_number_locked(file, 3)? == free || is_number_locked(file, 4)? {
            return Err(io::Error::other("looking at a number and locking it differ"));
        }
        Ok(free)
    }),
];

fn taken_and_freed(taken: bool, free: impl FnOnce()) -> io::Result<bool> {
    if taken {
        free();
    }
    Ok(taken)
}

fn take(file: &Fd, lock: &str) -> io::Result<bool> {
    match lock {
        "exclusive" => try_lock(file, Lock::Exclusive),
        "shared" => try_lock(file, Lock::Shared),
        "hold" => hold(file).map(|()| true),
        "write" => try_write_lock(file),
        _ => try_lock_number(file, 3),
    }
}

/// The part of a process that holds a lock until it is killed.
pub(super) fn lock(name: &str, lock: &str, orders: &Orders) -> Result<(), Box<dyn Error>> {
    let file = Dir::open(Scope::User, Operation::Open)?.open_file(name)?;
    say(if take(&file, lock)? { "taken" } else { "refused" });
    orders.wait()
}

pub(super) fn between_processes(_: &Setting) -> Found {
    let file = File::new()?;
    for (lock, is_free) in LOCKS {
        let fault = |what| Ok(Outcome::failed(format!("{lock}: {what}")));
        if !is_free(&file.file)? {
            return fault("locked before anything locked it");
        }
        let mut holder = Helper::start(["lock", &file.name, lock])?;
        holder.expect("taken")?;
        if is_free(&file.file)? {
            return fault("free while another process holds it");
        }
        if *lock == "shared" {
            if !try_lock(&file.file, Lock::Shared)? {
                return fault("not shared");
            }
            unlock(&file.file);
        }
        holder.kill()?;
        retried(|| Ok(is_free(&file.file)?)).map_err(|error| format!("{lock}: {error}"))?;
    }
    Ok(Outcome::passed("yes: exclusive, shared, holders, writers and numbers"))
}

pub(super) fn between_handles(_: &Setting) -> Found {
    for (lock, is_free) in LOCKS {
        let file = File::new()?;
        let (holder, other) = (file.again()?, file.again()?);
        if !take(&holder, lock)? {
            return Ok(Outcome::failed(format!("{lock}: not free at first")));
        }
        if is_free(&other)? {
            return Ok(Outcome::failed(format!("{lock}: free while another handle holds it")));
        }
        drop(holder);
        if !is_free(&other)? {
            return Ok(Outcome::failed(format!("{lock}: held by a handle that was closed")));
        }
    }
    Ok(Outcome::passed("yes: exclusive, shared, holders, writers and numbers"))
}

pub(super) fn after_death(setting: &Setting) -> Found {
    let mut said = Vec::new();
    for (lock, is_free) in LOCKS {
        let mut all = Vec::new();
        for _ in 0..setting.kills.div_ceil(2) {
            let file = File::new()?;
            let mut holder = Helper::start(["lock", &file.name, lock])?;
            holder.expect("taken")?;
            holder.kill()?;
            all.push(retried(|| Ok(is_free(&file.file)?)).map_err(|e| format!("{lock}: {e}"))?);
        }
        said.push(format!("{lock}: {}", describe(&all)));
    }
    Ok(Outcome::passed(said.join("; ")))
}

pub(super) fn looking(_: &Setting) -> Found {
    const LOOKS: usize = 2000;
    let file = File::new()?;
    let (one, other) = (file.again()?, file.again()?);
    let over = AtomicBool::new(false);
    let mistaken = thread::scope(|scope| -> io::Result<usize> {
        let beside = scope.spawn(|| -> io::Result<usize> {
            let mut mistaken = 0;
            while !over.load(Ordering::Relaxed) {
                mistaken += usize::from(is_held(&other)?);
            }
            Ok(mistaken)
        });
        let mut mistaken = 0;
        let mut failed = None;
        for _ in 0..LOOKS {
            match is_held(&one) {
                Ok(held) => mistaken += usize::from(held),
                Err(error) => failed = Some(error),
            }
        }
        over.store(true, Ordering::Relaxed);
        let beside = beside.join().unwrap_or_else(|_| Err(io::Error::other("a panic")))?;
        failed.map_or(Ok(mistaken + beside), Err)
    })?;
    // A holder that comes while another process looks is not refused.
    hold(&one)?;
    let seen = is_held(&other)?;
    let detail = format!(
        "{mistaken} of {LOOKS} looks and more beside another saw a holder where there was none; \
         a real one was seen: {seen}"
    );
    Ok(if mistaken == 0 && seen { Outcome::passed(detail) } else { Outcome::failed(detail) })
}
