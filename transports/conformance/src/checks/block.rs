use anyipc_core::{
    COMMON_KEYS, Capabilities, DynEndpoint, ErrorKind, Name, Options, Result, SmCode,
};

use super::{assert_exists, assert_gone, assert_unsupported, failed};
use crate::Fixture;

fn create(fixture: &Fixture<'_>, name: &Name, size: &'static str) -> Result<Box<dyn DynEndpoint>> {
    fixture.transport().create(name, &fixture.options(&[("size", size)]))
}

pub fn sizes_from_one_byte(fixture: &Fixture<'_>) {
    let name = fixture.name();
    if !fixture.can(Capabilities::BLOCK) {
        // The transport need not know the key, but must not ignore it.
        let keys = [fixture.transport().keys(), COMMON_KEYS];
        match Options::parse([("size", "4096")], &keys) {
            Ok(options) => {
                assert_unsupported(fixture.transport().create(&name, &options));
                assert_gone(fixture, &name);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidOption),
        }
        return;
    }
    for size in ["1", "2", "4095", "4096", "4097", "1MiB"] {
        let owner = create(fixture, &name, size).expect("create with size=");
        assert!(owner.extension().is_some(), "a block is an extension");
        assert_exists(create(fixture, &name, size));
        fixture.close(fixture.open(&name));
        fixture.close(owner);
        assert_gone(fixture, &name);
    }
}

pub fn impossible_sizes_fail(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::BLOCK) {
        return;
    }
    let name = fixture.name();
    for size in ["0", "18446744073709551615", "9223372036854775807", "4611686018427387904"] {
        let error = failed(create(fixture, &name, size));
        assert!(
            matches!(error.code(), Some(SmCode::CreateFail | SmCode::MemFail)),
            "size={size}: {error}"
        );
        assert_gone(fixture, &name);
    }
}

pub fn another_size_is_a_mismatch(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::BLOCK) {
        return;
    }
    let name = fixture.name();
    let owner = create(fixture, &name, "1000").expect("create with size=");
    let open = |size| fixture.transport().open(&name, &fixture.options(&[("size", size)]));
    fixture.close(open("1000").expect("open with the same size"));
    for size in ["999", "1001", "4096"] {
        let error = failed(open(size));
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Mismatch, Some(SmCode::OpenFail)),
            "{error}"
        );
    }
    fixture.close(owner);
}

pub fn a_block_lives_with_its_holders(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::BLOCK.and(Capabilities::OUTLIVES_CREATOR)) {
        return;
    }
    let name = fixture.name();
    let creator = create(fixture, &name, "100").expect("create with size=");
    let first = fixture.open(&name);
    fixture.close(creator);
    assert_exists(create(fixture, &name, "100"));
    let second = fixture.open(&name);
    fixture.close(first);
    assert_exists(create(fixture, &name, "100"));
    fixture.close(second);
    assert_gone(fixture, &name);
    fixture.close(create(fixture, &name, "200").expect("create after the last close"));
}
