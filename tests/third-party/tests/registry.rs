//! A third party's transport, chosen by URL: everything that the facade derives works over it.

use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Capabilities, ErrorKind, Event, Inbox, Registry, Role, SmCode};
use anyipc_third_party::Mailbox;

fn registry() -> Registry {
    Registry::new().with(Mailbox)
}

#[test]
fn messages_of_any_length_go_both_ways() {
    let registry = registry();
    let owner = registry.create("mailbox://third.lengths?slots=2").unwrap();
    assert_eq!(owner.role(), Role::Owner);
    let lengths = [0, 1, 100, 4096, 4097, 1_000_000, 3];
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut channel = registry.connect("mailbox://third.lengths").unwrap();
            for len in lengths {
                channel.send(&vec![len as u8; len]).unwrap();
                assert_eq!(channel.recv().unwrap(), format!("got {len}").as_bytes());
            }
        });
        let mut channel = owner.accept().unwrap();
        for len in lengths {
            assert!(channel.recv().unwrap() == vec![len as u8; len]);
            channel.send(format!("got {len}").as_bytes()).unwrap();
        }
        assert_eq!(channel.recv().unwrap_err().kind(), ErrorKind::Closed);
    });
    owner.close().unwrap();
    assert_eq!(
        registry.open("mailbox://third.lengths").unwrap_err().code(),
        Some(SmCode::OpenFail)
    );
}

#[test]
fn many_peers_share_an_inbox() {
    const PEERS: u32 = 5;
    const MESSAGES: u32 = 200;
    let registry = registry();
    let mut inbox = Inbox::new(registry.create("mailbox://third.inbox").unwrap()).unwrap();
    thread::scope(|scope| {
        for peer in 0..PEERS {
            let registry = &registry;
            scope.spawn(move || {
                let mut channel = registry.connect("mailbox://third.inbox").unwrap();
                for i in 0..MESSAGES {
                    channel.send(format!("{peer}/{i}").as_bytes()).unwrap();
                    assert_eq!(channel.recv().unwrap(), format!("{peer}/{i}").as_bytes());
                }
            });
        }
        let (mut messages, mut gone) = (0, 0);
        while gone < PEERS {
            match inbox.next_event().unwrap() {
                Event::Message(id, message) => {
                    inbox.send(id, &message).unwrap();
                    messages += 1;
                }
                Event::Disconnected(_, reason) => {
                    assert_eq!(reason.kind(), ErrorKind::Closed, "{reason}");
                    gone += 1;
                }
                Event::Connected(_) => {}
            }
        }
        assert_eq!(messages, PEERS * MESSAGES);
    });
}

#[test]
fn waiting_ends_with_the_timeout() {
    let registry = registry();
    let owner = registry.create("mailbox://third.timeout?slots=1").unwrap();
    let begun = Instant::now();
    let short = Duration::from_millis(20);
    assert_eq!(owner.accept_timeout(short).unwrap_err().kind(), ErrorKind::TimedOut);
    let (mut here, mut there) = thread::scope(|scope| {
        let there = scope.spawn(|| registry.connect("mailbox://third.timeout").unwrap());
        (owner.accept().unwrap(), there.join().unwrap())
    });
    assert_eq!(here.recv_timeout(short).unwrap_err().kind(), ErrorKind::TimedOut);
    here.send(b"fills the slot").unwrap();
    assert_eq!(here.send_timeout(b"no room", short).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(there.recv().unwrap(), b"fills the slot");
    assert!(begun.elapsed() >= short * 3);
}

#[test]
fn its_own_keys_are_checked_and_named() {
    let registry = registry();
    let fault = |address: &str| registry.create(address).unwrap_err();
    for address in [
        "mailbox://third.keys?slot=1",
        "mailbox://third.keys?slots=many",
        "mailbox://third.keys?slots=0",
    ] {
        let error = fault(address);
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::InvalidOption, Some(SmCode::CreateFail)),
            "{error}"
        );
        assert!(error.to_string().contains("slots"), "{error}");
    }
    let unknown = fault("mailbax://third.keys");
    assert!(
        unknown.to_string().contains("mailbox") && unknown.to_string().contains("inproc"),
        "{unknown}"
    );
    let owner = registry.create("mailbox://third.keys?slots=4").unwrap();
    assert_eq!(
        registry.open("mailbox://third.keys?slots=5").unwrap_err().kind(),
        ErrorKind::Mismatch
    );
    assert_eq!(
        registry.create("mailbox://third.keys").unwrap_err().code(),
        Some(SmCode::CreateExist)
    );
    owner.close().unwrap();
}

#[test]
fn it_stands_beside_the_others_and_only_where_it_was_added() {
    let registry = registry();
    let schemes: Vec<_> = registry.transports().flat_map(|t| t.schemes()).copied().collect();
    assert!(schemes.contains(&"mailbox") && schemes.contains(&"inproc"), "{schemes:?}");
    registry.create("inproc://third.beside").unwrap().close().unwrap();
    let error = anyipc::create("mailbox://third.beside").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidAddress, "{error}");
}

#[test]
fn what_it_does_not_claim_is_unsupported() {
    let registry = registry();
    let mailbox = registry.transports().find(|t| t.schemes().contains(&"mailbox")).unwrap();
    let claimed = Capabilities::CHANNEL
        | Capabilities::HANDSHAKE
        | Capabilities::QUEUE
        | Capabilities::PRIORITIES;
    assert_eq!(mailbox.capabilities(), claimed);
    let error = registry.alloc_lpsz("mailbox://third.text", "text").unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unsupported, Some(SmCode::CreateFail)),
        "{error}"
    );
    assert_eq!(
        registry.inspect("mailbox://third.text").unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}
