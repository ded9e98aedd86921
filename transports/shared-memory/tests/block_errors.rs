//! Each of the five error values, and everything foreign or broken at a block's path.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]
#![cfg(any(target_os = "linux", windows))]

mod block_process;

use std::io::{Seek, SeekFrom, Write};
#[cfg(unix)]
use std::{os::unix::fs::PermissionsExt, process::Command};

use block_process::Place;

#[test]
fn process() {
    block_process::serve();
}

#[test]
fn minus_1_the_name_exists() {
    let place = Place::new();
    let (mut one, mut two) = (place.spawn(), place.spawn());
    one.ok("create a block size=10");
    let text = two.fails("create a block size=10", "exists", -1);
    assert!(text.contains("SM_CREATE_EXIST (-1)"), "{text}");
    two.fails("lpsz a block text", "exists", -1);
    // Also when the block has no owner any more.
    two.ok("open a block ");
    one.exit();
    two.fails("create b block size=10", "exists", -1);
}

#[test]
fn minus_2_it_cannot_be_created() {
    let place = Place::new();
    let mut process = place.spawn();
    process.fails("create a block size=0", "invalid_option", -2);
    process.fails("create a block size=10,scope=system", "unsupported", -2);
    process.ok("create a block size=1");
    process.ok("close a");
    std::fs::remove_dir(place.private()).unwrap();
    std::fs::write(place.private(), "").unwrap();
    process.ask("create a block size=10").strip_prefix("err").expect("a file is no directory");
}

/// Modes and links are Unix's. (That another user's access list is refused needs a second user.)
#[cfg(unix)]
#[test]
fn minus_2_the_private_directory_is_not_private() {
    let place = Place::new();
    let mut process = place.spawn();
    process.ok("create a block size=1");
    process.ok("close a");
    std::fs::set_permissions(place.private(), PermissionsExt::from_mode(0o770)).unwrap();
    let text = process.fails("create a block size=10", "permission_denied", -2);
    assert!(text.contains("0700") && text.contains("ANYIPC_DIR"), "{text}");
    std::fs::remove_dir(place.private()).unwrap();
    std::os::unix::fs::symlink("/tmp", place.private()).unwrap();
    process.ask("create a block size=10").strip_prefix("err").expect("a link is not followed");
    assert!(!place.block("block").exists());
}

#[test]
fn minus_3_there_is_nothing_to_open() {
    let place = Place::new();
    let mut process = place.spawn();
    let text = process.fails("open a block ", "not_found", -3);
    assert!(text.contains("SM_OPEN_FAIL (-3)"), "{text}");
    process.ok("create a block size=10");
    process.fails("open b block size=11", "mismatch", -3);
    process.ok("close a");
    process.fails("open a block ", "not_found", -3);
}

#[test]
fn minus_4_the_memory_is_exhausted() {
    let place = Place::new();
    let mut process = place.spawn();
    let text = process.fails(&format!("create a block size={}", usize::MAX), "out_of_memory", -4);
    assert!(text.contains("SM_MEM_FAIL (-4)"), "{text}");
    process.fails(&format!("create a block size={}", isize::MAX), "out_of_memory", -4);
    process.fails(&format!("create a block size={}", 1u64 << 50), "out_of_memory", -4);
    assert_eq!(place.files(), [""; 0]);
}

/// `ulimit` is Unix's.
#[cfg(unix)]
#[test]
fn minus_4_a_limit_is_no_signal() {
    let place = Place::new();
    let mut process = place.spawn();
    // A limit on the size of files must not become a signal.
    let mut limited = place.spawn_in_shell("ulimit -f 64; exec \"$@\"");
    limited.fails("create a block size=1MiB", "out_of_memory", -4);
    limited.ok("create a block size=4KiB");
    limited.exit();

    // A limit on the address space: created elsewhere, too large to map here.
    process.ok("create big big size=512MiB");
    let mut limited = place.spawn_in_shell("ulimit -v 400000; exec \"$@\"");
    limited.fails("open a big ", "out_of_memory", -4);
    limited.exit();
    process.ok("close big");
    assert_eq!(place.files(), [""; 0]);
}

/// A small disk can be mounted on Linux only.
#[cfg(target_os = "linux")]
#[test]
fn minus_4_the_disk_is_full() {
    let place = Place::new();
    let mount = "mount -t tmpfs -o size=256k,mode=0700 none \"$ANYIPC_DIR\"";
    let allowed = |how: &str| {
        let probe = format!("mkdir -p \"$ANYIPC_DIR\" && unshare {how} sh -c '{mount}'");
        Command::new("sh")
            .args(["-c", &probe])
            .env("ANYIPC_DIR", place.base())
            .output()
            .unwrap()
            .status
            .success()
    };
    let Some(how) = ["-m", "-rm"].into_iter().find(|how| allowed(how)) else {
        println!("no mount namespace for this user: the full disk is not tested");
        return;
    };
    let mut process = place
        .spawn_in_shell(&format!("exec unshare {how} sh -c '{mount} && exec \"$@\"' sh \"$@\""));
    process.fails("create a block size=1MiB", "out_of_memory", -4);
    assert_eq!(process.ok("list"), "", "a failed create leaves nothing");
    // Together with the owner's lock file, what is left after others took their share counts.
    process.ok("create a first size=128KiB");
    process.fails("create b second size=128KiB", "out_of_memory", -4);
    process.ok("write a 131071 x");
    process.ok("close a");
    process.ok("create b second size=128KiB");
}

/// Removes a file that a process has open. Under Wine a removed name stays until then.
fn remove_underneath(path: &std::path::Path) {
    let aside = path.with_extension("aside");
    std::fs::rename(path, &aside).unwrap();
    std::fs::remove_file(aside).unwrap();
}

#[test]
fn minus_5_the_status_cannot_be_read() {
    let place = Place::new();
    let mut process = place.spawn();
    // Removed underneath.
    process.ok("create a block size=10");
    remove_underneath(&place.block("block"));
    process.ok("write a 0 still-ours");
    let text = process.fails("close a", "stat_failed", -5);
    assert!(text.contains("SM_STAT_FAIL (-5)"), "{text}");
    // Replaced underneath: the new one is not ours to remove.
    process.ok("create a block size=10");
    remove_underneath(&place.block("block"));
    std::fs::write(place.block("block"), "someone else's").unwrap();
    process.fails("close a", "stat_failed", -5);
    assert_eq!(std::fs::read(place.block("block")).unwrap(), b"someone else's");
    std::fs::remove_file(place.block("block")).unwrap();
    // The whole directory is gone: on Windows it stays while a file in it is open.
    if cfg!(unix) {
        process.ok("create a block size=10");
        std::fs::remove_dir_all(place.private()).unwrap();
        process.fails("close a", "stat_failed", -5);
    }
    // Each was released all the same.
    if let Ok(maps) = std::fs::read_to_string(format!("/proc/{}/maps", process.pid())) {
        assert!(!maps.contains("anyipc-test"));
    }
    process.ok("create a block size=10");
}

#[test]
fn what_is_foreign_is_an_error_and_stays() {
    let place = Place::new();
    let mut process = place.spawn();
    process.ok("create a live size=1");
    let path = place.block("block");
    let foreign: &[(&str, &dyn Fn())] = &[
        ("directory", &|| std::fs::create_dir(&path).unwrap()),
        #[cfg(unix)]
        ("FIFO", &|| assert!(Command::new("mkfifo").arg(&path).status().unwrap().success())),
        #[cfg(unix)]
        ("symbolic link", &|| std::os::unix::fs::symlink(place.block("live"), &path).unwrap()),
        #[cfg(unix)]
        ("symbolic link", &|| std::os::unix::fs::symlink("/nowhere", &path).unwrap()),
        #[cfg(unix)]
        ("socket", &|| drop(std::os::unix::net::UnixListener::bind(&path).unwrap())),
        ("does not start", &|| std::fs::write(&path, "").unwrap()),
    ];
    for (what, make) in foreign {
        make();
        for (command, code) in [
            ("open b block ", -3),
            ("create b block size=10", -2),
            ("create b block size=10,create=open_or_create", -2),
        ] {
            let text = process.fails(command, "corrupt", code);
            assert!(text.contains(what) && text.contains(path.to_str().unwrap()), "{text}");
        }
        let looked = process.ok("sweep fix");
        assert!(looked.contains("block:invalid:?:[]"), "{looked}");
        assert!(path.symlink_metadata().is_ok(), "{what} must stay");
        process.fails("remove block no", "corrupt", 0);
        if path.symlink_metadata().unwrap().is_dir() {
            std::fs::remove_dir(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
    }
    process.ok("create b block size=10");
}

/// Numbers of users are Unix's.
#[cfg(unix)]
#[test]
fn another_users_file_is_refused() {
    let place = Place::new();
    let mut process = place.spawn();
    process.ok("create a live size=1");
    std::fs::copy(place.block("live"), place.block("block")).unwrap();
    if std::os::unix::fs::chown(place.block("block"), Some(65534), None).is_err() {
        println!("not root: another user's file is not tested");
        return;
    }
    process.fails("open b block ", "permission_denied", -3);
    process.fails("create b block size=10", "permission_denied", -2);
    process.ok("sweep fix");
    process.fails("remove block force", "permission_denied", 0);
    assert!(place.block("block").exists());
}

#[test]
fn broken_files_are_named_errors() {
    let place = Place::new();
    let mut process = place.spawn();
    process.ok("create a live size=5000");
    let good = std::fs::read(place.block("live")).unwrap();
    let path = place.block("block");
    // Where the header's fields lie: layout, flags, start, size, length of the name, name.
    // A size whose lower half alone would be right: 32-bit processes do not cut it.
    let beyond = if usize::BITS < 64 { "mismatch" } else { "corrupt" };
    let fields: [(u64, &[u8], &str); 9] = [
        (0, b"x", "corrupt"),
        (8, &[9], "mismatch"),
        (12, &[0x80], "corrupt"),
        (16, &[1], "corrupt"),
        (24, &[0; 8], "corrupt"),
        (24, &[0xff; 8], "corrupt"),
        (24, &[0x88, 0x13, 0, 0, 1, 0, 0, 0], beyond),
        (32, &[0xff; 8], "corrupt"),
        (40, b"/", "corrupt"),
    ];
    for (offset, bytes, kind) in fields {
        std::fs::write(&path, &good).unwrap();
        let mut file = std::fs::File::options().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(bytes).unwrap();
        drop(file);
        process.fails("open b block ", kind, -3);
        process.fails("create b block size=10", kind, -2);
        assert!(path.exists(), "a damaged file stays, offset {offset}");
    }
    // Cut off anywhere, or longer than it says.
    for len in (0..400).step_by(7).chain([4095, 4096, good.len() - 1, good.len() + 1]) {
        let mut cut = good.clone();
        cut.resize(len, 0);
        std::fs::write(&path, &cut).unwrap();
        process.fails("open b block ", "corrupt", -3);
    }
    // A stale but whole copy under another name's path: it has no holder, so it is reclaimed.
    std::fs::write(&path, &good).unwrap();
    process.fails("open b block ", "not_found", -3);
    assert!(!path.exists());
    // A live one there is a collision of names.
    std::fs::hard_link(place.block("live"), &path).unwrap();
    let text = process.fails("open b block ", "name_collision", -3);
    assert!(text.contains("live"), "{text}");
    process.fails("create b block size=10", "name_collision", -2);
}
