use anyipc_core::{MAX_NAME, Name};

use super::assert_gone;
use crate::Fixture;

pub fn every_legal_name_works(fixture: &Fixture<'_>) {
    if fixture.skips_names() {
        return;
    }
    let long = "x".repeat(MAX_NAME - 60);
    for like in [
        "...",
        ".hidden",
        "with space ",
        "ä日本語🦀",
        "~$%&*?|<>:;\"'`",
        "-rf",
        "a?b=c&d#e%20",
        &long,
    ] {
        let name = fixture.name_like(like);
        let owner = fixture.create(&name);
        fixture.close(fixture.open(&name));
        fixture.close(owner);
        assert_gone(fixture, &name);
    }
    let exact = fixture.name_like(&"é".repeat(20));
    let padded = format!("{exact}{}", "y".repeat(MAX_NAME - exact.as_str().len()));
    let name = Name::new(&padded).expect("255 bytes are a legal name");
    fixture.close(fixture.create(&name));
    assert_gone(fixture, &name);
}

pub fn similar_names_are_different(fixture: &Fixture<'_>) {
    if fixture.skips_names() {
        return;
    }
    let base = fixture.name();
    let long = format!("{base}{}", "z".repeat(150));
    let names = [
        "a",
        "A",
        "a ",
        " a",
        "a_",
        "a.",
        "a?",
        "a-1",
        "a-2",
        "á",
        "a\u{301}",
        &format!("{long}1"),
        &format!("{long}2"),
    ]
    .map(|tail| Name::new(&format!("{base}{tail}")).expect("a legal name"));
    let owners: Vec<_> = names.iter().map(|name| (name, fixture.create(name))).collect();
    for (name, owner) in owners {
        fixture.close(fixture.open(name));
        fixture.close(owner);
        assert_gone(fixture, name);
    }
}
