//! The checks, by subject. Each panics when the transport breaks the contract, and returns at once where the
//! transport does not claim the capability it is about.
#![expect(missing_docs, reason = "a check's name says what it checks")]

pub mod arming;
pub mod block;
pub mod closing;
pub mod connect;
pub mod frames;
pub mod handshake;
pub mod hints;
pub mod inventory;
pub mod leaving;
pub mod lifecycle;
pub mod names;
pub mod pressure;
pub mod sending;
pub mod text;
pub mod wakes;

use std::fmt::Debug;

use anyipc_core::{Error, ErrorKind, Name, Operation, Result, SmCode};

use crate::Fixture;

/// The error, which must be there.
fn failed<T: Debug>(result: Result<T>) -> Error {
    result.expect_err("a call succeeded that had to fail")
}

/// A creation that failed because the name lives.
fn assert_exists<T: Debug>(result: Result<T>) {
    let error = failed(result);
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Exists, Some(SmCode::CreateExist)),
        "{error}"
    );
}

/// A call that failed with −3, as opening does.
fn assert_open_fail<T: Debug>(result: Result<T>) {
    let error = failed(result);
    assert_eq!(error.code(), Some(SmCode::OpenFail), "{error}");
}

fn assert_unsupported<T: Debug>(result: Result<T>) {
    let error = failed(result);
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

/// Nothing of this name is left.
fn assert_gone(fixture: &Fixture<'_>, name: &Name) {
    let error = failed(fixture.transport().open(name, &fixture.options(&[])));
    assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NoOwner), "{error}");
    assert_eq!(
        (error.operation(), error.code()),
        (Operation::Open, Some(SmCode::OpenFail)),
        "{error}"
    );
}
