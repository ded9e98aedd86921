use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use proptest::prelude::*;

use super::*;
use anyipc_os::same_file;

use crate::inventory;

const WAIT: Duration = Duration::from_secs(20);

static BLOCK: Kind = Kind {
    prefix: "",
    suffix: ".block",
    heading: "anyipc-rendezvous 1",
    word: [0; 8],
    noun: "block",
    companion: None,
    clean: None,
};

struct Place {
    base: PathBuf,
    dir: Arc<Dir>,
}

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, SeqCst);
        let usual = Dir::open(anyipc_os::Scope::User, Operation::Create).unwrap();
        let base = usual.path().with_file_name(format!("unit-{}-{number}", std::process::id()));
        std::fs::create_dir(&base).unwrap();
        let dir = Arc::new(Dir::under(&base, Operation::Create).unwrap());
        Self { base, dir }
    }

    fn files(&self) -> Vec<std::ffi::OsString> {
        self.dir.list().unwrap()
    }

    fn path<'a>(&'a self, name: &'a Name, operation: Operation) -> Path<'a> {
        Path { dir: &self.dir, kind: &BLOCK, name, timeout: WAIT, operation }
    }

    fn attach<'a>(&'a self, name: &'a Name) -> Attach<'a> {
        Attach::new(self.path(name, Operation::Create), &|_| Ok(()))
    }

    fn create(&self, plan: Plan<'_>) -> Result<Segment> {
        Segment::create(self.path(&name(), Operation::Create), plan)
    }

    fn open(&self) -> Result<Segment> {
        Segment::open(self.path(&name(), Operation::Open), &|_| Ok(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

fn name() -> Name {
    Name::new("block").unwrap()
}

impl Attach<'_> {
    /// As where there are no nameless files.
    fn make_temporary(&self, plan: Plan<'_>) -> Result<Option<Segment>> {
        let temporary = temporary_name(self.path.kind.prefix).unwrap();
        self.publish(UnpublishedFile::with_temporary_name(self.path.dir, &temporary).unwrap(), plan)
    }
}

#[test]
fn without_nameless_files_a_temporary_name_serves() {
    let place = Place::new();
    let name = name();
    let attach = place.attach(&name);
    let segment = attach.make_temporary(Plan::lpsz(&[(0, b"text")])).unwrap().unwrap();
    // On Windows a removed name is seen until its file is closed.
    let stays =
        |name: &std::ffi::OsString| cfg!(windows) && name.to_string_lossy().ends_with(UNPUBLISHED);
    let named = || {
        let mut files = place.files();
        files.retain(|name| !stays(name));
        files
    };
    assert_eq!(named(), [attach.file.as_str()], "the temporary name is gone");
    assert!(attach.make_temporary(Plan::zeroed(1)).unwrap().is_none(), "the name is taken");
    assert_eq!(named(), [attach.file.as_str()]);
    let other = place.open().unwrap();
    assert_eq!((other.len(), other.is_lpsz(), other.persists()), (5, true, false));
    segment.close().unwrap();
    other.close().unwrap();
    assert!(place.files().is_empty());
}

#[test]
fn a_sweep_knows_abandoned_temporary_files_by_their_free_lock() {
    let place = Place::new();
    let dead = temporary_name("").unwrap();
    drop(place.dir.create_file(&dead).unwrap());
    let alive = temporary_name("").unwrap();
    let fd = place.dir.create_file(&alive).unwrap();
    assert!(try_lock(&fd, Lock::Shared).unwrap());
    hold(&fd).unwrap();
    assert!(inventory::list(&place.dir, &BLOCK).unwrap().is_empty());
    assert_eq!(inventory::sweep(&place.dir, &BLOCK, false).unwrap().len(), 1);
    assert_eq!(place.files().len(), 2);
    assert_eq!(inventory::sweep(&place.dir, &BLOCK, true).unwrap().len(), 1);
    assert_eq!(place.files(), [alive.as_str()]);
}

#[test]
fn what_persists_stays_without_holders() {
    let place = Place::new();
    let new = Plan { persist: true, contents: &[(0, b"here")], ..Plan::zeroed(100) };
    let segment = place.create(new).unwrap();
    segment.close().unwrap();
    let state = || inventory::inspect(&place.dir, &BLOCK, &name()).unwrap()[0].state;
    assert_eq!(state(), anyipc_core::ObjectState::Persistent);
    assert!(inventory::sweep(&place.dir, &BLOCK, true).unwrap().is_empty());
    let again = place.open().unwrap();
    let mut bytes = [0; 4];
    again.fd().read_at(&mut bytes, sys::page_size() as u64).unwrap();
    assert_eq!(&bytes, b"here");
    let error = place.create(Plan::zeroed(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    again.abandon();
    assert_eq!(state(), anyipc_core::ObjectState::Persistent);
    inventory::remove(&place.dir, &BLOCK, &name(), false).unwrap();
    assert!(place.files().is_empty());
}

/// As many rounds as Wine bears: it closes no file while a process has a lock on it.
const ROUNDS: usize = if cfg!(windows) { 60 } else { 400 };

/// Threads race as processes do: each open file has a lock of its own.
fn race(temporary: bool) {
    let place = Place::new();
    let stop = AtomicBool::new(false);
    let live = |found: &Segment| same_file(&place.dir, &BLOCK.file(&name()), found.fd()).unwrap();
    let work = |seed: u64| {
        let name = name();
        let attach = place.attach(&name);
        let mut random = seed;
        for _ in 0..ROUNDS {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let segment = if temporary && (random >> 33) & 1 == 0 {
                match attach.find().unwrap() {
                    Found::Live(attachment, header) => {
                        Some(attach.map(attachment, header).unwrap())
                    }
                    Found::Absent => attach.make_temporary(Plan::zeroed(64)).unwrap(),
                    Found::Changing => None,
                }
            } else {
                let path = place.path(&name, Operation::Create);
                let made = Segment::open_or_create(path, Plan::zeroed(64), &|_| Ok(()));
                Some(made.unwrap().0)
            };
            let Some(segment) = segment else { continue };
            assert!(live(&segment), "the name is ours as long as we hold it");
            if (random >> 40) & 7 == 0 { segment.abandon() } else { segment.close().unwrap() }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6).map(|seed| scope.spawn(move || work(seed + 1))).collect();
        let sweeper = scope.spawn(|| {
            while !stop.load(SeqCst) {
                inventory::sweep(&place.dir, &BLOCK, true).unwrap();
            }
        });
        let results: Vec<_> = workers.into_iter().map(|w| w.join()).collect();
        stop.store(true, SeqCst);
        sweeper.join().unwrap();
        results.into_iter().for_each(|r| r.unwrap());
    });
    inventory::sweep(&place.dir, &BLOCK, true).unwrap();
    assert!(place.files().is_empty());
}

#[test]
fn a_race_with_nameless_files_and_a_sweeper() {
    race(false);
}

#[test]
fn a_race_with_temporary_names_and_a_sweeper() {
    race(true);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_file_harms_its_opener(
        start in prop::option::of(0usize..64),
        noise in prop::collection::vec(any::<u8>(), 0..400),
        len in 0u64..20_000,
        held in any::<bool>(),
    ) {
        // Noise over a good header, from some byte on, in a file of any length.
        let place = Place::new();
        let good = place.create(Plan::zeroed(5000)).unwrap();
        let path = place.dir.path().join(BLOCK.file(&name()));
        let mut bytes = std::fs::read(&path).unwrap();
        good.abandon();
        let start = start.unwrap_or(0);
        bytes[start..start + noise.len()].copy_from_slice(&noise);
        bytes.resize(len as usize, 0);
        std::fs::write(&path, &bytes).unwrap();
        let holder = place.dir.open_file(&BLOCK.file(&name())).unwrap();
        if held {
            assert!(try_lock(&holder, Lock::Shared).unwrap());
        }
        if let Err(error) = place.open() {
            let expected = [
                ErrorKind::Corrupt,
                ErrorKind::Mismatch,
                ErrorKind::NotFound,
                ErrorKind::NameCollision,
            ];
            prop_assert!(expected.contains(&error.kind()), "{error}");
        }
        let _ = place.create(Plan::zeroed(1));
        let _ = inventory::list(&place.dir, &BLOCK).unwrap();
        inventory::sweep(&place.dir, &BLOCK, true).unwrap();
    }
}
