use std::fmt;

use super::{ErrorKind, Operation};

/// The five classic error values, from the shared-memory library that this project grew from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmCode {
    /// `SM_CREATE_EXIST`, −1: the name exists.
    CreateExist,
    /// `SM_CREATE_FAIL`, −2: the object could not be created.
    CreateFail,
    /// `SM_OPEN_FAIL`, −3: there is no valid object to open.
    OpenFail,
    /// `SM_MEM_FAIL`, −4: out of memory for the operation.
    MemFail,
    /// `SM_STAT_FAIL`, −5: the object's status could not be read.
    StatFail,
}

impl SmCode {
    /// The negative integer.
    pub const fn value(self) -> i32 {
        match self {
            Self::CreateExist => -1,
            Self::CreateFail => -2,
            Self::OpenFail => -3,
            Self::MemFail => -4,
            Self::StatFail => -5,
        }
    }

    /// The constant's name, such as `SM_CREATE_EXIST`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateExist => "SM_CREATE_EXIST",
            Self::CreateFail => "SM_CREATE_FAIL",
            Self::OpenFail => "SM_OPEN_FAIL",
            Self::MemFail => "SM_MEM_FAIL",
            Self::StatFail => "SM_STAT_FAIL",
        }
    }

    /// The one table from operation and kind to the classic value. Its first matching line counts.
    pub(super) const fn of(operation: Operation, kind: ErrorKind) -> Option<Self> {
        match (operation, kind) {
            (_, ErrorKind::OutOfMemory) => Some(Self::MemFail),
            (Operation::Create | Operation::AllocLpsz, ErrorKind::Exists) => {
                Some(Self::CreateExist)
            }
            (Operation::Create | Operation::AllocLpsz, _) => Some(Self::CreateFail),
            (Operation::Open | Operation::Connect | Operation::ReadLpsz, _) => Some(Self::OpenFail),
            (_, ErrorKind::StatFailed | ErrorKind::Removed) => Some(Self::StatFail),
            _ => None,
        }
    }
}

impl fmt::Display for SmCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.value())
    }
}
