//! Files of the private directory, and memory that is handed over.

use std::time::Instant;

use anyipc::Operation;
use anyipc_memory::Map;
use anyipc_os::{Dir, Scope};

use super::{Found, Leftovers, Setting, spread, unique, url};
use crate::facts::files_of_the_private_directory;
use crate::outcome::Outcome;
use crate::sys;

pub(super) fn made_and_removed(setting: &Setting) -> Found {
    const FILES: usize = 300;
    let before = files_of_the_private_directory();
    let mut times = Vec::new();
    for number in 0..FILES {
        let url = url(setting.scheme);
        let start = Instant::now();
        let made = anyipc::create(format!("{url}?size=64KiB")).and_then(|creator| {
            creator.block()?.write_at(0, &[1; 4096])?;
            anyipc::open(&url)?.close()?;
            creator.close()
        });
        made.map_err(|error| format!("block {number} of {FILES}: {error}"))?;
        times.push(start.elapsed());
    }
    let left = Leftovers::since(&before);
    let detail =
        format!("{FILES} blocks made and removed, {}; {}", spread(&mut times), left.describe());
    Ok(if left.found == 0 {
        Outcome::passed(format!("no: {detail}"))
    } else {
        Outcome::failed(format!("yes: {detail}"))
    })
}

pub(super) fn nameless(_: &Setting) -> Found {
    const TEXT: &[u8] = b"complete";
    let (directory, name) = (Dir::open(Scope::User, Operation::Create)?, unique());
    let file = match directory.nameless_file() {
        Ok(file) => file,
        Err(error) => {
            return Ok(Outcome::passed(format!(
                "no: {error}; objects are made under a temporary name"
            )));
        }
    };
    file.write_all_at(TEXT, 0)?;
    if let Err(error) = directory.link_nameless(&file, &name) {
        return Ok(Outcome::passed(format!(
            "no hard links: {error}; objects are made under a temporary name"
        )));
    }
    let taken = directory.link_nameless(&file, &name);
    drop(file);
    let mut bytes = [0; TEXT.len()];
    let read = directory.open_file(&name).and_then(|file| file.read_at(&mut bytes, 0));
    directory.unlink(&name)?;
    let (read, gone) = (read?, directory.stat(&name).is_err());
    let refused = taken.is_err();
    let detail = format!(
        "yes; a second link to the name was refused: {refused}; {read} bytes read after the close; \
         gone after the removal: {gone}"
    );
    let fine = refused && gone && bytes == TEXT;
    Ok(if fine { Outcome::passed(detail) } else { Outcome::failed(detail) })
}

pub(super) fn size_of_handed_over_memory(_: &Setting) -> Found {
    const LEN: usize = 64 << 10;
    let memory = anyipc_memory::anonymous(LEN, LEN)?;
    let map = Map::new(&memory, LEN)?;
    let mut said = Vec::new();
    let mut cut = false;
    for (what, len) in [("half as long", LEN / 2), ("twice as long", 2 * LEN)] {
        let refused = sys::set_len(&memory, len);
        cut |= memory.status()?.size < LEN as u64;
        said.push(match refused {
            Ok(()) => format!("{what}: done"),
            Err(error) => format!("{what}: refused ({error})"),
        });
    }
    drop(map);
    let detail = format!("making it {}", said.join(", "));
    if cut && sys::AS_MACOS {
        return Ok(Outcome::skipped("only macOS itself sets the size of shm_open memory once"));
    }
    Ok(if cut { Outcome::failed(detail) } else { Outcome::passed(detail) })
}
