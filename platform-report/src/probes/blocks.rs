//! Named memory, while others have it mapped.

use std::error::Error;
use std::time::Instant;

use anyipc::{ErrorKind, Registry};

use super::{Found, Leftovers, Setting, Tries, describe, retried, time, url};
use crate::facts::files_of_the_private_directory;
use crate::helper::{Helper, Orders, say};
use crate::outcome::Outcome;
use crate::sys;

pub(super) fn removed_while_mapped(setting: &Setting) -> Found {
    let before = files_of_the_private_directory();
    let url = url(setting.scheme);
    let creator = anyipc::create(format!("{url}?size=64KiB"))?;
    creator.block()?.write_at(0, &[7])?;
    let mut holder = Helper::start(["hold", &url])?;
    holder.expect("holding")?;
    let start = Instant::now();
    Registry::global().remove(&url, true)?;
    let took = start.elapsed();
    let second = anyipc::create(format!("{url}?size=4KiB"))
        .map_err(|error| format!("removed, but the name is not free: {error}"))?;
    holder.tell("read")?;
    holder.expect("7")?;
    holder.tell("close")?;
    holder.expect("closed")?;
    drop(holder);
    drop((creator, second));
    let left = Leftovers::since(&before);
    let detail = format!(
        "removed in {}, the name was free at once, its holder read on; {}",
        time(took),
        left.describe()
    );
    Ok(if left.after_sweep == 0 { Outcome::passed(detail) } else { Outcome::failed(detail) })
}

/// The part of a process that holds a block.
pub(super) fn hold(url: &str, orders: &Orders) -> Result<(), Box<dyn Error>> {
    let holder = anyipc::open(url)?;
    say("holding");
    loop {
        match orders.next().as_str() {
            "read" => {
                let mut byte = [0];
                holder.block()?.read_at(0, &mut byte)?;
                say(byte[0]);
            }
            "close" => break,
            _ => {}
        }
    }
    // Its name may have been removed, which close reports.
    let _ = holder.close();
    say("closed");
    orders.wait()
}

/// The part of a process that makes a block and is killed.
pub(super) fn create(url: &str, orders: &Orders) -> Result<(), Box<dyn Error>> {
    let creator = anyipc::create(format!("{url}?size=1MiB"))?;
    // Its pages are there.
    for page in 0..256 {
        creator.block()?.write_at(page * 4096, &[1])?;
    }
    say("ready");
    orders.wait()
}

pub(super) fn name_after_the_last_death(setting: &Setting) -> Found {
    let mut all = Vec::new();
    for _ in 0..setting.kills {
        let url = url(setting.scheme);
        let mut creator = Helper::start(["create", &url])?;
        creator.expect("ready")?;
        creator.kill()?;
        all.push(free_again(&format!("{url}?size=4KiB"))?);
    }
    Ok(Outcome::passed(format!("yes: {}", describe(&all))))
}

/// Creates an object at an address that was used until just now.
pub(super) fn free_again(url: &str) -> Result<Tries, Box<dyn Error>> {
    retried(|| match anyipc::create(url) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::Exists | ErrorKind::Busy) => Ok(false),
        Err(error) => Err(error.into()),
    })
}

pub(super) fn survivor_keeps_the_block(setting: &Setting) -> Found {
    let url = url(setting.scheme);
    let survivor = anyipc::create(format!("{url}?size=64KiB"))?;
    survivor.block()?.write_at(0, &[9])?;
    for _ in 0..setting.kills {
        let mut holder = Helper::start(["hold", &url])?;
        holder.expect("holding")?;
        holder.kill()?;
        let mut byte = [0];
        anyipc::open(&url)?.block()?.read_at(0, &mut byte)?;
        if byte != [9] {
            return Ok(Outcome::failed(format!("its first byte became {}", byte[0])));
        }
    }
    survivor.close()?;
    let after = free_again(&format!("{url}?size=4KiB"))?;
    let (kills, took) = (setting.kills, time(after.took));
    Ok(Outcome::passed(format!(
        "yes, {kills} times; its name was free {took} after the last close"
    )))
}

pub(super) fn forked_child(setting: &Setting) -> Found {
    let url = url(setting.scheme);
    let creator = anyipc::create(format!("{url}?size=64KiB"))?;
    creator.block()?.write_at(0, &[5])?;
    let block = creator.block()?;
    let told = sys::forked(|| {
        let refused = block.read_at(0, &mut [0]);
        refused.is_err_and(|error| error.kind() == ErrorKind::Forked)
    })?;
    let touched = sys::forked(|| sys::peek(block.as_ptr()))?;
    let ours = block.read_at(0, &mut [0]).is_ok();
    creator.close()?;
    let detail = format!("calls there are refused: {told}; reading its address: {touched}");
    let fine = told.ends_with("status: 0") && touched.starts_with("signal") && ours;
    Ok(if fine { Outcome::passed(detail) } else { Outcome::failed(detail) })
}
