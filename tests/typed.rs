//! Values over channels.
#![cfg(all(feature = "in-process", feature = "postcard"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::thread;
use std::time::Duration;

use anyipc::{ErrorKind, Message, Select, TypedChannel};
use serde::{Deserialize, Serialize};
use support::channels::pair;
use support::schemes::{self, another, each};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Diagnostic {
    path: String,
    line: u32,
}

impl Message for Diagnostic {
    const NAME: &'static str = "test.Diagnostic/1";
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Edit {
    Insert { at: u64, text: String },
    Undo,
}

impl Message for Edit {
    const NAME: &'static str = "test.Edit/1";
}

fn sample(line: u32) -> Diagnostic {
    Diagnostic { path: "C:\\Users\\Me\\myfile.exw".into(), line }
}

#[test]
fn values_go_both_ways_in_every_codec() {
    each("codecs", |url| {
        for codec in ["postcard", "bincode", "json"] {
            if !anyipc::codec::CodecId::from_name(codec).unwrap().is_available() {
                continue;
            }
            let url = format!("{}?codec={codec}", another(url));
            let owner = anyipc::create(&url).unwrap();
            let client = thread::spawn(move || {
                let opener = anyipc::open(&url).unwrap();
                let mut channel: TypedChannel<Diagnostic, Edit> = opener.connect_typed().unwrap();
                channel.send(&sample(1)).unwrap();
                channel.try_send(&sample(2)).unwrap();
                channel.send_timeout(&sample(3), Duration::from_secs(1)).unwrap();
                let edit = channel.recv().unwrap();
                channel.close().unwrap();
                edit
            });
            let mut channel = owner.accept_typed::<Edit, Diagnostic>().unwrap();
            assert_eq!(channel.codec().as_str(), codec);
            assert_eq!(channel.recv().unwrap(), sample(1));
            assert_eq!(channel.recv_timeout(Duration::from_secs(5)).unwrap(), sample(2));
            assert_eq!(channel.peer().hello.sends.as_deref(), Some("test.Diagnostic/1"));
            let (mut sender, mut receiver) = channel.split();
            assert_eq!(receiver.recv().unwrap(), sample(3));
            let edit = Edit::Insert { at: 1 << 40, text: "é".into() };
            sender.send(&edit).unwrap();
            assert_eq!(client.join().unwrap(), edit);
            assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Closed);
        }
    });
}

#[test]
fn other_types_are_turned_away() {
    each("types", |url| {
        let owner = anyipc::create(url).unwrap();
        let theirs = url.to_owned();
        let client = thread::spawn(move || {
            let opener = anyipc::open(&theirs).unwrap();
            let swapped = opener.connect_typed::<Edit, Diagnostic>().unwrap_err();
            drop(opener.connect().unwrap());
            swapped
        });
        // Turned away, then the untyped one that matches anything.
        owner.accept_typed_timeout::<Edit, Diagnostic>(Duration::from_secs(5)).unwrap();
        let error = client.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        let text = error.to_string();
        assert!(text.contains("test.Edit/1") && text.contains("test.Diagnostic/1"), "{text}");
        assert_eq!(owner.rejections().count, 1);
    });
}

#[test]
fn a_typed_connect_waits_for_its_owner() {
    each("waits", |url| {
        let theirs = url.to_owned();
        let client = thread::spawn(move || {
            let mut channel = anyipc::connect_typed::<str, Vec<(u32, bool)>>(&theirs).unwrap();
            assert_eq!(channel.address().to_string(), theirs);
            channel.send("how many?").unwrap();
            channel.recv().unwrap()
        });
        // The connector is there first, most times.
        thread::sleep(Duration::from_millis(20));
        let owner = anyipc::create(url).unwrap();
        let mut channel = owner.accept_typed::<[(u32, bool)], String>().unwrap();
        assert_eq!(channel.peer().hello.receives.as_deref(), Some("Vec<(u32, bool)>"));
        assert_eq!(channel.recv().unwrap(), "how many?");
        channel.send(&[(1, true), (2, false)]).unwrap();
        assert_eq!(client.join().unwrap(), [(1, true), (2, false)]);

        let absent = format!("{}?timeout=10ms", another(url));
        let error = anyipc::connect_typed::<(), ()>(absent).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoOwner, "{error}");
    });
}

#[test]
fn a_select_waits_for_values_and_typed_connectors() {
    each("select", |url| {
        let owner = anyipc::create(url).unwrap();
        let mut acceptor = owner.acceptor_typed::<Edit, Diagnostic>().unwrap();
        let mut select = Select::new().unwrap();
        assert_eq!(
            select.try_wait(&mut [&mut acceptor]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(acceptor.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);

        let theirs = url.to_owned();
        let client = thread::spawn(move || {
            let opener = anyipc::open(&theirs).unwrap();
            let swapped = opener.connect_typed::<Edit, Diagnostic>().unwrap_err();
            assert_eq!(swapped.kind(), ErrorKind::Mismatch);
            let mut channel = opener.connect_typed::<Diagnostic, Edit>().unwrap();
            channel.send(&sample(1)).unwrap();
            assert_eq!(channel.recv().unwrap(), Edit::Undo);
        });
        // The one with other types is no event.
        assert_eq!(select.wait(&mut [&mut acceptor]).unwrap(), 0);
        let channel = acceptor.try_accept().unwrap();
        let (mut sender, mut receiver) = channel.split();
        assert_eq!(select.wait(&mut [&mut acceptor, &mut receiver]).unwrap(), 1);
        assert_eq!(receiver.try_recv().unwrap(), sample(1));
        sender.send(&Edit::Undo).unwrap();
        client.join().unwrap();
        assert_eq!(select.wait(&mut [&mut acceptor, &mut receiver]).unwrap(), 1);
        assert_eq!(receiver.try_recv().unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_send_and_receive_values() {
    each("tasks", |url| {
        let url = url.to_owned();
        support::channels::alone().block_on(async move {
            let connecting = anyipc::connect_typed_async::<Edit, Diagnostic>(&url);
            let owning = async {
                // The connector waits for the owner.
                tokio::task::yield_now().await;
                let owner = anyipc::create(&url).unwrap();
                let channel = owner.accept_typed_async::<Diagnostic, Edit>().await.unwrap();
                (owner, channel)
            };
            let (theirs, (owner, mut ours)) = tokio::join!(connecting, owning);
            let mut theirs = theirs.unwrap();
            assert_eq!(ours.peer().hello.sends.as_deref(), Some("test.Edit/1"));

            // A dropped `recv` takes nothing.
            tokio::select! {
                biased;
                value = ours.recv() => panic!("{value:?}"),
                () = tokio::task::yield_now() => {}
            }
            assert_eq!(ours.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
            let edit = Edit::Insert { at: 3, text: "x".repeat(500_000) };
            let (sent, received) = tokio::join!(theirs.send(&edit), ours.recv());
            sent.unwrap();
            assert_eq!(received.unwrap(), edit);
            let (mut sender, receiver) = ours.split();
            sender.try_send(&sample(4)).unwrap();
            assert_eq!(theirs.recv().await.unwrap(), sample(4));

            // Blocking and back.
            let mut theirs = theirs.into_sync();
            theirs.send(&Edit::Undo).unwrap();
            let theirs = theirs.into_async().unwrap();
            let mut receiver = receiver;
            assert_eq!(receiver.recv().await.unwrap(), Edit::Undo);
            assert_eq!(theirs.stats().messages_sent, 2);
            theirs.close().await.unwrap();
            assert_eq!(receiver.recv().await.unwrap_err().kind(), ErrorKind::Closed);

            let opener = anyipc::open(&url).unwrap();
            let (accepted, [swapped, untyped]) =
                tokio::join!(owner.accept_typed_async::<Diagnostic, Edit>(), async {
                    let swapped = opener.connect_typed_async::<Diagnostic, Edit>().await;
                    let mut untyped = opener.connect_async().await.unwrap();
                    untyped.send(&[0xff; 20]).await.unwrap();
                    [swapped.map(drop), untyped.close().await]
                });
            assert_eq!(swapped.unwrap_err().kind(), ErrorKind::Mismatch);
            untyped.unwrap();
            assert_eq!(accepted.unwrap().recv().await.unwrap_err().kind(), ErrorKind::Codec);
        });
    });
}

#[cfg(feature = "derive")]
mod derived {
    use super::*;

    /// With a bound, a lifetime and a default, and where `Message` and `Result` are something else.
    #[derive(Debug, PartialEq, Serialize, Deserialize, anyipc::Message)]
    #[message(name = "test.Reply/1")]
    enum Reply<T: Clone, E = ()>
    where
        T: PartialEq,
    {
        Done(T),
        Failed { error: E },
    }

    #[derive(anyipc::Message)]
    #[message(name = "test.Lent/2")]
    struct Lent<'a>(#[allow(dead_code, reason = "only its name matters")] &'a str);

    #[allow(dead_code, reason = "in the way of what the derive writes")]
    mod elsewhere {
        struct Result;
        struct Cow;
        trait Message {}

        #[derive(::anyipc::Message)]
        #[message(name = "test.Moved/1", crate = "::anyipc")]
        pub(super) struct Moved<T>(T);
    }

    #[test]
    fn names_are_those_that_were_written() {
        assert_eq!(Reply::<u32>::NAME, "test.Reply/1<u32, ()>");
        assert_eq!(
            Reply::<Option<Edit>, String>::NAME,
            "test.Reply/1<Option<test.Edit/1>, String>"
        );
        assert_eq!(Lent::NAME, "test.Lent/2");
        assert_eq!(elsewhere::Moved::<u8>::NAME, "test.Moved/1<u8>");
    }

    #[test]
    fn a_generic_message_matches_its_own_parameters_alone() {
        each("generic", |url| {
            let owner = anyipc::create(url).unwrap();
            let theirs = url.to_owned();
            let client = thread::spawn(move || {
                let opener = anyipc::open(&theirs).unwrap();
                let other = opener.connect_typed::<Reply<u64>, ()>().unwrap_err();
                let mut channel = opener.connect_typed::<Reply<u32>, ()>().unwrap();
                channel.send(&Reply::Done(7)).unwrap();
                channel.close().unwrap();
                other
            });
            let mut channel = owner.accept_typed::<(), Reply<u32>>().unwrap();
            assert_eq!(channel.recv().unwrap(), Reply::Done(7));
            let other = client.join().unwrap();
            assert_eq!(other.kind(), ErrorKind::Mismatch);
            assert!(other.to_string().contains("test.Reply/1<u64, ()> on"), "{other}");
        });
    }
}

#[test]
fn what_does_not_read_is_an_error_and_no_more() {
    each("unchecked", |url| {
        let (_owner, mut bytes, typed) = pair(url);
        let mut typed = typed.typed::<Diagnostic, Diagnostic>().unwrap();
        bytes.send(&[0xff; 20]).unwrap();
        bytes.send(b"\x01a\x05trailing").unwrap();
        bytes.send(b"\x01a\x05").unwrap();
        assert_eq!(typed.recv().unwrap_err().kind(), ErrorKind::Codec);
        assert_eq!(typed.recv().unwrap_err().kind(), ErrorKind::Codec);
        assert_eq!(typed.recv().unwrap(), Diagnostic { path: "a".into(), line: 5 });
        assert_eq!(typed.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(typed.stats().messages_received, 3);
    });
}

#[cfg(not(feature = "json"))]
#[test]
fn a_codec_that_is_not_there_is_named() {
    let owner = anyipc::create(format!("{}?codec=json", schemes::url("inproc", "nojson"))).unwrap();
    let error = owner.accept_typed::<Edit, Edit>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("json"), "{error}");
}

#[cfg(feature = "shared-memory")]
#[test]
fn blocks_hold_values() {
    use anyipc::BlockExt;
    let url = schemes::url("shm", "block");
    let owner = anyipc::create(format!("{url}?size=4KiB")).unwrap();
    let opener = anyipc::open(&url).unwrap();
    assert_eq!(opener.block().unwrap().load::<Diagnostic>().unwrap(), None);
    for line in 0..10 {
        owner.block().unwrap().store(&sample(line)).unwrap();
        assert_eq!(opener.block().unwrap().load::<Diagnostic>().unwrap(), Some(sample(line)));
    }
    assert_eq!(opener.block().unwrap().load::<String>().unwrap_err().kind(), ErrorKind::Codec);
    let long = "x".repeat(5000);
    assert_eq!(owner.block().unwrap().store(&long).unwrap_err().kind(), ErrorKind::MessageTooLarge);
    assert_eq!(opener.block().unwrap().load::<Diagnostic>().unwrap(), Some(sample(9)));
    for url in [schemes::url("inproc", "block"), schemes::url("shm", "noblock")] {
        let error = anyipc::create(url).unwrap().block().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("shm://name?size="), "{error}");
    }
}
