use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_memory::{Line, Participants, Region, WaitSet, check_generation};
use anyipc_ring::robust::OwnerId;

/// What the offset of an object is a multiple of: a cache line.
pub const ALIGN: usize = 64;

/// The version of the layout of all objects.
const LAYOUT: u64 = 1;

/// The first word of an object, which tells what it is.
const IDENTITY: usize = 0;
/// The wait set of an object.
const WAITERS: usize = 24;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Mutex = 1,
    RwLock = 2,
    Semaphore = 3,
    Event = 4,
    Condvar = 5,
    Barrier = 6,
    Once = 7,
}

impl Kind {
    const ALL: &[Self] = &[
        Self::Mutex,
        Self::RwLock,
        Self::Semaphore,
        Self::Event,
        Self::Condvar,
        Self::Barrier,
        Self::Once,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwLock => "rwlock",
            Self::Semaphore => "semaphore",
            Self::Event => "event",
            Self::Condvar => "condvar",
            Self::Barrier => "barrier",
            Self::Once => "once",
        }
    }

    /// What the number in the identity of such an object says.
    fn describe(self, number: u32) -> String {
        match self {
            Self::Mutex | Self::RwLock => format!("{number} bytes of value"),
            Self::Event if number == 0 => "manual reset".into(),
            Self::Event if number == 1 => "automatic reset".into(),
            Self::Barrier => format!("{number} parties"),
            Self::Semaphore | Self::Event | Self::Condvar | Self::Once => {
                format!("an unknown form ({number})")
            }
        }
    }
}

/// What the first word of an object says: its kind, and one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
}

impl Identity {
    /// The first word: `layout` in byte 0, the kind in byte 1, zero, the number in the upper half.
    pub(crate) fn word(self) -> u64 {
        LAYOUT | (self.kind as u64) << 8 | u64::from(self.number) << 32
    }

    /// Why an object with this word is another one.
    fn refuse(self, word: u64) -> Error {
        let mismatch = |why| Error::new(Operation::Open, ErrorKind::Mismatch).because(why);
        let wanted = self.kind.name();
        if word == 0 {
            return mismatch(format!("there is no {wanted}: the memory is zero"));
        }
        let layout = word & 0xff;
        let kind = Kind::ALL.iter().find(|kind| **kind as u64 == word >> 8 & 0xff);
        match kind {
            _ if word & 0xffff_0000 != 0 || kind.is_none() && layout == LAYOUT => {
                Error::new(Operation::Open, ErrorKind::Corrupt).because(format!(
                    "there is no {wanted}: the bytes are no object of this library"
                ))
            }
            _ if layout != LAYOUT => mismatch(format!(
                "it has layout {layout} of locks and events, this program speaks layout {LAYOUT}"
            )),
            Some(kind) if *kind != self.kind => {
                mismatch(format!("there is no {wanted}: it is of the kind {}", kind.name()))
            }
            _ => mismatch(format!(
                "it has {}, not {}",
                self.kind.describe((word >> 32) as u32),
                self.kind.describe(self.number)
            )),
        }
    }
}

/// An object's part of the memory, and the participants that use it.
#[derive(Debug, Clone)]
pub struct Place {
    participants: Arc<Participants>,
    contents: Region,
    offset: usize,
    makes: bool,
}

impl Place {
    /// The place at an offset of a segment's contents. `makes`: an object is made there if the
    /// memory is zero.
    pub fn new(participants: &Arc<Participants>, offset: usize, makes: bool) -> Self {
        let contents = participants.memory().region();
        Self { participants: Arc::clone(participants), contents, offset, makes }
    }

    /// The number of the object of this kind that is there.
    pub(crate) fn number(&self, kind: Kind) -> Option<u32> {
        self.participants.memory().check(Operation::Open).ok()?;
        let word = self.word()?;
        let number = (word >> 32) as u32;
        (word == Identity { kind, number }.word()).then_some(number)
    }

    /// The first word, if there is room for an object. The memory is mapped.
    fn word(&self) -> Option<u64> {
        Some(self.contents.part(self.offset, ALIGN)?.u64(IDENTITY).load(Acquire))
    }

    /// Finds or makes the object.
    ///
    /// # Errors
    /// `OutOfBounds`; `Mismatch` for an object of another kind, layout or size; `Corrupt` if the
    /// memory is no object and not zero; `Forked`.
    pub(crate) fn settle(self, identity: Identity, len: usize) -> Result<Object> {
        self.participants.memory().check(Operation::Open)?;
        let there = self.word();
        let Self { participants, contents, offset, makes } = self;
        let memory = participants.memory();
        let outside = |why| Err(Error::new(Operation::Open, ErrorKind::OutOfBounds).because(why));
        if !offset.is_multiple_of(ALIGN) {
            return outside(format!("offset {offset} is no multiple of {ALIGN}"));
        }
        let end = offset.checked_add(len);
        let region = match end.filter(|end| *end <= memory.len()) {
            Some(_) => contents.part(offset, len),
            None => None,
        };
        let region = region.and_then(|region| Some((region.line(0)?, region)));
        let Some((line, region)) = region else {
            // An object of another size that is there says more than where this one would end.
            let other = there.filter(|word| *word != 0 && *word != identity.word());
            if let Some(error) = other.map(|word| identity.refuse(word))
                && error.kind() == ErrorKind::Mismatch
            {
                return Err(error);
            }
            return outside(format!(
                "a {} of {len} bytes at offset {offset} of a block of {} bytes",
                identity.kind.name(),
                memory.len()
            ));
        };
        let word = line.u64::<IDENTITY>();
        let found = match word.load(Acquire) {
            0 if makes => word
                .compare_exchange(0, identity.word(), AcqRel, Acquire)
                .map_or_else(|found| found, |_| identity.word()),
            found => found,
        };
        if found != identity.word() {
            return Err(identity.refuse(found));
        }
        let waiters = WaitSet::new(&region, WAITERS);
        let (own_id, generation) = (participants.owner_id(), memory.generation());
        Ok(Object { participants, own_id, generation, line, region, waiters })
    }
}

/// An object without room for its cells: its size was checked before.
#[cold]
pub(crate) fn too_small() -> Error {
    Error::new(Operation::Open, ErrorKind::OutOfBounds)
}

impl Object {
    /// The name of the memory that it lies in.
    pub(crate) fn memory_name(&self) -> &str {
        self.participants.memory().name()
    }
}

/// An object that was found: its bytes, its waiters, and the participants.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) participants: Arc<Participants>,
    /// This handle's id in lock words.
    pub(crate) own_id: OwnerId,
    generation: u32,
    /// Its first words.
    pub(crate) line: Line,
    pub(crate) region: Region,
    pub(crate) waiters: WaitSet,
}

impl Object {
    /// `Forked` in a child of the process that opened it: the memory is not mapped there.
    #[inline(always)]
    pub(crate) fn check(&self) -> Result<()> {
        check_generation(self.generation, Operation::Lock)
    }
}
