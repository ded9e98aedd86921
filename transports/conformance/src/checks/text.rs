use std::thread;

use anyipc_core::{Attempt, Capabilities, DynEndpoint, Result};

use super::{assert_exists, assert_gone, assert_open_fail, assert_unsupported, failed};
use crate::Fixture;
use crate::wait_loop::Watchdog;

fn read(endpoint: &dyn DynEndpoint) -> Result<Vec<u8>> {
    let mut texts = Vec::new();
    endpoint.read_lpsz(&mut |text| texts.push(text.to_bytes().to_vec()))?;
    assert_eq!(texts.len(), 1, "read_lpsz must show the text exactly once");
    Ok(texts.concat())
}

/// Reads while the owner accepts, since some transports answer only then. No connector comes.
fn read_beside(
    fixture: &Fixture<'_>,
    owner: &dyn DynEndpoint,
    reader: &dyn DynEndpoint,
) -> Result<Vec<u8>> {
    thread::scope(|scope| {
        let reading = scope.spawn(|| read(reader));
        let (mut attempt, watchdog) = (Attempt::new(fixture.hello()), Watchdog::new("the text"));
        while !reading.is_finished() {
            if fixture.can(Capabilities::CHANNEL) {
                let error = failed(owner.try_connect(&mut attempt));
                assert!(
                    error.is_would_block(),
                    "reading the text must not be an event for accept: {error}"
                );
            }
            watchdog.look();
        }
        reading.join().expect("reading")
    })
}

pub fn texts_of_any_length(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::LPSZ) {
        return;
    }
    let every_byte: Vec<u8> = (1..=255).collect();
    let lengths = [1, 2, 7, 100, 4095, 4096, 100_000];
    let texts =
        lengths.into_iter().map(|len| b"anyipc".iter().copied().cycle().take(len).collect());
    for text in [Vec::new(), every_byte, "grüß dich, 世界".into()].into_iter().chain(texts) {
        let name = fixture.name();
        let alloc = || fixture.transport().alloc_lpsz(&name, &text, &fixture.options(&[]));
        let creator = alloc().expect("alloc_lpsz of a free name");
        let opener = fixture.open(&name);
        for endpoint in [&creator, &opener, &creator] {
            let got = read_beside(fixture, &*creator, &**endpoint).expect("read");
            assert!(got == text, "a text of {} bytes changed", text.len());
        }
        assert_exists(alloc());
        assert_exists(fixture.transport().create(&name, &fixture.options(&[])));
        fixture.close(opener);
        fixture.close(creator);
        assert_gone(fixture, &name);
    }
}

pub fn only_texts_are_read(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::LPSZ) {
        return;
    }
    let name = fixture.name();
    let owner = fixture.create(&name);
    assert_open_fail(read_beside(fixture, &*owner, &*owner));
    assert_open_fail(read_beside(fixture, &*owner, &*fixture.open(&name)));
}

pub fn a_text_lives_with_its_holders(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::LPSZ) {
        return;
    }
    let name = fixture.name();
    let options = fixture.options(&[]);
    let creator =
        fixture.transport().alloc_lpsz(&name, b"still here", &options).expect("alloc_lpsz");
    let opener = fixture.open(&name);
    fixture.close(creator);
    if fixture.can(Capabilities::OUTLIVES_CREATOR) {
        assert_eq!(read(&*opener).expect("read"), b"still here");
        assert_exists(fixture.transport().alloc_lpsz(&name, b"another", &options));
        assert_eq!(read(&*fixture.open(&name)).expect("read"), b"still here");
    } else {
        assert_open_fail(read(&*opener));
    }
    fixture.close(opener);
    assert_gone(fixture, &name);
}

pub fn without_lpsz_it_is_unsupported(fixture: &Fixture<'_>) {
    if fixture.skips_with(Capabilities::LPSZ) {
        return;
    }
    let name = fixture.name();
    let options = fixture.options(&[]);
    assert_unsupported(fixture.transport().alloc_lpsz(&name, b"text", &options));
    assert_gone(fixture, &name);
    assert_unsupported(read(&*fixture.create(&name)));
}
