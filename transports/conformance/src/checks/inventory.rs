use anyipc_core::{
    Attempt, Capabilities, ErrorKind, Name, Object, ObjectState, Operation, Result, SmCode,
};

use super::{assert_gone, assert_unsupported, failed};
use crate::Fixture;
use crate::wait_loop::Watchdog;

/// Those of the objects that have this name.
#[track_caller]
fn of(name: &Name, objects: Result<Vec<Object>>) -> Vec<Object> {
    let mut objects = objects.expect("a list of objects");
    objects.retain(|object| object.name.as_ref() == Some(name));
    objects
}

pub fn what_lives_is_listed(fixture: &Fixture<'_>) {
    let (name, options, transport) = (fixture.name(), fixture.options(&[]), fixture.transport());
    if !fixture.can(Capabilities::INVENTORY) {
        assert_unsupported(transport.list(&options));
        assert_unsupported(transport.inspect(&name, &options));
        assert_unsupported(transport.remove(&name, &options, false));
        assert_unsupported(transport.sweep(&options, false));
        return;
    }
    let owner = fixture.create(&name);
    for objects in
        [of(&name, transport.list(&options)), of(&name, transport.inspect(&name, &options))]
    {
        assert!(!objects.is_empty(), "{name} is alive, but not listed");
        for object in objects {
            assert_eq!(object.state, ObjectState::Live, "{object:?}");
            assert!(!object.kind.is_empty() && !object.path.is_empty(), "{object:?}");
        }
    }
    assert!(of(&name, transport.sweep(&options, false)).is_empty(), "sweep reports a live object");
    fixture.close(owner);
    assert!(
        of(&name, transport.list(&options)).is_empty(),
        "{name} is listed after the last close"
    );
    match transport.inspect(&name, &options) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        objects => assert!(of(&name, objects).is_empty(), "{name} is known after the last close"),
    }
}

pub fn what_lives_is_not_removed(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::INVENTORY) {
        return;
    }
    let (name, options, transport) = (fixture.name(), fixture.options(&[]), fixture.transport());
    let owner = fixture.create(&name);
    let error = failed(transport.remove(&name, &options, false));
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    fixture.close(fixture.open(&name));
    fixture.close(owner);
    assert_gone(fixture, &name);
    let error = failed(transport.remove(&name, &options, false));
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// Connectors no longer find the owner, so an owner that waits for one must be told.
pub fn an_owner_is_told_that_its_name_was_removed(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::INVENTORY) {
        return;
    }
    let (name, options, transport) = (fixture.name(), fixture.options(&[]), fixture.transport());
    let owner = fixture.create(&name);
    transport.remove(&name, &options, true).expect("removal by force");
    let mut attempt = Attempt::new(fixture.hello());
    let told = Watchdog::new("the error that the name was removed");
    let error = loop {
        match owner.try_connect(&mut attempt) {
            Err(error) if error.is_would_block() => told.look(),
            other => break failed(other.map(drop)),
        }
    };
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::Removed, Operation::Accept),
        "{error}"
    );
    let error = failed(transport.close(owner));
    assert_eq!(error.code(), Some(SmCode::StatFail), "{error}");
    // The name must be free again.
    fixture.close(fixture.create(&name));
}
