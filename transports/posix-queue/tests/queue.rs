//! The kernel's queues: what they do, their limits, and that none is left behind.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use anyipc_core::{
    Attempt, Endpoint as _, ErrorKind, Hello, Name, ObjectState, Operation, Transport,
};
use anyipc_os::{Dir, Scope};
use anyipc_posix_queue::{PosixQueue, PosixQueueEndpoint, PosixQueueReceiver, PosixQueueSender};
use common::{
    WATCHDOG, Way, alone, create, drain, failed, name, open, options, recv, role, say, send, spawn,
    try_recv,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Runs in the child; in the parent it returns at once.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let name = Name::new(&role[1]).unwrap();
    match role[0].as_str() {
        "connect" => return connect_for_ever(&name),
        "elsewhere" => return meet_elsewhere(&name),
        _ => {}
    }
    let endpoint = open(&name, "");
    let mut queue = endpoint.queue().unwrap();
    for i in 0..u64::MAX {
        say(&format!("{i}"));
        send(&mut queue, Way::Thread, 0, &i.to_le_bytes()).unwrap();
        say(&format!("{i} ok"));
    }
}

/// Makes channels until it is killed.
fn connect_for_ever(name: &Name) {
    let owner = create(name, "");
    let opener = open(name, "");
    for round in 0..u64::MAX {
        drop(connect(&owner, &opener));
        if round == 0 {
            say("ready");
        }
    }
}

/// Both sides of a channel.
fn connect(
    owner: &PosixQueueEndpoint,
    opener: &PosixQueueEndpoint,
) -> [(PosixQueueSender, PosixQueueReceiver); 2] {
    let hello = || Hello { transport: "posix-mq".into(), max_message: 1 << 20, ..Hello::default() };
    let mut attempts = [Attempt::new(hello()), Attempt::new(hello())];
    let mut sides = [None, None];
    let start = Instant::now();
    while sides.iter().any(Option::is_none) {
        assert!(start.elapsed() < WATCHDOG, "no channel came about");
        for ((side, attempt), endpoint) in sides.iter_mut().zip(&mut attempts).zip([opener, owner])
        {
            if side.is_none() {
                match endpoint.try_connect(attempt) {
                    Ok((sender, receiver, _)) => *side = Some((sender, receiver)),
                    Err(error) => assert!(error.is_would_block(), "{error}"),
                }
            }
        }
    }
    sides.map(Option::unwrap)
}

/// The kernel name of the queue in a record.
fn kernel_name(name: &Name) -> String {
    name_at(name, 40)
}

/// The kernel name of a channel's queues while they are made.
fn channel_name(name: &Name) -> String {
    name_at(name, 144)
}

fn name_at(name: &Name, at: u64) -> String {
    let dir = Dir::open(Scope::User, Operation::Open).unwrap();
    let file = File::open(dir.path().join(format!("posix-mq+{}.record", name.os_name()))).unwrap();
    let mut bytes = [0; 100];
    file.read_exact_at(&mut bytes, 4096 + at).unwrap();
    String::from_utf8(bytes.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()
}

/// Makes what a death leaves between making a channel's queue and unlinking it.
fn leave_behind(kernel_name: &str) {
    let name = CString::new(kernel_name).unwrap();
    let (flags, shape) =
        (libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, std::ptr::null::<libc::mq_attr>());
    // SAFETY: the name ends with a NUL, and without a shape the kernel takes its defaults.
    let fd = unsafe { libc::mq_open(name.as_ptr(), flags, 0o600 as libc::mode_t, shape) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is fresh, and nothing else owns it.
    unsafe { libc::mq_close(fd) };
}

/// True if the kernel has a queue of this name.
fn is_there(kernel_name: &str) -> bool {
    let name = CString::new(kernel_name).unwrap();
    // SAFETY: the name ends with a NUL.
    let fd = unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY) };
    // SAFETY: a fresh descriptor that nothing else owns, or -1, for which the call fails.
    unsafe { libc::mq_close(fd) };
    fd >= 0
}

fn limit(file: &str) -> u64 {
    let mut text = String::new();
    File::open(format!("/proc/sys/fs/mqueue/{file}")).unwrap().read_to_string(&mut text).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn it_is_a_queue_like_the_others() {
    let _alone = alone();
    let name = name("queue");
    let owner = create(&name, "priorities=3&capacity=4KiB&max_message=512");
    let mut queue = owner.queue().unwrap();
    for i in 0..6u8 {
        queue.try_send(u32::from(i) % 3, &[i; 100]).unwrap();
    }
    let status = queue.status().unwrap();
    assert_eq!((status.messages, status.bytes, status.priorities), (6, 600, 3));
    let got: Vec<_> = drain(&mut queue).into_iter().map(|(priority, m)| (priority, m[0])).collect();
    assert_eq!(got, [(2, 2), (2, 5), (1, 1), (1, 4), (0, 0), (0, 3)]);
    assert_eq!(failed(queue.try_send(3, b"x")).kind(), ErrorKind::InvalidOption);
    let mut other = open(&name, "").queue().unwrap();
    while other.try_send(0, b"x").is_ok() {}
    let most = queue.status().unwrap().messages;
    assert_eq!(queue.purge().unwrap(), most);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            (0..2000u32).for_each(|i| send(&mut other, Way::Task, 0, &i.to_le_bytes()).unwrap());
        });
        for i in 0..2000u32 {
            assert_eq!(recv(&mut queue, Way::Thread).unwrap().1, i.to_le_bytes());
        }
    });
    let differs = options("priorities=2");
    assert_eq!(failed(PosixQueue.open(&name, &differs)).kind(), ErrorKind::Mismatch);
}

#[test]
fn the_kernels_limits_are_told() {
    let _alone = alone();
    let name = name("limits");
    let owner = create(&name, "");
    let mut queue = owner.queue().unwrap();
    let error = failed(queue.try_send(0, &vec![0; 100_000]));
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    let words = format!("/proc/sys/fs/mqueue/msgsize_max, {}", limit("msgsize_max"));
    assert!(error.to_string().contains(&words), "{error}");
    let name = common::name("large");
    // Above the largest limit that the kernel can be given.
    for persist in ["false", "true"] {
        let large = options(&format!("capacity=1GiB&max_message=64&persist={persist}"));
        let error = failed(PosixQueue.create(&name, &large));
        let text = error.to_string();
        assert!(
            text.contains(&format!("/proc/sys/fs/mqueue/msg_max is {}", limit("msg_max"))),
            "{text}"
        );
        assert!(PosixQueue.inspect(&name, &options("")).unwrap().is_empty(), "persist={persist}");
    }
    let error = failed(PosixQueue.create(&name, &options("full=drop-old")));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("only the oldest of the highest priority"), "{error}");
}

#[test]
fn both_sides_are_told_that_a_limit_leaves_no_channel() {
    let _alone = alone();
    let name = name("no-channel");
    let (owner, opener) = (create(&name, ""), open(&name, ""));
    let hello = || Hello { transport: "posix-mq".into(), max_message: 1 << 20, ..Hello::default() };
    let (mut accepts, mut connects) = (Attempt::new(hello()), Attempt::new(hello()));
    let usual = getrlimit(Resource::Msgqueue);
    setrlimit(Resource::Msgqueue, Rlimit { current: Some(1), ..usual }).unwrap();
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < WATCHDOG, "the connector was not told");
        assert!(owner.try_connect(&mut accepts).is_err_and(|error| error.is_would_block()));
        match opener.try_connect(&mut connects) {
            Err(error) if error.is_would_block() => {}
            done => break failed(done.map(drop)),
        }
    };
    setrlimit(Resource::Msgqueue, usual).unwrap();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    let reason = owner.rejections().last.unwrap();
    for text in [error.to_string(), reason.to_string()] {
        assert!(text.contains("ulimit -q"), "{text}");
    }
}

#[test]
fn drops_are_counted() {
    let _alone = alone();
    let owner = create(&name("drops"), "full=drop-new");
    let (mut queue, other) = (owner.queue().unwrap(), owner.queue().unwrap());
    for _ in 0..30 {
        queue.try_send(0, b"x").unwrap();
    }
    let kept = queue.status().unwrap().messages;
    assert_eq!(kept + other.status().unwrap().dropped, 30);
    let owner = create(&name("error"), "full=error");
    let mut queue = owner.queue().unwrap();
    let error = loop {
        if let Err(error) = queue.try_send(0, b"x") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Full);
}

#[test]
fn the_last_close_unlinks() {
    let _alone = alone();
    let name = name("last");
    let owner = create(&name, "");
    let kernel = kernel_name(&name);
    let opener = open(&name, "");
    let mut handle = opener.queue().unwrap();
    PosixQueue.close(owner).unwrap();
    PosixQueue.close(opener).unwrap();
    assert!(is_there(&kernel));
    handle.try_send(0, b"still here").unwrap();
    assert_eq!(try_recv(&mut *handle).unwrap().1, b"still here");
    drop(handle);
    assert!(!is_there(&kernel), "the kernel's queue was left behind");
    assert!(PosixQueue.inspect(&name, &options("")).unwrap().is_empty());
}

/// Uses a name after a total death, each round in another way.
fn reclaim(name: &Name, round: u64) {
    match round % 4 {
        0 => drop(create(name, "")),
        1 => drop(failed(PosixQueue.open(name, &options("")))),
        2 => PosixQueue.remove(name, &options(""), false).unwrap(),
        _ => drop(PosixQueue.sweep(&options(""), true).unwrap()),
    }
}

#[test]
fn total_death_is_reclaimed_by_the_next_user() {
    let _alone = alone();
    let name = name("death");
    let none = options("");
    for round in 0..9 {
        let owner = create(&name, "");
        let kernel = kernel_name(&name);
        let mut child = spawn(&format!("send {name}"));
        child.hear().unwrap();
        drop(owner);
        child.kill();
        assert!(is_there(&kernel));
        let left = PosixQueue.inspect(&name, &none).unwrap();
        assert_eq!((left[0].state, left[0].kind), (ObjectState::Stale, "posix queue"));
        reclaim(&name, round);
        assert!(!is_there(&kernel), "round {round}: the kernel's queue was left behind");
        assert!(PosixQueue.inspect(&name, &none).unwrap().is_empty());
    }
}

#[test]
fn a_death_while_channels_are_made_leaves_no_queue() {
    let _alone = alone();
    let name = name("storm");
    let kills = anyipc_conformance::victim::kills();
    let mut left = 0;
    for round in 0..kills {
        let mut child = spawn(&format!("connect {name}"));
        child.hear().unwrap();
        let kernel = [kernel_name(&name), channel_name(&name)];
        child.kill();
        left += u64::from(is_there(&kernel[1]));
        reclaim(&name, round);
        assert!(
            !kernel.iter().any(|name| is_there(name)),
            "round {round}: a queue was left behind"
        );
    }
    drop(create(&name, ""));
    assert!(PosixQueue.inspect(&name, &options("")).unwrap().is_empty());
    println!("{left} of {kills} deaths left a channel's queue, and none stayed");
}

#[test]
fn what_a_death_left_of_a_channel_is_removed() {
    let _alone = alone();
    let name = name("left");
    let (owner, opener) = (create(&name, ""), open(&name, ""));
    let left = channel_name(&name);
    leave_behind(&left);
    drop(connect(&owner, &opener));
    assert!(!is_there(&left), "the next channel let it lie");
    leave_behind(&left);
    drop((owner, opener));
    assert!(!is_there(&left), "the last close let it lie");
}

#[test]
fn threads_make_channels_of_one_queue_at_once() {
    let _alone = alone();
    let name = name("threads");
    // Small ones: the kernel's limit per user is about twelve queues of the default size.
    let owner = create(&name, "capacity=8KiB");
    let left = channel_name(&name);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let opener = open(&name, "");
                (0..50).for_each(|_| drop(connect(&owner, &opener)));
            });
        }
    });
    assert!(!is_there(&left));
}

#[test]
fn a_queue_removed_by_force_goes_with_its_last_holder() {
    let _alone = alone();
    for persist in ["false", "true"] {
        let name = name("force");
        let owner = create(&name, &format!("persist={persist}"));
        let kernel = kernel_name(&name);
        PosixQueue.remove(&name, &options(""), true).unwrap();
        assert!(!is_there(&kernel));
        // A holder makes the kernel's queue again.
        drop(owner.queue().unwrap());
        assert!(is_there(&kernel));
        assert_eq!(failed(PosixQueue.close(owner)).kind(), ErrorKind::StatFailed);
        assert!(!is_there(&kernel), "persist={persist}: the kernel's queue was left behind");
    }
}

#[test]
fn a_persistent_queue_survives_all_its_users() {
    let _alone = alone();
    let name = name("persists");
    drop(create(&name, "persist=true"));
    let kernel = kernel_name(&name);
    for _ in 0..10 {
        let mut child = spawn(&format!("send {name}"));
        let mut said = vec![child.hear().unwrap()];
        said.extend(child.kill());
        let done = said.iter().filter(|line| line.ends_with("ok")).count();
        let got = drain(&mut open(&name, "").queue().unwrap());
        assert!((done..=said.len() - done).contains(&got.len()), "{} of {said:?}", got.len());
        for (i, (_, bytes)) in got.iter().enumerate() {
            assert_eq!(*bytes, (i as u64).to_le_bytes());
        }
    }
    PosixQueue.remove(&name, &options(""), false).unwrap();
    assert!(!is_there(&kernel));
}

/// The errors that a process of another IPC namespace gets, and that it leaves nothing there.
fn meet_elsewhere(name: &Name) {
    let query = "create=open_or_create";
    for error in [
        failed(PosixQueue.open(name, &options(""))),
        failed(PosixQueue.create(name, &options(query))),
    ] {
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains("namespace"), "{error}");
    }
    say("told");
    // A fresh name works in this namespace.
    let own = common::name("elsewhere");
    let mut queue = create(&own, "").queue().unwrap();
    queue.try_send(0, b"here").unwrap();
    assert_eq!(try_recv(&mut *queue).unwrap().1, b"here");
    drop(queue);
    assert!(!is_there(&kernel_name(name)) && !is_there(&channel_name(name)));
    say("clean");
}

#[test]
fn another_ipc_namespace_is_told() {
    let _alone = alone();
    let name = name("namespaces");
    let owner = create(&name, "");
    let mut queue = owner.queue().unwrap();
    // With this process's rights, or those of a user namespace. The system may allow neither.
    let ways: [&[&str]; 2] = [&["--ipc"], &["--user", "--map-current-user", "--ipc"]];
    let allowed = |way: &&&[&str]| {
        let tried = std::process::Command::new("unshare").args(**way).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(way) = ways.iter().find(allowed) else {
        eprintln!("no IPC namespaces here: nothing is tested");
        return;
    };
    let elsewhere = common::spawn_by("unshare", way, &format!("elsewhere {name}"));
    assert_eq!(elsewhere.finish(), ["told", "clean"]);
    queue.try_send(0, b"ours").unwrap();
    assert_eq!(try_recv(&mut *queue).unwrap().1, b"ours");
    assert!(is_there(&kernel_name(&name)));
}

#[test]
fn a_record_of_another_namespace_or_layout_is_told_and_can_be_removed() {
    let _alone = alone();
    let name = name("strange-record");
    for (at, strange, says) in [(248, 1, "namespace"), (0, 2, "layout")] {
        drop(create(&name, "persist=true"));
        let file = Dir::open(Scope::User, Operation::Open).unwrap();
        let file = file.path().join(format!("posix-mq+{}.record", name.os_name()));
        let file = File::options().write(true).open(file).unwrap();
        let bare = kernel_name(&name);
        file.write_at(&u32::to_ne_bytes(strange), 4096 + at).unwrap();
        let error = failed(PosixQueue.open(&name, &options("")));
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        PosixQueue.remove(&name, &options(""), false).unwrap();
        assert!(!is_there(&bare));
    }
}

#[test]
fn a_creation_that_fails_leaves_no_queue_that_persists() {
    let _alone = alone();
    let directory = Dir::open(Scope::User, Operation::Open).unwrap().path().to_owned();
    let name = name("fails");
    // No listener can be made there.
    let in_the_way = directory.join(format!("posix-mq+{}.sock", name.os_name()));
    std::fs::create_dir(&in_the_way).unwrap();
    for how in ["new", "open_or_create"] {
        let options = options(&format!("persist=true&create={how}&capacity=512&max_message=64"));
        assert_eq!(failed(PosixQueue.create(&name, &options)).kind(), ErrorKind::Io);
        assert_eq!(failed(PosixQueue.open(&name, &options)).kind(), ErrorKind::NotFound, "{how}");
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    drop(create(&name, "persist=true&capacity=512&max_message=64"));
    PosixQueue.remove(&name, &options(""), false).unwrap();
}
