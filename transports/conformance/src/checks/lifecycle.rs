use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyipc_core::{COMMON_KEYS, Error, ErrorKind, Role};

use super::{assert_exists, assert_gone};
use crate::Fixture;

pub fn describes_itself(fixture: &Fixture<'_>) {
    let schemes = fixture.transport().schemes();
    assert!(!schemes.is_empty(), "schemes() is empty");
    for scheme in schemes {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '+';
        assert!(
            scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.chars().all(legal),
            "{scheme:?} is no legal scheme"
        );
    }
    let keys = fixture.transport().keys();
    for (i, key) in keys.iter().enumerate() {
        assert!(!key.name.is_empty() && !key.help.is_empty(), "{key:?} has no name or no help");
        assert!(
            keys[..i].iter().all(|other| other.name != key.name),
            "{} is declared twice",
            key.name
        );
        let common = COMMON_KEYS.iter().find(|common| common.name == key.name);
        assert!(
            common.is_none_or(|common| common == key),
            "{} differs from the common key of that name",
            key.name
        );
    }
}

pub fn create_open_close(fixture: &Fixture<'_>) {
    let name = fixture.name();
    assert_gone(fixture, &name);
    let owner = fixture.create(&name);
    assert_eq!(owner.role(), Role::Owner);
    let openers = [fixture.open(&name), fixture.open(&name)];
    for opener in openers {
        assert_eq!(opener.role(), Role::Opener);
        fixture.close(opener);
    }
    fixture.close(owner);
    assert_gone(fixture, &name);
}

pub fn dropping_is_closing(fixture: &Fixture<'_>) {
    let name = fixture.name();
    let owner = fixture.create(&name);
    drop(fixture.open(&name));
    drop(owner);
    assert_gone(fixture, &name);
    fixture.close(fixture.create(&name));
}

pub fn a_second_create_exists(fixture: &Fixture<'_>) {
    let name = fixture.name();
    let owner = fixture.create(&name);
    for _ in 0..3 {
        assert_exists(fixture.transport().create(&name, &fixture.options(&[])));
    }
    fixture.close(fixture.open(&name));
    fixture.close(owner);
}

pub fn open_of_nothing_fails(fixture: &Fixture<'_>) {
    let name = fixture.name();
    for _ in 0..3 {
        assert_gone(fixture, &name);
    }
    fixture.close(fixture.create(&name));
}

pub fn the_name_is_free_after_the_close(fixture: &Fixture<'_>) {
    let name = fixture.name();
    for _ in 0..100 {
        let owner = fixture.create(&name);
        let opener = fixture.open(&name);
        fixture.close(owner);
        fixture.close(opener);
        assert_gone(fixture, &name);
    }
}

pub fn open_or_create_adopts(fixture: &Fixture<'_>) {
    let name = fixture.name();
    let options = fixture.options(&[("create", "open_or_create")]);
    let create = || fixture.transport().create(&name, &options).expect("open_or_create");
    let owner = create();
    assert_eq!(owner.role(), Role::Owner);
    let opener = create();
    assert_eq!(opener.role(), Role::Opener, "the name has its owner already");
    fixture.close(opener);
    fixture.close(owner);
    let owner = create();
    assert_eq!(owner.role(), Role::Owner);
    fixture.close(owner);
    assert_gone(fixture, &name);
}

pub fn races_have_one_winner(fixture: &Fixture<'_>) {
    const RACERS: usize = 8;
    let gate = Barrier::new(RACERS);
    for adopt in [false, true] {
        let options = if adopt {
            fixture.options(&[("create", "open_or_create")])
        } else {
            fixture.options(&[])
        };
        for _ in 0..30 {
            let name = fixture.name();
            let race = || {
                gate.wait();
                let result = fixture.transport().create(&name, &options);
                gate.wait();
                match result {
                    Ok(endpoint) => endpoint.role() == Role::Owner,
                    Err(error) => {
                        assert!(!adopt && error.kind() == ErrorKind::Exists, "{error}");
                        false
                    }
                }
            };
            let owners = thread::scope(|scope| {
                let racers: Vec<_> = (0..RACERS).map(|_| scope.spawn(race)).collect();
                racers
                    .into_iter()
                    .filter_map(|racer| racer.join().expect("racer").then_some(()))
                    .count()
            });
            assert_eq!(owners, 1, "of {RACERS} racing creators exactly one must become the owner");
            assert_gone(fixture, &name);
        }
    }
}

pub fn one_owner_at_a_time(fixture: &Fixture<'_>) {
    let name = fixture.name();
    let options = fixture.options(&[]);
    let owned = AtomicBool::new(false);
    let acceptable =
        |error: Error, kinds: &[ErrorKind]| assert!(kinds.contains(&error.kind()), "{error}");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    match fixture.transport().create(&name, &options) {
                        Ok(owner) => {
                            assert!(!owned.swap(true, Ordering::SeqCst), "two owners at once");
                            owned.store(false, Ordering::SeqCst);
                            fixture.close(owner);
                        }
                        Err(error) => acceptable(error, &[ErrorKind::Exists]),
                    }
                    match fixture.transport().open(&name, &options) {
                        Ok(opener) => fixture.close(opener),
                        Err(error) => acceptable(error, &[ErrorKind::NotFound, ErrorKind::NoOwner]),
                    }
                }
            });
        }
    });
    assert_gone(fixture, &name);
}
