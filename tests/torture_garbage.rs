//! Clients of an owner's socket send garbage, stop in the middle, stay silent or come by the
//! thousand: the owner counts them and goes on serving honest clients.
#![cfg(all(target_os = "linux", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::io::{ErrorKind as IoKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyipc::transport::{Hello, Reply};
use anyipc::{Channel, Error, ErrorKind, Event, Inbox, Name, Rejections};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use support::place::private_dir;
use support::random::Random;
use support::resources::{channel_mappings, descriptors};
use support::schemes::unique;
use support::watchdog::{eventually, watchdog};

/// The promise to an honest client without others in its way.
const SOON: Duration = Duration::from_secs(1);

/// What an opener says after it has mapped the memory.
const MAPPED: u8 = b'M';

/// Where an owner listens.
fn socket_of(name: &str) -> PathBuf {
    let base = std::env::var_os("ANYIPC_DIR").map_or_else(|| "/dev/shm".into(), PathBuf::from);
    private_dir(&base).join(Name::new(name).unwrap().os_name() + ".sock")
}

/// What an honest client says first.
fn hello() -> Vec<u8> {
    Hello { transport: "shm".into(), max_message: 1 << 20, ..Hello::default() }.encode().unwrap()
}

/// An owner that answers everybody with his own words, by `accept` or as an inbox, until dropped.
struct Owner {
    name: String,
    stop: Arc<AtomicBool>,
    rejections: Arc<Mutex<Rejections>>,
    /// How often it has told its rejections.
    turns: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    fn new(inbox: bool) -> Self {
        let name = unique("garbage");
        let endpoint = anyipc::create(format!("shm://{name}?wait=block")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (rejections, turns) =
            (Arc::new(Mutex::<Rejections>::default()), Arc::new(AtomicU64::new(0)));
        let (stopped, told, turned) =
            (Arc::clone(&stop), Arc::clone(&rejections), Arc::clone(&turns));
        let tell = move |now: Rejections| {
            *told.lock().unwrap() = now;
            turned.fetch_add(1, SeqCst);
        };
        let thread = std::thread::spawn(move || {
            let turn = Duration::from_millis(20);
            if inbox {
                let mut inbox = Inbox::new(endpoint).unwrap();
                while !stopped.load(SeqCst) {
                    match inbox.next_event_timeout(turn) {
                        Ok(Event::Message(id, message)) => drop(inbox.send(id, &message)),
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
                    }
                    tell(inbox.endpoint().rejections());
                }
            } else {
                while !stopped.load(SeqCst) {
                    match endpoint.accept_timeout(turn) {
                        Ok(channel) => drop(std::thread::spawn(|| answer(channel))),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
                    }
                    tell(endpoint.rejections());
                }
            }
        });
        Self { name, stop, rejections, turns, thread: Some(thread) }
    }

    fn raw(&self) -> UnixStream {
        let stream = UnixStream::connect(socket_of(&self.name)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// An honest client comes, is answered, and leaves.
    #[track_caller]
    fn serves_within(&self, limit: Duration) {
        let start = Instant::now();
        let mut channel = anyipc::connect(format!("shm://{}?timeout=20s", self.name)).unwrap();
        channel.send(b"honest").unwrap();
        assert_eq!(channel.recv().unwrap(), b"honest");
        assert!(start.elapsed() < limit, "an honest client waited {:?}", start.elapsed());
    }

    /// How many were turned away by now.
    fn count(&self) -> u64 {
        let turn = self.turns.load(SeqCst);
        eventually("the owner turns", || self.turns.load(SeqCst) >= turn + 2);
        self.rejections.lock().unwrap().count
    }

    fn last(&self) -> String {
        self.rejections.lock().unwrap().last.clone().unwrap_or_default()
    }

    /// So many more are turned away after `call`, and no more than those.
    #[track_caller]
    fn rejects<R>(&self, more: u64, what: &str, call: impl FnOnce() -> R) -> R {
        let before = self.count();
        let result = call();
        eventually(what, || self.count() >= before + more);
        self.serves_within(SOON);
        assert_eq!(self.count(), before + more, "{what}: {}", self.last());
        result
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the owner failed");
    }
}

fn answer(mut channel: Channel) {
    while let Ok(message) = channel.recv() {
        if channel.send(&message).is_err() {
            return;
        }
    }
}

/// A connector that has read its welcome, and the number of its ready slot.
fn welcomed(owner: &Owner) -> (UnixStream, u32) {
    let mut stream = owner.raw();
    stream.write_all(&hello()).unwrap();
    let mut prefix = [0; 8];
    stream.read_exact(&mut prefix).unwrap();
    let mut rest = vec![0; usize::from(u16::from_le_bytes([prefix[6], prefix[7]])) + 12];
    stream.read_exact(&mut rest).unwrap();
    let slot = *rest[rest.len() - 12..].first_chunk().unwrap();
    (stream, u32::from_le_bytes(slot))
}

/// What the owner replied before it closed.
fn reply(stream: &mut UnixStream) -> Error {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), IoKind::ConnectionReset),
    }
    let (reply, _) = Reply::decode(&bytes).unwrap().expect("a whole reply");
    reply.into_result().unwrap_err()
}

#[test]
fn whatever_is_said_the_owner_goes_on() {
    let _watchdog = watchdog("the garbage", Duration::from_secs(180));
    for inbox in [false, true] {
        // What is made once does not count as a leak.
        Owner::new(inbox).serves_within(SOON);
        eventually("the first channels are unmapped", || channel_mappings() == 0);
        let before = descriptors().len();
        let owner = Owner::new(inbox);
        owner.serves_within(SOON);
        nonsense(&owner);
        halves(&owner);
        not_quite(&owner);
        slow(&owner);
        unmapped(&owner, inbox);
        crowds(&owner);
        floods(&owner);
        drop(owner);
        eventually("all descriptors are closed", || descriptors().len() <= before);
        eventually("all channels are unmapped", || channel_mappings() == 0);
    }
}

/// Random bytes; with and without the right beginning.
fn nonsense(owner: &Owner) {
    let mut random = Random::new(Random::run_seed());
    owner.rejects(600, "random bytes", || {
        for index in 0..600 {
            let len = 1 + random.below(if index % 2 == 0 { 40 } else { 3000 }) as usize;
            let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            if index % 3 == 0 {
                let start = hello();
                let keep = len.min(random.below(start.len() as u64) as usize);
                bytes[..keep].copy_from_slice(&start[..keep]);
                // Never right by chance.
                bytes.iter_mut().skip(keep).take(1).for_each(|byte| *byte = !start[keep]);
            }
            // The owner may have closed already.
            let _ = owner.raw().write_all(&bytes);
        }
    });
}

/// Hellos that end too early, at every byte.
fn halves(owner: &Owner) {
    let whole = hello();
    owner.rejects(whole.len() as u64 - 1, "half hellos", || {
        for cut in 1..whole.len() {
            owner.raw().write_all(&whole[..cut]).unwrap();
        }
    });
}

/// Nearly right, each wrong in one way that is named to both sides.
fn not_quite(owner: &Owner) {
    let mut other_version = hello();
    other_version[4] = 9;
    let welcome =
        Reply::Welcome(Hello { transport: "shm".into(), ..Hello::default() }).encode().unwrap();
    let mut longer = hello();
    longer.push(0);
    let mut endless = hello();
    endless[6..8].copy_from_slice(&[0xff, 0xff]);
    let elsewhere = Hello { transport: "mq".into(), ..Hello::default() }.encode().unwrap();
    for (bytes, kind, words) in [
        (other_version, ErrorKind::Mismatch, "on one side, 9 on the other"),
        (welcome, ErrorKind::Corrupt, "a hello was expected"),
        (longer, ErrorKind::Corrupt, "more than its hello"),
        (endless, ErrorKind::Corrupt, "too long"),
        (elsewhere, ErrorKind::Mismatch, "transports differ"),
    ] {
        let error = owner.rejects(1, words, || {
            let mut stream = owner.raw();
            stream.write_all(&bytes).unwrap();
            reply(&mut stream)
        });
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().unwrap().contains(words), "{error}");
        assert!(
            owner.last().contains(error.message().unwrap()),
            "{error} here, {} there",
            owner.last()
        );
    }
    // Unexpected descriptors: the kernel refuses them (since Linux 6.16), or the owner does.
    let before = owner.count();
    let stream = owner.raw();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let gifts = [stream.as_fd(), stream.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&gifts)));
    match sendmsg(&stream, &[IoSlice::new(&hello())], &mut control, SendFlags::empty()) {
        Ok(_) => eventually("descriptors with the hello", || owner.count() == before + 1),
        Err(error) => assert_eq!(error, Errno::PERM),
    }
    drop(stream);
    // Right, and away before the answer, or just after it: turned away or let in, gone in any case.
    (0..50).for_each(|_| owner.raw().write_all(&hello()).unwrap());
    owner.serves_within(SOON);
}

/// An unfinished handshake ends after a second, and delays no other client.
fn slow(owner: &Owner) {
    owner.rejects(20, "slow ones", || {
        let start = Instant::now();
        let mut streams: Vec<UnixStream> = (0..20).map(|_| owner.raw()).collect();
        for stream in &mut streams {
            stream.write_all(&hello()[..5]).unwrap();
        }
        owner.serves_within(SOON);
        // A byte now and then does not give more time.
        let mut next = 5;
        while start.elapsed() < Duration::from_millis(900) {
            streams.iter_mut().for_each(|stream| drop(stream.write_all(&hello()[next..=next])));
            next += 1;
            owner.serves_within(SOON);
            std::thread::sleep(Duration::from_millis(150));
        }
        for stream in &mut streams {
            let error = reply(stream);
            assert!(error.message().unwrap().contains("within 1 s"), "{error}");
        }
        assert!(start.elapsed() < 3 * SOON, "they were turned away after {:?}", start.elapsed());
    });
}

/// Connectors take the welcome, and do not say that they have mapped the memory.
fn unmapped(owner: &Owner, inbox: bool) {
    const CROWD: u64 = 100;
    // An inbox keeps its ready page mapped.
    let idle = usize::from(inbox);
    eventually("all channels are unmapped", || channel_mappings() == idle);
    owner.rejects(CROWD, "leave after the welcome", || {
        for index in 0..CROWD {
            let (_stream, slot) = welcomed(owner);
            // Given back by those before it.
            assert!(if inbox { slot < 50 } else { slot == u32::MAX }, "{index}: slot {slot}");
        }
    });
    owner.rejects(CROWD, "say something else", || {
        for index in 0..CROWD {
            let (mut stream, _) = welcomed(owner);
            let no = [index as u8 + u8::from(index as u8 >= MAPPED)];
            stream.write_all(&no).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it is sent away, without a word");
        }
    });
    assert!(owner.last().contains("did not say that it has mapped"), "{}", owner.last());
    owner.rejects(1, "in advance, with the hello", || {
        let mut stream = owner.raw();
        stream.write_all(&[&hello()[..], &[MAPPED]].concat()).unwrap();
        assert!(reply(&mut stream).message().unwrap().contains("more than its hello"));
    });
    owner.rejects(0, "with doorbell bytes behind it", || {
        for _ in 0..CROWD {
            let (mut stream, _) = welcomed(owner);
            stream.write_all(&[MAPPED, 1, 1, MAPPED, 0]).unwrap();
        }
    });
    owner.rejects(CROWD, "say nothing", || {
        let start = Instant::now();
        let mut silent: Vec<_> = (0..CROWD).map(|_| welcomed(owner).0).collect();
        assert!(channel_mappings() >= CROWD as usize, "the memory is promised to each of them");
        while start.elapsed() < 8 * SOON {
            owner.serves_within(SOON);
            std::thread::sleep(Duration::from_millis(50));
        }
        for stream in &mut silent {
            stream.set_read_timeout(Some(20 * SOON)).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
        assert!(start.elapsed() >= 10 * SOON, "they have ten seconds");
        assert!(start.elapsed() < 20 * SOON, "they were sent away after {:?}", start.elapsed());
    });
    assert!(owner.last().contains("within 10 s"), "{}", owner.last());
    eventually("all promised memory is unmapped", || channel_mappings() == idle);
}

/// More than the owner keeps half-open at a time, and far more than it has descriptors for.
fn crowds(owner: &Owner) {
    owner.rejects(0, "instant closes", || (0..3000).for_each(|_| drop(owner.raw())));
    owner.rejects(320, "a silent crowd", || {
        let crowd: Vec<UnixStream> = (0..320).map(|_| owner.raw()).collect();
        // The whole crowd came first: it is sent away by its own second each, 256 at a time.
        owner.serves_within(4 * SOON);
        crowd
    });
    // Those that were welcomed have more time, unless others wait for their places.
    let before = owner.count();
    let mut crowd: Vec<UnixStream> = (0..320).map(|_| owner.raw()).collect();
    crowd.iter_mut().for_each(|stream| stream.write_all(&hello()).unwrap());
    owner.serves_within(4 * SOON);
    assert!(owner.count() > before, "there was a place for one more than 256");
    drop(crowd);
    eventually("the crowd is sent away", || owner.count() == before + 320);
}

/// Peers that were let in, and fill their sockets as fast as they can.
fn floods(owner: &Owner) {
    let flooding = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (mut stream, _) = welcomed(owner);
                stream.write_all(&[MAPPED]).unwrap();
                stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
                while flooding.load(SeqCst) {
                    match stream.write(&[1; 4096]) {
                        Ok(_) => {}
                        Err(error) if error.kind() == IoKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            });
        }
        let start = Instant::now();
        for _ in 0..100 {
            owner.serves_within(SOON);
        }
        flooding.store(false, SeqCst);
        assert!(start.elapsed() < 20 * SOON, "a hundred honest clients took {:?}", start.elapsed());
    });
    owner.serves_within(SOON);
}
