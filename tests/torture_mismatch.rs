//! Two sides that do not agree: each gets the same named error, at once, and the owner goes on.
#![cfg(all(feature = "shared-memory", feature = "postcard"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyipc::{Channel, Endpoint, Error, ErrorKind, Message, Result, SmCode};
use serde::{Deserialize, Serialize};
use support::schemes::unique;
use support::watchdog::watchdog;

const SOON: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Question(u32);

impl Message for Question {
    const NAME: &'static str = "torture.Question/1";
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Answer(String);

impl Message for Answer {
    const NAME: &'static str = "torture.Answer/1";
}

/// The same shape under another name.
#[derive(Debug, Serialize, Deserialize)]
struct NewAnswer(String);

impl Message for NewAnswer {
    const NAME: &'static str = "torture.Answer/2";
}

/// An owner that waits, in a thread of its own, for one good connection.
struct Owner<C> {
    endpoint: Arc<Endpoint>,
    accepting: JoinHandle<Result<C>>,
}

impl<C: Send + 'static> Owner<C> {
    fn new(url: &str, accept: impl FnOnce(&Endpoint) -> Result<C> + Send + 'static) -> Self {
        let endpoint = Arc::new(anyipc::create(url).unwrap());
        let owner = Arc::clone(&endpoint);
        Self { endpoint, accepting: std::thread::spawn(move || accept(&owner)) }
    }

    /// This connector is turned away, and both sides know why.
    #[track_caller]
    fn refuses<T>(&self, words: &[&str], connect: impl FnOnce() -> Result<T>) {
        let before = self.endpoint.rejections().count;
        let start = Instant::now();
        let Err(error) = connect() else { panic!("it was let in; {words:?} was due") };
        assert!(start.elapsed() < SOON, "the error took {:?}: {error}", start.elapsed());
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert_eq!(error.code(), Some(SmCode::OpenFail));
        let rejections = self.endpoint.rejections();
        assert_eq!(rejections.count, before + 1, "{error}");
        let (here, there) = (error.message().unwrap(), rejections.last.unwrap());
        assert!(there.contains(here), "{here:?} here, {there:?} there");
        words.iter().for_each(|word| assert!(here.contains(word), "{word:?} is not in {here:?}"));
    }

    fn accepted(self) -> C {
        self.accepting.join().unwrap().unwrap()
    }
}

fn open(url: &str) -> Endpoint {
    anyipc::open(url).unwrap()
}

#[test]
fn types_are_compared_in_both_directions() {
    let _watchdog = watchdog("types", Duration::from_secs(60));
    let url = format!("shm://{}", unique("types"));
    let owner = Owner::new(&url, Endpoint::accept_typed::<Answer, Question>);
    owner.refuses(&["message types", "torture.Answer/1", "torture.Answer/2"], || {
        open(&url).connect_typed::<Question, NewAnswer>()
    });
    owner.refuses(&["torture.Question/1", "torture.Answer/2"], || {
        open(&url).connect_typed::<NewAnswer, Answer>()
    });
    owner.refuses(&["torture.Question/1", "torture.Answer/1"], || {
        open(&url).connect_typed::<Answer, Question>()
    });
    owner.refuses(&["torture.", "()"], || open(&url).connect_typed::<(), ()>());
    let mut asks = open(&url).connect_typed::<Question, Answer>().unwrap();
    let mut answers = owner.accepted();
    asks.send(&Question(7)).unwrap();
    assert_eq!(answers.recv().unwrap(), Question(7));
    answers.send(&Answer("yes".into())).unwrap();
    assert_eq!(asks.recv().unwrap(), Answer("yes".into()));
}

#[test]
fn an_untyped_side_matches_anything() {
    let _watchdog = watchdog("untyped", Duration::from_secs(60));
    let url = format!("shm://{}", unique("untyped"));
    let owner = Owner::new(&url, Endpoint::accept);
    let mut asks = open(&url).connect_typed::<Question, Answer>().unwrap();
    asks.send(&Question(300)).unwrap();
    assert_eq!(owner.accepted().recv().unwrap(), [172, 2]);
}

#[test]
fn codecs_are_compared() {
    let _watchdog = watchdog("codecs", Duration::from_secs(60));
    let name = unique("codecs");
    let owner = Owner::new(&format!("shm://{name}?codec=postcard"), Endpoint::accept);
    for codec in ["json", "bincode"] {
        owner.refuses(&["codec"], || anyipc::connect(format!("shm://{name}?codec={codec}")));
    }
    let channel = anyipc::connect(format!("shm://{name}?codec=postcard")).unwrap();
    assert_eq!(owner.accepted().peer().pid, channel.peer().pid);
}

#[test]
fn capacities_are_compared() {
    let _watchdog = watchdog("capacities", Duration::from_secs(60));
    let name = unique("capacities");
    let owner = Owner::new(&format!("shm://{name}?capacity=64KiB"), Endpoint::accept);
    for (capacity, rounded) in
        [("4KiB", "4096"), ("1MiB", "1048576"), ("1", "4096"), ("70000", "131072")]
    {
        let words = ["capacities", "65536", rounded];
        owner.refuses(&words, || anyipc::connect(format!("shm://{name}?capacity={capacity}")));
    }
    // The same after rounding up is the same.
    let channel: Channel = anyipc::connect(format!("shm://{name}?capacity=65000")).unwrap();
    drop((owner.accepted(), channel));
}

#[test]
fn sizes_are_compared() {
    let url = format!("shm://{}", unique("sizes"));
    let _owner = anyipc::create(format!("{url}?size=4096")).unwrap();
    let wrong = |result: Result<Endpoint>| -> Error { result.unwrap_err() };
    let opened = wrong(anyipc::open(format!("{url}?size=4097")));
    assert_eq!(
        (opened.kind(), opened.code()),
        (ErrorKind::Mismatch, Some(SmCode::OpenFail)),
        "{opened}"
    );
    assert!(opened.to_string().contains("4097") && opened.to_string().contains("4096"), "{opened}");
    assert!(anyipc::open(format!("{url}?size=4KiB")).is_ok());
}

#[test]
fn many_mismatches_do_not_wear_an_owner_out() {
    let _watchdog = watchdog("many mismatches", Duration::from_secs(60));
    let name = unique("many");
    let owner = Owner::new(&format!("shm://{name}?codec=postcard"), Endpoint::accept);
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let url = format!("shm://{name}?codec=json");
            std::thread::spawn(move || {
                for _ in 0..50 {
                    assert_eq!(anyipc::connect(&url).unwrap_err().kind(), ErrorKind::Mismatch);
                }
            })
        })
        .collect();
    crowd.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(owner.endpoint.rejections().count, 400);
    let _channel = anyipc::connect(format!("shm://{name}")).unwrap();
    owner.accepted();
}
