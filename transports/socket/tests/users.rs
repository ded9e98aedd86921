//! `scope=system`: real processes of several users. The tests need root to become these users;
//! without root they say so and pass.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyipc_core::{Endpoint as _, Error, ErrorKind, Name, Options, Transport};
use anyipc_socket::Local;
use common::{accept_for, failed, hello, meet, options, recv, send};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

const ROLE: &str = "ANYIPC_TEST_ROLE";
const OWNER: u32 = 64_101;
const ALLOWED: u32 = 64_102;
const OTHER: u32 = 64_103;
/// How long unauthorised peers connect again and again.
const SIEGE: Duration = Duration::from_secs(3);

/// Makes this thread that user's for good, without the rights of root.
fn become_user(id: u32) {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(gid, gid, gid).unwrap();
    set_thread_res_uid(uid, uid, uid).unwrap();
}

/// Writes a line for the parent to stderr, with a mark that other output does not have.
fn say(line: &str) {
    std::io::stderr().write_all(format!("@ {line}\n").as_bytes()).unwrap();
}

fn say_error(error: &Error) {
    say(&format!("{} {error}", error.kind().as_str()));
}

/// Runs in the child, as `<role> <user> <allow_uid>`; in the parent it does nothing.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<_> = role.split(' ').collect();
    match words[0] {
        "elevated" => return elevated(words[1].parse().unwrap()),
        "private" => {
            let owner =
                Local.create(&Name::new("private").unwrap(), &options(&Local, &[])).unwrap();
            say("ready");
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            return drop(owner);
        }
        "intruder" => return intrude(words[1].parse().unwrap(), Path::new(words[3])),
        _ => {}
    }
    become_user(words[1].parse().unwrap());
    let mut pairs = vec![("scope", "system")];
    pairs.extend((words[2] != "-").then_some(("allow_uid", words[2])));
    let (options, name) = (options(&Local, &pairs), Name::new("shared").unwrap());
    match words[0] {
        "besieged" => return besieged(&name, &options),
        "besieger" => return besiege(words[3]),
        _ => {}
    }
    if words[0] == "owner" {
        let owner = match Local.create(&name, &options) {
            Ok(owner) => owner,
            Err(error) => return say_error(&error),
        };
        say("ready");
        let (mut sender, mut receiver, peer) = meet(&owner, hello("local")).unwrap();
        assert_eq!(recv(&mut receiver).unwrap(), b"identify yourself");
        send(&mut sender, words[1].as_bytes()).unwrap();
        let rejections = owner.rejections();
        say(&format!("peer {} {} {:?}", peer.uid.unwrap(), rejections.count, rejections.last));
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let met = Local.open(&name, &options).and_then(|endpoint| meet(&endpoint, hello("local")));
    match met {
        Ok((mut sender, mut receiver, peer)) => {
            send(&mut sender, b"identify yourself").unwrap();
            let answer = String::from_utf8(recv(&mut receiver).unwrap()).unwrap();
            say(&format!("met {answer} {}", peer.uid.unwrap()));
        }
        Err(error) => say_error(&error),
    }
}

/// As a set-user-ID program: the real user differs from the effective user.
fn elevated(id: u32) {
    let (real, effective) = (rustix::process::getuid(), Uid::from_raw(id));
    set_thread_res_uid(real, effective, effective).unwrap();
    let name = Name::new("elevated").unwrap();
    match Local.create(&name, &options(&Local, &[])) {
        Ok(_) => say("made"),
        Err(error) => say_error(&error),
    }
}

/// What a user reaches of another user's directory and socket.
fn intrude(id: u32, socket: &Path) {
    become_user(id);
    let errors = [
        UnixStream::connect(socket).map(drop),
        std::fs::read_dir(socket.parent().unwrap()).map(drop),
        std::fs::File::open(socket).map(drop),
        std::fs::remove_file(socket),
        std::fs::write(socket.with_extension("new"), b""),
    ];
    let denied = |done: &std::io::Result<()>| {
        done.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    };
    say(&format!("denied {}", errors.iter().filter(|done| denied(done)).count()));
}

/// Accepts while unauthorised peers connect again and again; says how long the longest call took.
fn besieged(name: &Name, options: &Options) {
    let owner = Local.create(name, options).unwrap();
    // A call that never ends must fail the test, not hang it.
    std::thread::spawn(|| {
        std::thread::sleep(10 * SIEGE);
        std::process::exit(1);
    });
    say("ready");
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < SIEGE {
        let call = Instant::now();
        assert!(!accept_for(&owner, "local", Duration::from_millis(100)));
        longest = longest.max(call.elapsed());
    }
    say(&format!("{} {}", longest.as_millis(), owner.rejections().count));
}

/// Connects again and again, until the process is killed.
fn besiege(path: &str) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let _ = UnixStream::connect(path);
                }
            });
        }
    });
}

/// A directory in which all users find each other.
struct Place(PathBuf);

impl Place {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("NOT TESTED: only root can become other users");
            return None;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/anyipc-users-{}-{serial}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o1777)).unwrap();
        Some(Self(path))
    }

    fn shared(&self, user: u32) -> PathBuf {
        self.0.join(format!("anyipc-{user}-shared"))
    }

    fn start(&self, role: &str, user: u32, allow: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{role} {user} {allow}"))
            .env("ANYIPC_DIR", &self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Process { child, lines }
    }

    /// Starts an opener. Returns what it reports.
    fn open(&self, user: u32, allow: &str) -> String {
        self.start("opener", user, allow).reported()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Process {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Process {
    /// The next line for the parent.
    fn reported(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the child ended: {all}");
            match line.trim_end().strip_prefix("@ ") {
                Some(line) => return line.to_owned(),
                None => all.push_str(&line),
            }
        }
    }
}

impl Process {
    /// Lets it end in order.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_users_that_are_named_meet_and_others_are_refused_and_counted() {
    let Some(place) = Place::new() else { return };
    let mut owner = place.start("owner", OWNER, &format!("{ALLOWED},7"));
    assert_eq!(owner.reported(), "ready");
    // An opener that does not name the owner's user does not find it. One that the owner does not
    // name is rejected.
    assert!(place.open(ALLOWED, "-").starts_with("not_found "));
    for other in [OTHER, OTHER + 1, 0] {
        let refused = place.open(other, &OWNER.to_string());
        let why = format!("user {other} may not connect to user {OWNER}");
        assert!(refused.starts_with("permission_denied ") && refused.contains(&why), "{refused}");
    }
    assert_eq!(place.open(ALLOWED, &format!("9,{OWNER}")), format!("met {OWNER} {OWNER}"));
    let report = owner.reported();
    // An opener first connects to see whether the owner lives, which is rejected and counted, too.
    assert!(
        report.starts_with(&format!("peer {ALLOWED} 6 ")) && report.contains("user 0 may not"),
        "{report}"
    );
    owner.end();
    assert_eq!(std::fs::read_dir(place.shared(OWNER)).unwrap().count(), 0, "nothing is left");
    assert!(place.open(ALLOWED, &OWNER.to_string()).starts_with("not_found "));
}

/// Each is rejected at once, so they fill no list that would bound them.
#[test]
fn unauthorised_peers_without_end_hold_no_call() {
    let Some(place) = Place::new() else { return };
    let mut owner = place.start("besieged", OWNER, &ALLOWED.to_string());
    assert_eq!(owner.reported(), "ready");
    let files = std::fs::read_dir(place.shared(OWNER)).unwrap().map(|entry| entry.unwrap().path());
    let socket =
        files.filter(|path| path.extension().is_some_and(|end| end == "sock")).last().unwrap();
    let _besieger = place.start("besieger", OTHER, &format!("- {}", socket.display()));
    let report = owner.reported();
    let (longest, rejections) = report.split_once(' ').unwrap();
    assert!(rejections.parse::<u64>().unwrap() > 1000, "{report}");
    assert!(longest.parse::<u64>().unwrap() < 1500, "a call of 100 ms took {longest} ms");
}

#[test]
fn processes_of_one_user_need_no_names() {
    let Some(place) = Place::new() else { return };
    let mut owner = place.start("owner", OWNER, "-");
    assert_eq!(owner.reported(), "ready");
    assert!(place.open(ALLOWED, &OWNER.to_string()).starts_with("permission_denied "));
    assert_eq!(place.open(OWNER, "-"), format!("met {OWNER} {OWNER}"));
}

#[test]
fn a_set_user_id_program_does_not_honour_the_callers_directory() {
    let Some(place) = Place::new() else { return };
    let said = place.start("elevated", OWNER, "-").reported();
    assert!(said.starts_with("permission_denied ") && said.contains("set-user-ID"), "{said}");
}

#[test]
fn another_user_reaches_nothing_of_a_private_directory() {
    let Some(place) = Place::new() else { return };
    // This process is root, and the owner.
    let directory = place.0.join("anyipc-0");
    let mut owner = place.start("private", 0, "-");
    assert_eq!(owner.reported(), "ready");
    let socket = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let socket =
        socket.into_iter().find(|path| path.extension().is_some_and(|end| end == "sock")).unwrap();
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(
        place.start("intruder", OTHER, &format!("- {}", socket.display())).reported(),
        "denied 5"
    );
}

/// Makes the directory of a user before the user does.
fn squat(place: &Place, user: u32, mode: u32) {
    std::fs::DirBuilder::new().mode(0o700).create(place.shared(OWNER)).unwrap();
    chown(place.shared(OWNER), Some(user), Some(user)).unwrap();
    std::fs::set_permissions(place.shared(OWNER), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_others_made_or_may_write_to_is_refused() {
    for (user, mode) in [(OTHER, 0o711), (OWNER, 0o731), (OWNER, 0o713), (OWNER, 0o777)] {
        let Some(place) = Place::new() else { return };
        squat(&place, user, mode);
        for result in
            [place.open(ALLOWED, &OWNER.to_string()), place.start("owner", OWNER, "-").reported()]
        {
            assert!(result.starts_with("permission_denied "), "{user} {mode:o}: {result}");
        }
    }
    let Some(place) = Place::new() else { return };
    std::os::unix::fs::symlink("/dev/shm", place.shared(OWNER)).unwrap();
    assert!(!place.open(ALLOWED, &OWNER.to_string()).starts_with("met"));
    assert!(!place.start("owner", OWNER, "-").reported().starts_with("ready"));
}

#[test]
fn an_owner_that_is_none_of_those_named_is_refused() {
    let Some(place) = Place::new() else { return };
    squat(&place, OWNER, 0o711);
    let path: &Path =
        &place.shared(OWNER).join(format!("local+{}.sock", Name::new("shared").unwrap().os_name()));
    // A listener of root, in a directory of the named user.
    let _listener = UnixListener::bind(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = place.open(ALLOWED, &OWNER.to_string());
    assert!(
        refused.starts_with("permission_denied ") && refused.contains("the owner is user 0"),
        "{refused}"
    );
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let name = common::name("senseless");
    for (pairs, word) in [
        (&[("allow_uid", "5")][..], "scope=system"),
        (&[("scope", "system"), ("allow_uid", "five")], "numbers"),
        (&[("scope", "system"), ("allow_uid", "5,")], "numbers"),
    ] {
        for result in [
            Local.create(&name, &options(&Local, pairs)),
            Local.open(&name, &options(&Local, pairs)),
        ] {
            let error = failed(result);
            assert_eq!(error.kind(), ErrorKind::InvalidOption);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
    let text = Local.alloc_lpsz(&name, b"text", &options(&Local, &[("scope", "system")]));
    assert_eq!(failed(text).kind(), ErrorKind::Unsupported);
}
