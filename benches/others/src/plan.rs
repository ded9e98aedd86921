//! The comparisons. Both sides of one wait in the same way, polling beside spinning and sleeping
//! beside blocking, except where the label of ours says `adaptive`.

use crate::job::Pattern::{self, Batch, Cost, Handover, Lock, RoundTrip, Senders, Stream, Words};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// One side of a comparison.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) variant: String,
    pub(crate) pattern: Pattern,
}

/// From its name and, after a space, its variant.
fn contender(words: &str, pattern: Pattern) -> Contender {
    let (name, variant) = words.split_once(' ').unwrap_or((words, "-"));
    Contender { name: name.to_owned(), variant: variant.to_owned(), pattern }
}

/// One of ours.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    pub(crate) label: String,
    pub(crate) contender: Contender,
    /// The goal: how many times faster than theirs.
    pub(crate) goal: Option<f64>,
}

/// One comparison at one size.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) pattern: Pattern,
    /// Length of each message, in bytes.
    pub(crate) size: usize,
    /// The fastest of these counts.
    pub(crate) theirs: Vec<Contender>,
    pub(crate) ours: Vec<Ours>,
}

impl Row {
    /// The words for `--only`.
    pub(crate) fn title(&self) -> String {
        let labels: Vec<_> = self.ours.iter().map(|one| one.label.as_str()).collect();
        format!(
            "{} {} {}: {}",
            self.what,
            self.pattern.word(),
            length(self.size),
            labels.join("; ")
        )
    }
}

/// A length with its unit.
pub(crate) fn length(bytes: usize) -> String {
    match bytes {
        MIB.. => format!("{} MiB", bytes / MIB),
        KIB.. => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} B"),
    }
}

/// Rows that differ in size only.
struct Comparison {
    what: String,
    pattern: Pattern,
    theirs: Vec<Contender>,
    ours: Vec<Ours>,
}

/// A comparison with the fastest of theirs.
fn against(what: &str, pattern: Pattern, theirs: &[&str]) -> Comparison {
    let theirs = theirs.iter().map(|words| contender(words, pattern)).collect();
    Comparison { what: what.to_owned(), pattern, theirs, ours: Vec::new() }
}

impl Comparison {
    /// Adds one of ours, with this share of the goal as its own.
    fn ours(self, label: &str, words: &str, share: f64) -> Self {
        let pattern = self.pattern;
        self.ours_doing(pattern, label, words, share)
    }

    /// The same with a pattern of its own.
    fn ours_doing(mut self, pattern: Pattern, label: &str, words: &str, share: f64) -> Self {
        let goal = Some(share).filter(|share| *share > 0.0);
        self.ours.push(Ours {
            label: label.to_owned(),
            contender: contender(words, pattern),
            goal,
        });
        self
    }

    /// Adds shared memory, in place and copying.
    fn shm(self, wait: &str) -> Self {
        let copy = format!("anyipc shm?wait={wait}");
        self.ours("in place", &format!("{copy}&trust=same-user"), 1.0).ours("copy", &copy, 0.6)
    }

    /// Adds a socket or pipe that sleeps.
    fn blocking(self, scheme: &str) -> Self {
        self.ours(scheme, &format!("anyipc {scheme}?wait=block"), 1.0)
    }

    /// The same, and in place: theirs do without a copy.
    fn both_blocking(self, scheme: &str) -> Self {
        let in_place = format!("anyipc {scheme}?wait=block&trust=same-user");
        self.blocking(scheme).ours(&format!("{scheme}, in place"), &in_place, 1.0)
    }

    /// A row for each of these sizes, with its goal: how many times faster ours are meant to be, or
    /// 0 for none.
    fn at(self, sizes: &[(usize, f64)]) -> Vec<Row> {
        let Self { what, pattern, theirs, ours } = self;
        let row = |&(size, goal): &(usize, f64)| {
            let mut ours = ours.clone();
            for one in &mut ours {
                one.goal = one.goal.map(|share| share * goal).filter(|goal| *goal > 0.0);
            }
            Row { what: what.clone(), pattern, size, theirs: theirs.clone(), ours }
        };
        sizes.iter().map(row).collect()
    }
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    [shared_memory(), queues(), sockets(), batches(), tasks(), costs(), locks()].concat()
}

fn shared_memory() -> Vec<Row> {
    let trips = &[(64, 4.5), (KIB, 2.4), (8 * KIB, 1.5), (64 * KIB, 1.35), (MIB, 1.0)];
    let streams = &[(64, 7.0), (KIB, 2.0), (8 * KIB, 5.0), (64 * KIB, 3.5), (MIB, 1.8)];
    let loans = &[(64, 5.0), (KIB, 5.0), (8 * KIB, 5.0), (64 * KIB, 5.0), (MIB, 5.0)];
    let any = &[(64, 0.0), (KIB, 0.0), (8 * KIB, 0.0), (64 * KIB, 0.0), (MIB, 0.0)];
    let best = &[(8 * KIB, 1.1), (64 * KIB, 1.1), (MIB, 1.0)];
    let sleep = 1.0 / 1.15;
    let boost = ["boost_ring 512", "boost_ring 2048", "boost_ring 8192"];
    [
        against("iceoryx2", RoundTrip, &["iceoryx2 8"]).shm("spin").at(trips),
        against("iceoryx2", Stream, &["iceoryx2 8"]).shm("spin").at(streams),
        against("iceoryx2 loans", Words, &["iceoryx2 8"])
            .ours("in place", "anyipc shm?wait=spin&trust=same-user", 1.0)
            .at(loans),
        against("rtrb, two threads", Stream, &["rtrb"])
            .ours("copy", "anyipc shm?wait=spin", 1.0)
            .at(&[(64, 1.0), (KIB, 1.0)]),
        against("Boost ring of 2 MiB", Stream, &["boost_ring 2048"]).shm("block").at(any),
        against("Boost ring, best depth", Stream, &boost).shm("block").at(best),
        against("bare futex", RoundTrip, &["futex"]).shm("block").at(&[
            (64, sleep),
            (KIB, sleep),
            (8 * KIB, sleep),
        ]),
    ]
    .concat()
}

fn queues() -> Vec<Row> {
    let boost = ["boost_queue 64", "boost_queue 512", "boost_queue 4096"];
    let block = |what: Comparison| what.ours("queue, block", "anyipc-queue mq?wait=block", 1.0);
    let adaptive =
        |what: Comparison| what.ours("queue, adaptive", "anyipc-queue mq?wait=adaptive", 1.0);
    let posix = |what: Comparison| {
        what.ours("queue over posix-mq", "anyipc-queue posix-mq?wait=block", 1.0)
    };
    let three_times = &[(64, 3.0), (KIB, 3.0)];
    let within = &[(64, 1.0 / 1.1), (KIB, 1.0 / 1.1)];
    [
        adaptive(block(against("Boost message_queue", RoundTrip, &boost)))
            .at(&[(64, 1.0), (KIB, 1.0)]),
        adaptive(block(against("Boost message_queue", Stream, &boost))).at(three_times),
        adaptive(block(against("Boost message_queue", Senders, &boost))).at(three_times),
        posix(against("POSIX mq in C", RoundTrip, &["posix_mq"])).at(within),
        posix(against("POSIX mq in C", Stream, &["posix_mq"])).at(within),
    ]
    .concat()
}

fn sockets() -> Vec<Row> {
    let at_most = |times: f64| [64, KIB, 8 * KIB].map(|size| (size, 1.0 / times));
    let bare = [
        ("bare Unix socket", "kernel unix", "local"),
        ("bare TCP", "kernel tcp", "tcp"),
        ("bare pipes", "kernel pipe", "pipe"),
    ];
    let over_local = [
        ("interprocess", "interprocess", 1.0),
        ("nng ipc", "nng", 1.0),
        // Without a goal: it batches by itself.
        ("ZeroMQ ipc", "zeromq ipc", f64::INFINITY),
    ];
    let mut rows = Vec::new();
    for (what, theirs, scheme) in bare {
        for pattern in [RoundTrip, Stream] {
            rows.extend(against(what, pattern, &[theirs]).both_blocking(scheme).at(&at_most(1.05)));
        }
    }
    for (what, theirs, times) in over_local {
        for pattern in [RoundTrip, Stream] {
            rows.extend(against(what, pattern, &[theirs]).blocking("local").at(&at_most(times)));
        }
    }
    rows
}

fn batches() -> Vec<Row> {
    let shm = "anyipc shm?wait=block";
    let as_fast = &[(64, 1.0)];
    let nine_tenths = &[(64, 0.9)];
    let many = |scheme: &str| format!("{scheme}, send_many of 64");
    let block = |scheme: &str| format!("anyipc {scheme}?wait=block");
    let against_zeromq = |what, theirs, schemes: &[&str]| {
        let alone = against(what, Stream, &[theirs]);
        let add = |all: Comparison, scheme: &&str| {
            all.ours_doing(Batch, &many(scheme), &block(scheme), 1.0)
        };
        schemes.iter().fold(alone, add).at(as_fast)
    };
    [
        against("single sends over shm", Stream, &[shm])
            .ours_doing(Batch, &many("shm"), shm, 1.0)
            .at(&[(64, 2.0)]),
        against("bare Unix socket", Batch, &["kernel unix"])
            .ours(&many("shm"), shm, 1.0)
            .at(as_fast),
        against("bare Unix socket", Batch, &["kernel unix"]).both_blocking("local").at(nine_tenths),
        against("bare TCP", Batch, &["kernel tcp"]).both_blocking("tcp").at(nine_tenths),
        against("bare pipes", Batch, &["kernel pipe"]).both_blocking("pipe").at(nine_tenths),
        against_zeromq("ZeroMQ ipc", "zeromq ipc", &["shm", "local"]),
        against_zeromq("ZeroMQ tcp", "zeromq tcp", &["tcp"]),
    ]
    .concat()
}

fn tasks() -> Vec<Row> {
    let mut rows = Vec::new();
    for (stream, theirs, schemes) in [
        ("UnixStream", "tokio-unix", &["shm", "mq", "local", "pipe"][..]),
        ("TcpStream", "tokio-tcp", &["tcp"]),
    ] {
        for (runtimes, word) in [
            ("one runtime", "main"),
            ("one runtime, both spawned", "spawned"),
            ("two runtimes", "two"),
        ] {
            let theirs = format!("{theirs} - {word}");
            let mut tasks = against(&format!("tokio {stream}, {runtimes}"), RoundTrip, &[&theirs]);
            for (scheme, wait) in
                schemes.iter().flat_map(|scheme| [(scheme, "block"), (scheme, "adaptive")])
            {
                let words = format!("anyipc-task {scheme}?wait={wait} {word}");
                tasks = tasks.ours(&format!("{scheme}, {wait}"), &words, 1.0);
            }
            rows.extend(tasks.at(&[(64, 1.0 / 1.1)]));
        }
    }
    let awake = against("two spinning threads over shm", RoundTrip, &["anyipc shm?wait=spin"]);
    rows.extend(
        awake
            .ours("tasks in two runtimes", "anyipc-task shm?wait=adaptive two", 1.0)
            .at(&[(64, 0.5)]),
    );
    rows
}

fn costs() -> Vec<Row> {
    let within = 1.0 / 1.3;
    [
        against("block made, opened, closed in C", Cost, &["costs block"])
            .ours("block", "anyipc-costs block", 1.0)
            .at(&[(4 * KIB, within), (MIB, within)]),
        against("connect, hello, memfd in C", Cost, &["costs connect"])
            .ours("shm connect", "anyipc-costs connect", 1.0)
            .at(&[(16 * KIB, within)]),
    ]
    .concat()
}

/// The value of a lock of ours has 8 bytes.
fn locks() -> Vec<Row> {
    let one = |what: &str, pattern, theirs: &str, label: &str, words: &str, goal| {
        against(what, pattern, &[theirs]).ours(label, words, 1.0).at(&[(64, goal)])
    };
    let ours = |what: &str, pattern, theirs: &str, goal| {
        one(what, pattern, theirs, "Mutex, block", "anyipc-mutex block", goal)
    };
    [
        ours("pthread robust mutex", Lock, "pthread_mutex robust", 1.0 / 1.2),
        ours("Boost named_mutex", Lock, "boost_mutex", 1.0),
        ours("std Mutex, one process", Lock, "std-mutex", 0.0),
        one(
            "pthread rwlock",
            Lock,
            "pthread_rwlock read",
            "RwLock, read",
            "anyipc-rwlock read",
            0.0,
        ),
        one(
            "pthread rwlock",
            Lock,
            "pthread_rwlock write",
            "RwLock, write",
            "anyipc-rwlock write",
            0.0,
        ),
        one("POSIX semaphore", Lock, "posix_semaphore", "Semaphore", "anyipc-semaphore", 0.0),
        ours("bare futex mutex", Handover, "futex_mutex", 1.0 / 1.15),
        ours("pthread robust mutex", Handover, "pthread_mutex robust", 1.0),
        ours("Boost named_mutex", Handover, "boost_mutex", 1.0),
        ours("std Mutex, two threads", Handover, "std-mutex", 0.0),
        against("bare futex, with a message", RoundTrip, &["futex"])
            .ours("Event, block", "anyipc-event block", 1.0)
            .at(&[(64, 1.0 / 1.1)]),
    ]
    .concat()
}
