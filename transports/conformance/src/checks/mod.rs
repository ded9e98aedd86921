//! The checks, by subject. Each panics when the transport breaks its rule, and returns at once if
//! the transport does not claim the capability that it is about. `CHECKS` has the rules.
#![expect(missing_docs, reason = "a check's name says what it checks")]

pub mod arming;
pub mod block;
pub mod closing;
pub mod connect;
pub mod frames;
pub mod handshake;
pub mod hints;
pub mod inventory;
pub mod leases;
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

/// The error of a call that must fail.
#[track_caller]
fn failed<T: Debug>(result: Result<T>) -> Error {
    result.expect_err("a call succeeded that must fail")
}

/// A creation must fail because the name is alive.
#[track_caller]
fn assert_exists<T: Debug>(result: Result<T>) {
    let error = failed(result);
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Exists, Some(SmCode::CreateExist)),
        "creating a live name: {error}"
    );
}

/// A call must fail with −3.
#[track_caller]
fn assert_open_fail<T: Debug>(result: Result<T>) {
    let error = failed(result);
    assert_eq!(error.code(), Some(SmCode::OpenFail), "{error}");
}

/// A call without its capability must fail.
#[track_caller]
fn assert_unsupported<T: Debug>(result: Result<T>) {
    let error = failed(result);
    assert_eq!(error.kind(), ErrorKind::Unsupported, "the capability is not claimed: {error}");
}

/// No object of this name may be left.
#[track_caller]
fn assert_gone(fixture: &Fixture<'_>, name: &Name) {
    let opened = fixture.transport().open(name, &fixture.options(&[]));
    let error = opened.expect_err("a name is still alive that must be free");
    assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NoOwner), "{error}");
    assert_eq!(
        (error.operation(), error.code()),
        (Operation::Open, Some(SmCode::OpenFail)),
        "{error}"
    );
}
