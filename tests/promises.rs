//! Each test that `docs/promises.md` names exists in the file that it names.

#![allow(clippy::unwrap_used, reason = "a failure is a panic here")]

use std::path::Path;

#[test]
fn every_named_test_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/promises.md")).unwrap();
    let (mut file, mut source) = ("", String::new());
    let (mut found, mut missing) = (0, Vec::new());
    let items = text.split("\n\n").filter(|paragraph| paragraph.starts_with("- "));
    // Every second part stands between backticks: a file, or tests of the file before them.
    for word in items.flat_map(|item| item.split('`').skip(1).step_by(2)) {
        if word.ends_with(".rs") && word.contains('/') && !word.contains('*') {
            file = word;
            source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            if source.is_empty() {
                missing.push(format!("{file}: no such file"));
            }
        } else if is_test(word) {
            found += 1;
            if !source.contains(&format!("fn {word}")) {
                missing.push(format!("{file}: no test {word}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/promises.md:\n{}", missing.join("\n"));
    assert!(found > 50, "only {found} tests named: has the form of the page changed?");
}

/// Names of tests are words joined by underscores.
fn is_test(word: &str) -> bool {
    word.contains('_') && word.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
}
