//! What the documents name is in the tree: tests of promises, files with unsafe code, documents.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The items of all lists, each with its continuation lines.
fn items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("- ") {
            items.push(String::new());
            inside = true;
        } else if !line.starts_with("  ") {
            inside = false;
        }
        if inside && let Some(item) = items.last_mut() {
            item.push_str(line);
            item.push(' ');
        }
    }
    items
}

/// What stands between backticks.
fn quoted(item: &str) -> Vec<&str> {
    item.split('`').skip(1).step_by(2).collect()
}

/// All files below `dir` with this extension, relative to the root and with `/`.
fn files(dir: &str, extension: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(root().join(dir)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        let hidden = name.rsplit('/').next().unwrap().starts_with('.');
        if path.is_dir() && !hidden && !name.ends_with("target") {
            files(&name, extension, found);
        } else if path.extension().is_some_and(|its| its == extension) {
            found.insert(name);
        }
    }
}

/// In `docs/promises.md` an item is a file and then tests in it.
#[test]
fn every_named_test_exists() {
    let text = read("docs/promises.md");
    let mut tests = 0;
    for item in items(&text) {
        let quoted = quoted(&item);
        let (file, names) = quoted.split_first().unwrap_or_else(|| panic!("no file: {item}"));
        let code = read(file);
        assert!(!names.is_empty(), "no test: {item}");
        for name in names {
            assert!(code.contains(&format!("fn {name}(")), "{file} has no test {name}");
            tests += 1;
        }
    }
    assert!(tests > 100, "only {tests} tests were found in the document");
}

/// True if this command of `docs/promises.md` runs the tests in `file`.
fn runs(command: &str, file: &str) -> bool {
    let (parts, stem): (Vec<_>, _) =
        (file.split('/').collect(), Path::new(file).file_stem().unwrap().to_str().unwrap());
    match (command, parts.as_slice()) {
        (".ci/run loom", ["transports", "ring", ..]) | (".ci/run corpus", ["fuzz", ..]) => {
            return true;
        }
        // The suite, over every transport.
        (_, ["transports", "conformance", ..]) => return command.contains("--test conformance"),
        _ => {}
    }
    let package = match parts.as_slice() {
        ["transports", name, ..] => format!("anyipc-{name}"),
        ["cli", ..] => "anyipc-cli".to_owned(),
        _ => "anyipc".to_owned(),
    };
    let words: Vec<_> = command.split_whitespace().collect();
    let given = |option| words.windows(2).filter(move |pair| pair[0] == option).map(|pair| pair[1]);
    let is_in_package = given("-p").next().is_none() || given("-p").any(|name| name == package);
    let is_chosen = if parts.contains(&"tests") && !parts.contains(&"src") {
        given("--test").any(|name| name == stem)
    } else {
        words.contains(&"--lib")
    };
    let runs_all = given("--test").next().is_none() && !words.contains(&"--lib");
    words.starts_with(&["cargo", "test"]) && is_in_package && (is_chosen || runs_all)
}

#[test]
fn the_commands_of_a_promise_run_all_its_tests() {
    let text = read("docs/promises.md");
    for section in text.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap();
        let (_, block) = section.split_once("```sh\n").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        let commands: Vec<_> = block
            .lines()
            .flat_map(|line| line.split('#').next().unwrap().split("&&"))
            .map(str::trim)
            .collect();
        for item in items(section) {
            let file = quoted(&item)[0];
            assert!(
                commands.iter().any(|command| runs(command, file)),
                "{title}: no command runs {file}"
            );
        }
    }
}

fn has_unsafe_code(file: &str) -> bool {
    read(file).lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        let after = line.split("unsafe ").skip(1);
        let mut starts = after.map(str::trim_start);
        starts.any(|rest| ["{", "fn", "impl", "extern"].iter().any(|word| rest.starts_with(word)))
            || line.contains("#[unsafe(")
    })
}

/// In `SECURITY.md` an item is a directory and then files in it.
#[test]
fn every_file_with_unsafe_code_is_listed() {
    let text = read("SECURITY.md");
    let (_, section) = text.split_once("## Where unsafe code is").unwrap();
    let mut listed = BTreeSet::new();
    for item in items(section) {
        let quoted = quoted(&item);
        let (dir, names) = quoted.split_first().unwrap();
        listed.extend(names.iter().map(|name| format!("{dir}{name}")));
    }
    let mut found = BTreeSet::new();
    for dir in ["src", "cli/src", "measure/src", "platform-report/src", "transports"] {
        files(dir, "rs", &mut found);
    }
    found.retain(|file| !file.contains("/tests/") && has_unsafe_code(file));
    let missing: Vec<_> = found.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "only in the tree or only in SECURITY.md: {missing:?}");
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut documents = BTreeSet::new();
    files("", "md", &mut documents);
    for document in documents {
        let text = read(&document);
        let dir = Path::new(&document).parent().map(PathBuf::from).unwrap_or_default();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !link.contains(':') && !file.is_empty() {
                let target = root().join(&dir).join(file);
                assert!(target.exists(), "{document}: {link} leads nowhere");
            }
        }
    }
}
