//! What people read: `Debug` in one short line, errors that name the cause and the cure, and a
//! README that says of the options what the transports say.
#![cfg(all(
    feature = "in-process",
    feature = "message-queue",
    feature = "postcard",
    feature = "socket",
    feature = "sync"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use anyipc::transport::{COMMON_KEYS, Key, KeyKind};
use anyipc::{BlockExt, Capabilities, ErrorKind, Inbox, Registry, Select, TypedInbox, sync};
use support::channels::pair;
use support::process::{self, linger, say, spawn_here};
use support::schemes::{each, url, with};

/// The longest line of `Debug`, in bytes.
const LINE: usize = 120;

#[track_caller]
fn short(handle: &impl Debug) {
    let text = format!("{handle:?}");
    assert!(text.len() <= LINE && !text.contains('\n'), "{} bytes: {text}", text.len());
}

/// As [`short`], of a handle that names its address.
#[track_caller]
fn addressed(handle: &impl Debug, url: &str) {
    short(handle);
    let text = format!("{handle:?}");
    let name = url.split('?').next().unwrap();
    assert!(text.contains(name) || url.starts_with("tcp"), "{text} does not name {name}");
}

#[test]
fn channels_and_endpoints_are_shown_in_one_line() {
    each("shown", |url| {
        let (owner, mut a, mut b) = pair(url);
        a.send(b"1").unwrap();
        b.recv().unwrap();
        addressed(&owner, url);
        addressed(&a, url);
        assert!(format!("{a:?}").contains("1 sent, 0 received"), "{a:?}");
        short(a.peer());
        short(a.address());
        short(&owner.rejections());
        addressed(&owner.acceptor().unwrap(), url);
        addressed(&owner.acceptor_typed::<String, u32>().unwrap(), url);
        let (sender, receiver) = a.split();
        addressed(&sender, url);
        addressed(&receiver, url);
        let typed = b.typed::<String, u32>().unwrap();
        addressed(&typed, url);
        let (sender, receiver) = typed.split();
        addressed(&sender, url);
        addressed(&receiver, url);
        let inbox = Inbox::new(owner).unwrap();
        addressed(&inbox, url);
        let (sender, inbox) = inbox.split();
        addressed(&sender, url);
        let inbox: TypedInbox<String, u32> = TypedInbox::new(inbox.into_endpoint()).unwrap();
        addressed(&inbox, url);
        let (sender, _inbox) = inbox.split();
        addressed(&sender, url);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn async_handles_are_shown_in_one_line() {
    support::channels::alone().block_on(async {
        let url = url("shm", "shown.async");
        let (a, b) = support::channels::async_pair(&url).await;
        addressed(&a, &url);
        let (sender, receiver) = a.split();
        addressed(&sender, &url);
        addressed(&receiver, &url);
        drop(b);
        let owner = anyipc::create(&url).unwrap();
        let (typed, _b) = tokio::join!(
            owner.accept_typed_async::<String, u32>(),
            anyipc::connect_typed_async::<u32, String>(&url)
        );
        let typed = typed.unwrap();
        addressed(&typed, &url);
        let (sender, receiver) = typed.split();
        addressed(&sender, &url);
        addressed(&receiver, &url);
        let inbox = anyipc::AsyncInbox::new(owner).unwrap();
        addressed(&inbox, &url);
        addressed(&inbox.split().0, &url);
        let url = support::schemes::url("shm", "shown.async.typed");
        let owner = anyipc::create(&url).unwrap();
        let inbox = anyipc::AsyncTypedInbox::<String, u32>::new(owner).unwrap();
        addressed(&inbox, &url);
        addressed(&inbox.split().0, &url);
        let url = support::schemes::url("mq", "shown.async");
        let queue = anyipc::create(&url).unwrap().queue().unwrap().into_async().unwrap();
        addressed(&queue, &url);
    });
}

#[cfg(all(feature = "futures", feature = "tokio-util"))]
#[test]
fn adaptors_are_shown_in_one_line() {
    support::channels::alone().block_on(async {
        let url = url("shm", "shown.adaptors");
        let (a, b) = support::channels::async_pair(&url).await;
        addressed(&a.into_framed(), &url);
        addressed(&b.into_io(), &url);
        let listener = anyipc::Listener::new(anyipc::create(&url).unwrap()).unwrap();
        addressed(&listener, &url);
        short(&listener.incoming());
    });
}

#[test]
fn clients_are_shown_in_one_line() {
    let url = url("inproc", "shown.client");
    let client = anyipc::Client::<u32, u32>::builder(&url).lazy().unwrap();
    addressed(&client, &url);
    short(&anyipc::stop().unwrap());
    short(&anyipc::Readiness::new().unwrap());
}

#[cfg(feature = "single-instance")]
#[test]
fn instances_are_shown_in_one_line() {
    let url = url("shm", "shown.instance");
    let first = anyipc::SingleInstance::start(&url).unwrap();
    addressed(&first, &url);
    let anyipc::SingleInstance::First(mut first) = first else { panic!("it is the first") };
    let later = std::thread::spawn({
        let url = url.clone();
        move || addressed(&anyipc::SingleInstance::start(&url).unwrap(), &url)
    });
    first.next().unwrap().answer(0).unwrap();
    later.join().unwrap();
}

#[test]
fn queues_blocks_and_locks_are_shown_in_one_line() {
    let jobs = url("mq", "shown.jobs");
    let endpoint = anyipc::create(&jobs).unwrap();
    let mut queue = endpoint.queue().unwrap();
    addressed(&queue, &jobs);
    queue.send(0, &[1; 4096]).unwrap();
    let job = queue.lease(Duration::from_secs(60)).unwrap();
    short(&job);
    short(&job.id());

    let owner = anyipc::create(url("shm", "shown.block") + "?size=4KiB").unwrap();
    let block = owner.block().unwrap();
    short(block);
    short(&block.watch().unwrap());
    short(&Registry::new());
    short(&Select::new());
    short(&Registry::global().list().unwrap().len());

    let lock = |name: &str| url("shm", &format!("shown.{name}"));
    short(&sync::Mutex::create(lock("mutex"), 1u64).unwrap());
    short(&sync::RwLock::create(lock("rwlock"), 1u64).unwrap());
    short(&sync::Semaphore::create(lock("semaphore"), 1).unwrap());
    short(&sync::Event::create(lock("event"), sync::Reset::Auto).unwrap());
    short(&sync::Condvar::create(lock("condvar")).unwrap());
    short(&sync::Barrier::create(lock("barrier"), 2).unwrap());
    short(&sync::Once::create(lock("once")).unwrap());
}

#[test]
fn a_hello_names_its_codec() {
    let owner = anyipc::create(url("inproc", "named.codec") + "?codec=json").unwrap();
    let address = owner.address().to_string();
    let connecting = std::thread::spawn(move || anyipc::connect(address));
    let accepted = owner.accept_timeout(Duration::from_secs(20)).unwrap();
    let shown = format!("{:?}", accepted.peer());
    assert!(shown.contains("codec json"), "{shown}");
    connecting.join().unwrap().unwrap();
}

#[test]
fn codecs_that_differ_are_named() {
    each("codecs", |url| {
        let url = url.to_owned() + if url.contains('?') { "&" } else { "?" };
        let owner = anyipc::create(format!("{url}codec=json")).unwrap();
        let connecting =
            std::thread::spawn(move || anyipc::connect(format!("{url}codec=postcard&timeout=20s")));
        assert_eq!(
            owner.accept_timeout(Duration::from_secs(2)).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        let error = connecting.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("the codecs differ: json on one side, postcard"), "{error}");
    });
}

#[test]
fn child() {
    process::serve(&[
        ("own", |arguments| {
            let _owner = anyipc::create(arguments[0]).unwrap();
            say("ready");
            linger();
        }),
        ("open", |arguments| {
            let _holder = anyipc::open(arguments[0]).unwrap();
            say("ready");
            linger();
        }),
    ]);
}

/// Ends a child in order, so that it leaves nothing.
fn end(mut child: process::Process) {
    child.hush();
    child.finish();
}

/// The transports whose objects are listed, with their owners.
fn listed() -> Vec<&'static str> {
    with(Capabilities::CROSS_PROCESS | Capabilities::INVENTORY)
}

#[test]
fn exists_names_the_owner_and_the_cure() {
    for scheme in listed() {
        let url = url(scheme, "exists");
        let mut owner = spawn_here(&format!("own {url}"));
        owner.expect("ready");
        let error = anyipc::create(&url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        let error = error.to_string();
        let named = format!("its owner, process {}, is alive", owner.pid());
        for part in [&*named, "open it", "create=open_or_create"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = anyipc::alloc_lpsz(&url, "x").unwrap_err().to_string();
        assert!(error.contains("another name") && !error.contains("create="), "{error}");
        end(owner);
    }
}

/// What has no list says at least what would work.
#[test]
fn exists_names_the_cure_everywhere() {
    each("cure", |url| {
        let owner = anyipc::create(url).unwrap();
        let error = anyipc::create(owner.address()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert!(error.to_string().contains("create=open_or_create"), "{error}");
    });
}

#[test]
fn exists_says_that_the_owner_has_left_and_what_still_holds_it() {
    for (scheme, query, object) in [("shm", "?size=64", "block"), ("mq", "?persist=true", "queue")]
    {
        let url = url(scheme, "left");
        let owner = anyipc::create(format!("{url}{query}")).unwrap();
        let mut holder = spawn_here(&format!("open {url}"));
        holder.expect("ready");
        owner.close().unwrap();
        let error = anyipc::create(format!("{url}{query}")).unwrap_err().to_string();
        for part in ["its owner has left, but", &format!("still holds its {object}"), "create="] {
            assert!(error.contains(part), "{part}: {error}");
        }
        #[cfg(all(target_os = "linux", not(anyipc_as_macos)))]
        assert!(error.contains(&format!("process {}", holder.pid())), "{error}");
        let error = anyipc::connect(format!("{url}?timeout=50ms")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoOwner);
        assert!(error.to_string().contains(&format!("holds its {object}")), "{error}");
        end(holder);
        if scheme == "mq" {
            let error = anyipc::create(format!("{url}{query}")).unwrap_err().to_string();
            assert!(error.contains("stays without a holder (persist=true)"), "{error}");
            Registry::global().remove(&url, false).unwrap();
        }
    }
}

#[test]
fn a_lock_that_exists_names_its_own_cure() {
    let url = url("shm", "exists.lock");
    let _mutex = sync::Mutex::create(&url, 1u64).unwrap();
    let error = sync::Mutex::create(&url, 1u64).unwrap_err().to_string();
    assert!(error.contains("open it, or call open_or_create"), "{error}");
}

#[test]
fn a_connect_in_vain_names_the_owner() {
    for scheme in listed() {
        let url = url(scheme, "silent");
        let mut owner = spawn_here(&format!("own {url}"));
        owner.expect("ready");
        let in_vain = || {
            let error = anyipc::connect(format!("{url}?timeout=100ms")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            error.to_string()
        };
        let named = format!("its owner, process {}, does not accept: it is ", owner.pid());
        let error = in_vain();
        assert!(error.contains(&format!("{named}busy")), "{error}");
        #[cfg(all(target_os = "linux", not(anyipc_as_macos)))]
        {
            owner.stop();
            let error = in_vain();
            assert!(error.contains(&format!("{named}stopped")), "{error}");
            owner.resume();
        }
        end(owner);
    }
}

#[test]
fn an_accept_in_vain_says_what_was_turned_away() {
    each("turned", |url| {
        let owner = anyipc::create(url).unwrap();
        let short = Duration::from_millis(20);
        let error = owner.accept_timeout(short).unwrap_err().to_string();
        assert!(error.contains("no connector came"), "{error}");
        let address = owner.address().to_string();
        let other = std::thread::spawn(move || anyipc::connect_typed::<u32, u32>(address));
        let accepted = owner.accept_typed_timeout::<String, String>(Duration::from_secs(2));
        assert_eq!(accepted.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(other.join().unwrap().unwrap_err().kind(), ErrorKind::Mismatch);
        let error = owner.accept_timeout(short).unwrap_err().to_string();
        assert!(error.contains("turned away so far") && error.contains("types differ"), "{error}");
    });
}

#[test]
fn the_errors_of_locks_and_stored_values_name_their_memory() {
    const SOON: Duration = Duration::from_millis(5);
    #[track_caller]
    fn named<T>(result: anyipc::Result<T>, kind: ErrorKind, address: &str) {
        let error = result.err().unwrap();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(address), "{error} does not name {address}");
    }
    let url = url("shm", "memory of errors");
    let held = anyipc::create(format!("{url}?size=16KiB")).unwrap();
    let address = url.replace(' ', "%20");
    let block = held.block().unwrap();

    named(block.load_newer::<u32>(&mut 0, SOON), ErrorKind::TimedOut, &address);
    named(block.wait_u32(8192, 0, SOON), ErrorKind::TimedOut, &address);
    named(block.wait_u32(1 << 20, 0, SOON), ErrorKind::OutOfBounds, &address);
    named(block.watch().unwrap().wait_timeout(SOON), ErrorKind::TimedOut, &address);
    named(block.store(&vec![7u8; 16 << 10]), ErrorKind::MessageTooLarge, &address);

    let mutex = sync::Mutex::<u64>::at(block, 0).unwrap();
    let guard = mutex.lock().unwrap();
    named(mutex.lock_timeout(SOON), ErrorKind::TimedOut, &address);
    drop(guard);
    // As the next locker finds it after a death that nobody repaired.
    let forgotten = anyipc::open(&url).unwrap();
    std::mem::forget(
        sync::Mutex::<u64>::at(forgotten.block().unwrap(), 512).unwrap().lock().unwrap(),
    );
    forgotten.close().unwrap();
    let mutex = sync::Mutex::<u64>::at(block, 512).unwrap();
    drop(mutex.lock_timeout(Duration::from_secs(5)).unwrap().into_inner());
    named(mutex.lock(), ErrorKind::Poisoned, &address);
    named(mutex.try_lock(), ErrorKind::Poisoned, &address);
    named(sync::Mutex::<[u64; 2]>::at(block, 0), ErrorKind::Mismatch, &address);
    named(sync::Semaphore::at(block, 8), ErrorKind::OutOfBounds, &address);
    let rwlock = sync::RwLock::<u64>::at(block, 1024).unwrap();
    let guard = rwlock.read().unwrap();
    named(rwlock.write_timeout(SOON), ErrorKind::TimedOut, &address);
    drop(guard);
    let semaphore = sync::Semaphore::at(block, 4096).unwrap();
    named(semaphore.acquire_timeout(SOON), ErrorKind::TimedOut, &address);
    let event = sync::Event::at(block, 7168, sync::Reset::Auto).unwrap();
    named(event.wait_timeout(SOON), ErrorKind::TimedOut, &address);
    let barrier = sync::Barrier::at(block, 7424, 2).unwrap();
    named(barrier.wait_timeout(SOON), ErrorKind::TimedOut, &address);
    let once = sync::Once::at(block, 7232).unwrap();
    named(once.wait_timeout(SOON), ErrorKind::TimedOut, &address);
    let named_lock = sync::Mutex::create(format!("{url}2"), 0u64).unwrap();
    let guard = named_lock.lock().unwrap();
    named(named_lock.lock_timeout(SOON), ErrorKind::TimedOut, &format!("{address}2"));
    drop(guard);
}

/// The rows of the README's table with this header, as cells.
fn table(header: &str) -> Vec<Vec<String>> {
    let text = include_str!("../README.md");
    let rows = text.split_once(header).unwrap_or_else(|| panic!("no table {header}")).1;
    let rows = rows.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().into()).collect())
        .collect()
}

/// Checks a key against its row: the default, and the words of a choice.
fn agree(key: &Key, row: &[String], scheme: &str) {
    let (values, default) = (&row[row.len() - 2], &row[row.len() - 1]);
    match key.default {
        Some(value) if default != "see below" => {
            assert_eq!(*default, format!("`{value}`"), "{scheme}: the default of {}", key.name);
        }
        Some(_) => {}
        None => {
            assert!(!default.starts_with('`'), "{scheme}: {} has no default", key.name);
        }
    }
    if let KeyKind::Choice(words) = key.kind {
        for word in words {
            assert!(values.contains(&format!("`{word}`")), "{scheme}: {}={word}", key.name);
        }
    }
}

#[test]
fn the_readme_and_the_transports_agree_on_options_and_defaults() {
    let (common, some) =
        (table("| key | values | default |\n"), table("| key | of | values | default |\n"));
    let is = |row: &Vec<String>, key: &Key| row[0] == format!("`{}`", key.name);
    for key in COMMON_KEYS {
        agree(key, common.iter().find(|row| is(row, key)).unwrap(), "every transport");
    }
    let mut meant: BTreeSet<(String, String)> = some
        .iter()
        .flat_map(|row| {
            row[1].split(", ").map(|of| (row[0].trim_matches('`').to_owned(), of.to_owned()))
        })
        .collect();
    for transport in Registry::global().transports() {
        let scheme = transport.schemes()[0];
        for key in transport.keys().iter().filter(|key| !key.is_retired()) {
            // Where it is refused, or makes no difference, by name.
            if key.help.contains("makes no difference") || scheme == "inproc" && key.name == "size"
            {
                continue;
            }
            if let Some(row) = common.iter().find(|row| is(row, key)) {
                agree(key, row, scheme);
                continue;
            }
            let Some(row) = some.iter().find(|row| is(row, key)) else {
                panic!("the README does not tell of {} of {scheme}", key.name);
            };
            assert!(
                meant.remove(&(key.name.to_owned(), scheme.to_owned())),
                "the README does not say that {scheme} has {}",
                key.name
            );
            agree(key, row, scheme);
        }
    }
    if cfg!(target_os = "linux") {
        assert!(meant.is_empty(), "the README tells of what is not there: {meant:?}");
    }
}

/// The types of the facade that are no handles: values, errors, traits and their data.
const VALUES: &str = "
    BlockExt Capabilities Config Error ErrorKind Event Failure Handover Instance IntoAddress
    Key Launch LeaseId Message MessageName Name Object ObjectState Operation Options PeerId
    QueueStatus Result Role Selectable Service Settle SmCode Stats
";

/// The handles, which the tests above check.
const HANDLES: &str = "
    Acceptor Address AsyncChannel AsyncInbox AsyncInboxSender AsyncQueue AsyncReceiver
    AsyncSender AsyncTypedChannel AsyncTypedInbox AsyncTypedInboxSender AsyncTypedReceiver
    AsyncTypedSender Block BlockWatch Channel Client Endpoint FirstInstance Framed Inbox
    InboxSender Incoming Io Job LaterInstance Listener Peer Queue Readiness Receiver Registry
    Rejections Select Sender SingleInstance Stop TypedAcceptor TypedChannel TypedInbox
    TypedInboxSender TypedReceiver TypedSender
";

#[test]
fn every_public_type_is_a_value_or_a_handle_of_this_file() {
    let text = include_str!("../src/lib.rs");
    let known: BTreeSet<_> = VALUES.split_whitespace().chain(HANDLES.split_whitespace()).collect();
    let uses = text.split("\npub use ").skip(1).filter_map(|part| part.split(';').next());
    let words = uses.flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let types: BTreeSet<_> =
        words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    let new: Vec<_> = types.difference(&known).collect();
    assert!(new.is_empty(), "new public types, to be checked above or called values: {new:?}");
}
