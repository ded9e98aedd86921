//! A fork while everything is in use: the child holds nothing, and its calls say so; the parent
//! is not disturbed; the parent's death is noticed although the child lives on.
#![cfg(all(target_os = "linux", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyipc::{Channel, Endpoint, ErrorKind, Event, Inbox, PeerId, Result};
use support::channels::kind;
use support::message::Stream;
use support::process::{hear, say, serve, spawn_here};
use support::schemes::unique;
use support::watchdog::{eventually, watchdog};

const SOON: Duration = Duration::from_secs(1);

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(code: i32) -> !;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
}

#[test]
fn child() {
    serve(&[("holder", holder), ("streamer", streamer)]);
}

/// Forks; the child runs `play` and ends without any clean-up, the parent drops `play`. Returns the
/// child's process id.
fn forked(play: impl FnOnce()) -> i32 {
    // SAFETY: of what another thread could have held at this moment, the child uses the allocator
    // only, which the C library keeps usable; and it ends by `_exit`.
    match unsafe { fork() } {
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        0 => {
            play();
            // SAFETY: always allowed.
            unsafe { _exit(0) }
        }
        child => child,
    }
}

/// Waits until a child has ended well.
fn reap(child: i32) {
    let mut status = 0;
    // SAFETY: the status is ours.
    let ended = unsafe { waitpid(child, &mut status, 0) };
    assert_eq!((ended, status), (child, 0), "how the forked child ended");
}

/// What a process can hold.
struct Held {
    opener: Endpoint,
    asking: Channel,
    owner: Endpoint,
    answering: Channel,
    inbox: Inbox,
    peer: PeerId,
    text: Endpoint,
    #[cfg(feature = "tokio")]
    task: (tokio::runtime::Runtime, anyipc::AsyncChannel),
}

/// The faults found: calls of a forked child that were not told so.
#[derive(Default)]
struct Faults(String);

impl Faults {
    fn check<T>(&mut self, call: &str, result: Result<T>) {
        let got = match result {
            Err(error) if error.kind() == ErrorKind::Forked => return,
            Err(error) => error.to_string(),
            Ok(_) => "Ok".into(),
        };
        self.0.push_str(&format!("{call}: {got}\n"));
    }
}

impl Held {
    /// Everything, with peers in the parent process; `tag` is the stem of the names.
    fn new(tag: &str) -> Self {
        let opener = anyipc::open(format!("shm://{tag}.a")).unwrap();
        let asking = opener.connect().unwrap();
        let owner = anyipc::create(format!("shm://{tag}.b?size=4096")).unwrap();
        let mut inbox = Inbox::new(anyipc::create(format!("shm://{tag}.c")).unwrap()).unwrap();
        let text = anyipc::alloc_lpsz(format!("shm://{tag}.d"), "text").unwrap();
        #[cfg(feature = "tokio")]
        let task = {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let channel = runtime.block_on(opener.connect_async()).unwrap();
            (runtime, channel)
        };
        say("made");
        let answering = owner.accept().unwrap();
        let (peer, message) = inbox.recv().unwrap();
        inbox.send(peer, &message).unwrap();
        Self {
            opener,
            asking,
            owner,
            answering,
            inbox,
            peer,
            text,
            #[cfg(feature = "tokio")]
            task,
        }
    }

    /// The forked child's part: calls everything.
    fn call_as_child(&mut self) -> String {
        let mut faults = Faults::default();
        let (some, now) = (b"message", Duration::from_millis(1));
        let mut buffer = Vec::new();
        for (side, channel) in [("opener", &mut self.asking), ("owner", &mut self.answering)] {
            let mut check =
                |call: &str, result: Result<()>| faults.check(&format!("{side} {call}"), result);
            check("send", channel.send(some));
            check("send of fragments", channel.send(&vec![0; 1 << 20]));
            check("try_send", channel.try_send(some));
            check("send_timeout", channel.send_timeout(some, now));
            check("send_with", channel.send_with(7, |_| Some(7)));
            check("send_many", channel.send_many([some]).map(drop));
            check("flush", channel.flush());
            check("recv", channel.recv().map(drop));
            check("try_recv", channel.try_recv().map(drop));
            check("recv_timeout", channel.recv_timeout(now).map(drop));
            check("recv_with", channel.recv_with(|_| ()));
            check("recv_into", channel.recv_into(&mut buffer).map(drop));
        }
        faults.check("connect", self.opener.connect());
        faults.check("accept", self.owner.accept());
        faults.check("accept_timeout", self.owner.accept_timeout(now));
        faults.check("lpsz", self.text.lpsz());
        let _ = self.owner.rejections();
        self.inbox_as_child(&mut faults);
        self.block_as_child(&mut faults);
        #[cfg(feature = "tokio")]
        {
            let (runtime, channel) = &mut self.task;
            // The runtime is the parent's; its calls must not get as far as that.
            let _inside = runtime.enter();
            let mut once = std::task::Context::from_waker(std::task::Waker::noop());
            let mut check = |call: &str, poll: std::task::Poll<Result<()>>| match poll {
                std::task::Poll::Ready(result) => faults.check(call, result),
                std::task::Poll::Pending => faults.0.push_str(&format!("{call}: waits\n")),
            };
            check("async send", std::pin::pin!(channel.send(some)).as_mut().poll(&mut once));
            check(
                "async recv",
                std::pin::pin!(async { channel.recv().await.map(drop) }).poll(&mut once),
            );
            check("async accept", {
                std::pin::pin!(async { self.owner.accept_async().await.map(drop) }).poll(&mut once)
            });
        }
        faults.0
    }

    fn inbox_as_child(&mut self, faults: &mut Faults) {
        let now = Duration::from_millis(1);
        for _ in 0..2 {
            faults.check("inbox recv", self.inbox.recv());
            faults.check("inbox recv_timeout", self.inbox.recv_timeout(now));
            faults.check("inbox try_recv", self.inbox.try_recv());
            faults.check("inbox next_event", self.inbox.next_event());
            faults.check("inbox send", self.inbox.send(self.peer, b"message"));
            faults.check("inbox try_send", self.inbox.try_send(self.peer, b"message"));
        }
    }

    fn block_as_child(&mut self, faults: &mut Faults) {
        let block = self.owner.block().unwrap();
        faults.check("block read_at", block.read_at(0, &mut [0; 8]));
        faults.check("block write_at", block.write_at(0, b"child"));
        faults.check("block atomic_u32", block.atomic_u32(0));
        faults.check("block atomic_u64", block.atomic_u64(0));
        faults.check("block get", block.get::<u64>(0));
        faults.check("block put", block.put(0, &7u64));
        faults.check("block store", block.store_bytes(b"child"));
        faults.check("block load", block.load_bytes());
    }

    /// The parent's part: everything still works.
    fn call_as_parent(&mut self) {
        call(&mut self.asking, b"asking").unwrap();
        answer(&mut self.answering).unwrap();
        let (peer, message) = self.inbox.recv().unwrap();
        assert_eq!(peer, self.peer);
        self.inbox.send(peer, &message).unwrap();
        self.owner.block().unwrap().write_at(0, b"parent").unwrap();
        assert_eq!(self.text.lpsz().unwrap().to_str(), Ok("text"));
        call(&mut self.opener.connect().unwrap(), b"again").unwrap();
        #[cfg(feature = "tokio")]
        {
            let (runtime, channel) = &mut self.task;
            runtime.block_on(async {
                channel.send(b"task").await.unwrap();
                assert_eq!(channel.recv().await.unwrap(), b"task");
            });
        }
    }
}

fn call(channel: &mut Channel, message: &[u8]) -> Result<()> {
    channel.send(message)?;
    assert_eq!(channel.recv()?, message);
    Ok(())
}

fn answer(channel: &mut Channel) -> Result<()> {
    let message = channel.recv()?;
    channel.send(&message)
}

/// `holder TAG`: holds everything and forks on the word, in three manners.
fn holder(words: &[&str]) {
    let tag = words[0];
    let mut held = Held::new(tag);
    while let Some(manner) = hear() {
        let (mut report, mut faults) = std::io::pipe().unwrap();
        let child = forked(|| {
            let _ = faults.write_all(held.call_as_child().as_bytes());
            match manner.as_str() {
                "exit" => {}
                "drop" => {
                    // Dropping and closing everything disturbs neither the parent nor its peers.
                    // SAFETY: the child never returns, so nothing is used or dropped twice.
                    let Held { opener, asking, owner, answering, inbox, text, .. } =
                        unsafe { std::ptr::read(&held) };
                    drop((asking, answering, inbox));
                    let mut told = Faults::default();
                    told.check("close of an opener", opener.close());
                    told.check("close of an owner", owner.close());
                    told.check("close of a text", text.close());
                    let _ = faults.write_all(told.0.as_bytes());
                }
                _ => {}
            }
            // A child can begin anew.
            let mut own = anyipc::connect(format!("shm://{tag}.a")).unwrap();
            call(&mut own, b"child").unwrap();
            drop(faults);
            if manner == "live" {
                // Until the test ends it.
                let _ = own.recv();
            }
        });
        let mut text = String::new();
        report.read_to_string(&mut text).unwrap();
        say(if text.is_empty() { "told" } else { &text });
        if manner != "live" {
            reap(child);
        }
        held.call_as_parent();
        say("going on");
    }
}

// --- The other side, in the test's process.

/// The end of a connection: the peer's process, the reason, the time.
type End = (Option<u32>, ErrorKind, Instant);

/// An owner that answers everybody with his own words, until dropped.
struct Echo {
    stop: Arc<AtomicBool>,
    ends: Arc<Mutex<Vec<End>>>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn new(url: &str) -> Self {
        let mut inbox = Inbox::new(anyipc::create(url).unwrap()).unwrap();
        let (stop, ends) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, log) = (Arc::clone(&stop), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            let mut pids = HashMap::new();
            while !stopped.load(SeqCst) {
                match inbox.next_event_timeout(Duration::from_millis(50)) {
                    Ok(Event::Connected(id)) => drop(pids.insert(id, inbox.peer(id).unwrap().pid)),
                    Ok(Event::Message(id, message)) => drop(inbox.send(id, &message)),
                    Ok(Event::Disconnected(id, reason)) => {
                        log.lock().unwrap().push((pids[&id], reason.kind(), Instant::now()));
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
                }
            }
        });
        Self { stop, ends, thread: Some(thread) }
    }

    /// When connections of a process ended by its death. It must have closed all others itself.
    #[track_caller]
    fn deaths_of(&self, pid: u32) -> Vec<Instant> {
        let ends = self.ends.lock().unwrap();
        let of_it = || ends.iter().filter(|end| end.0 == Some(pid));
        assert!(
            of_it().all(|end| matches!(end.1, ErrorKind::Closed | ErrorKind::PeerGone)),
            "{ends:?}"
        );
        of_it().filter(|end| end.1 == ErrorKind::PeerGone).map(|end| end.2).collect()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

#[track_caller]
fn is_gone(channel: &mut Channel, killed: Instant) {
    assert_eq!(kind(channel.recv()), ErrorKind::PeerGone);
    assert!(killed.elapsed() < SOON, "the death was reported after {:?}", killed.elapsed());
}

#[test]
fn a_fork_takes_nothing_along_and_hides_no_death() {
    let _watchdog = watchdog("the forks", Duration::from_secs(120));
    let tag = unique("fork");
    let echo = Echo::new(&format!("shm://{tag}.a"));
    let mut holder = spawn_here(&format!("holder {tag}"));
    holder.expect("made");
    let mut asked = anyipc::connect(format!("shm://{tag}.b")).unwrap();
    let mut posted = anyipc::connect(format!("shm://{tag}.c")).unwrap();
    call(&mut posted, b"here").unwrap();
    for manner in ["exit", "drop", "exit", "drop", "live"] {
        holder.say(manner);
        holder.expect("told");
        call(&mut asked, b"to the owner").unwrap();
        call(&mut posted, b"to the inbox").unwrap();
        holder.expect("going on");
    }
    assert_eq!(echo.deaths_of(holder.pid()), [], "the children's channels are not their parent's");

    // The child of the last fork still lives.
    let killed = Instant::now();
    holder.kill();
    is_gone(&mut asked, killed);
    is_gone(&mut posted, killed);
    let connections = if cfg!(feature = "tokio") { 2 } else { 1 };
    eventually("the echo knows", || echo.deaths_of(holder.pid()).len() == connections);
    let latest = echo.deaths_of(holder.pid()).into_iter().max().unwrap();
    assert!(latest < killed + SOON, "the death was reported after {:?}", latest - killed);
    // Its names are free at once: the child holds none of them.
    for (name, options) in [("b", "?size=4096"), ("c", ""), ("d", "")] {
        let url = format!("shm://{tag}.{name}");
        assert_eq!(kind(anyipc::open(&url)), ErrorKind::NotFound);
        anyipc::create(format!("{url}{options}")).unwrap().close().unwrap();
    }
    assert!(killed.elapsed() < 2 * SOON, "the names were free after {:?}", killed.elapsed());
    // The child ends when its own channel does.
    drop(echo);
    holder.wait();
}

// --- Forks while two threads stream.

/// `streamer URL`: streams both ways, and forks all the time; some children live on.
fn streamer(words: &[&str]) {
    let (mut sender, mut receiver) = anyipc::connect(words[0]).unwrap().split();
    let extra = anyipc::connect(words[0]).unwrap();
    std::thread::spawn(move || {
        let (mut stream, mut buffer) = (Stream::new(1, 8, 5000), Vec::new());
        loop {
            stream.write(&mut buffer);
            sender.send(&buffer).unwrap();
        }
    });
    std::thread::spawn(move || {
        let (mut stream, mut buffer) = (Stream::new(2, 8, 5000), Vec::new());
        loop {
            receiver.recv_into(&mut buffer).unwrap();
            stream.check(&buffer);
        }
    });
    for index in 0..100 {
        let child = forked(|| {
            // SAFETY: the child never returns, so the channel is not dropped twice.
            drop(unsafe { std::ptr::read(&extra) });
            if index % 10 == 0 {
                // Lives until the test closes its input, which it shares with all its kin.
                while hear().is_some() {}
            }
        });
        if index % 10 != 0 {
            reap(child);
        }
        // A child by exec, too.
        if index % 25 == 0 {
            assert!(std::process::Command::new("true").status().unwrap().success());
        }
    }
    say("forked");
    loop {
        std::thread::park();
    }
}

#[test]
fn forks_do_not_disturb_streams() {
    let _watchdog = watchdog("the streams", Duration::from_secs(120));
    let url = format!("shm://{}", unique("fork-stream"));
    let owner = anyipc::create(&url).unwrap();
    let mut streamer = spawn_here(&format!("streamer {url}"));
    let (mut sender, mut receiver) = owner.accept().unwrap().split();
    let mut extra = owner.accept().unwrap();
    let sending = std::thread::spawn(move || {
        let (mut stream, mut buffer) = (Stream::new(2, 8, 5000), Vec::new());
        loop {
            stream.write(&mut buffer);
            if let Err(error) = sender.send(&buffer) {
                return (error.kind(), Instant::now());
            }
        }
    });
    let receiving = std::thread::spawn(move || {
        let (mut stream, mut buffer) = (Stream::new(1, 8, 5000), Vec::new());
        loop {
            match receiver.recv_into(&mut buffer) {
                Ok(_) => stream.check(&buffer),
                Err(error) => return (error.kind(), Instant::now(), stream.count()),
            }
        }
    });
    streamer.expect("forked");
    assert_eq!(
        kind(extra.try_recv()),
        ErrorKind::WouldBlock,
        "a child has closed its parent's channel"
    );
    // Ten of its children live on.
    let killed = Instant::now();
    streamer.kill();
    let (sent, received) = (sending.join().unwrap(), receiving.join().unwrap());
    assert_eq!((sent.0, received.0), (ErrorKind::PeerGone, ErrorKind::PeerGone));
    assert!(sent.1.max(received.1) < killed + SOON);
    assert!(received.2 > 0);
    is_gone(&mut extra, killed);
    streamer.hush();
    streamer.wait();
}
