//! Common to all commands: usage, configuration, exit codes, streams.

mod common;

use std::fs;

use common::{Place, finish, parse};
use serde_json::{Value, json};

const COMMANDS: &[&str] = &[
    "send",
    "recv",
    "serve",
    "call",
    "connect",
    "block",
    "queue",
    "lpsz",
    "ls",
    "inspect",
    "rm",
    "explain",
    "doctor",
    "torture",
    "completions",
    "man",
];

#[test]
fn every_command_has_help_with_examples() {
    let place = Place::new();
    let help = place.run(["--help"]).ok();
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        let help = place.run([command, "--help"]).ok();
        assert!(help.contains("Example") && help.contains("anyipc "), "{command}: {help}");
        assert!(help.contains("--json"), "{command}");
    }
    for command in ["create", "open", "write", "cat", "store", "load", "stat", "watch"] {
        assert!(place.run(["block", command, "--help"]).ok().contains("Example"), "{command}");
    }
    for command in ["send", "recv", "ack", "retry", "extend", "len", "status", "purge"] {
        assert!(place.run(["queue", command, "--help"]).ok().contains("Example"), "{command}");
    }
    assert!(place.run(["--version"]).ok().starts_with("anyipc 0."));
}

#[test]
fn usage_errors_are_2() {
    let place = Place::new();
    for args in [
        &["frobnicate"][..],
        &["send"],
        &["recv", "shm://x", "--count", "many"],
        &["recv", "shm://x", "--count", "1", "--follow"],
        &["serve", "shm://x"],
        &["call", "shm://x"],
        &["connect"],
        &["connect", "shm://x", "text"],
        &["block"],
        &["block", "cat", "shm://x", "--offset", "-1"],
        &["block", "cat", "shm://x", "--offset", "1kb"],
        &["send", "shm://x", "hi", "--timeout", "5"],
        &["lpsz", "shm://x", "--hold"],
    ] {
        let plain = place.run(args);
        assert_eq!(plain.code(), Some(2), "{args:?}");
        assert!(plain.stdout().is_empty() && !plain.stderr().is_empty(), "{args:?}");
        let json = place.run([&["--json"], args].concat());
        assert_eq!(json.failure(), (2, "usage".into(), None), "{args:?}");
        assert!(json.stdout().is_empty(), "{args:?}");
        let mut command = place.command(args);
        command.env("ANYIPC_JSON", "1");
        assert_eq!(common::finish(command, b"").failure().1, "usage", "{args:?}");
    }
}

#[test]
fn addresses_that_cannot_be_understood_are_2() {
    let place = Place::new();
    for (url, kind, word) in [
        ("hello", "invalid_address", "scheme://name"),
        ("shm:hello", "invalid_address", "scheme://name"),
        ("://x", "invalid_address", "scheme"),
        ("SHM://x", "invalid_address", "lower-case"),
        ("smh://x", "invalid_address", "shm"),
        ("shm://", "invalid_name", "at least one byte"),
        ("shm://a/b", "invalid_name", "'/'"),
        ("shm://..", "invalid_name", ".."),
        ("shm://a%00b", "invalid_name", "\\0"),
        ("shm://%zz", "invalid_address", "percent"),
        ("shm://x?size", "invalid_address", "key=value"),
        ("shm://x?siez=1", "invalid_option", "size"),
        ("shm://x?wait=hard", "invalid_option", "adaptive, spin, block"),
        ("shm://x?wait=spin&wait=spin", "invalid_option", "twice"),
    ] {
        for (args, code) in [
            (&["recv"][..], Some(-2)),
            (&["send"], Some(-3)),
            (&["block", "open"], Some(-3)),
            (&["rm"], None),
            (&["explain"], None),
        ] {
            let failed = place.run([&["--json"], args, &[url]].concat());
            assert_eq!(failed.failure(), (2, kind.into(), code), "{args:?} {url}");
            let message = failed.error()["message"].as_str().unwrap().to_owned();
            assert!(message.contains(word), "{url}: {message}");
        }
    }
    let long = format!("shm://{}", "x".repeat(256));
    assert_eq!(
        place.run(["--json", "recv", &long]).failure(),
        (2, "invalid_name".into(), Some(-2))
    );
}

#[test]
fn errors_have_one_shape() {
    let place = Place::new();
    let failed = place.run(["--json", "rm", "shm://nothing"]);
    let line: Value = parse(failed.stderr().trim_end());
    let message = line["error"]["message"].clone();
    assert_eq!(
        line,
        json!({ "schema": 1, "error": {
            "kind": "not_found", "code": null, "name": null, "operation": "remove",
            "address": "shm://nothing", "message": message,
        }})
    );
    let text = place.run(["rm", "shm://nothing"]);
    assert_eq!(text.stderr(), format!("error: {}\n", message.as_str().unwrap()));
    let mut command = place.command(["rm", "shm://nothing"]);
    command.env("ANYIPC_JSON", "1");
    assert_eq!(finish(command, b"").stderr(), failed.stderr());
}

#[test]
fn names_come_from_the_environment_then_the_file() {
    let place = Place::new();
    let file = place.path().join("anyipc.toml");
    fs::write(&file, "[addresses]\nerrors = \"inproc://file?wait=spin\"\n").unwrap();
    let file = file.to_str().unwrap();
    let explained = |args: &[&str], environment: &[(&str, &str)]| {
        let mut command = place.command([&["--json", "explain"], args].concat());
        command.envs(environment.iter().copied());
        finish(command, b"")
    };
    let address = |args: &[&str], environment: &[(&str, &str)]| {
        explained(args, environment).records()[0]["address"].as_str().unwrap().to_owned()
    };
    let from_file = "inproc://file?wait=spin";
    assert_eq!(address(&["errors", "--config", file], &[]), from_file);
    assert_eq!(address(&["@errors", "--config", file], &[]), from_file);
    assert_eq!(address(&["errors"], &[("ANYIPC_CONFIG", file)]), from_file);
    assert_eq!(address(&["errors", "--config", file], &[("ANYIPC_CONFIG", "/nowhere")]), from_file);
    let url = ("ANYIPC_ERRORS_URL", "inproc://environment");
    assert_eq!(address(&["errors", "--config", file], &[url]), "inproc://environment");
    assert_eq!(address(&["errors"], &[url]), "inproc://environment");
    assert_eq!(address(&["inproc://flag", "--config", file], &[url]), "inproc://flag");

    let missing = explained(&["warnings", "--config", file], &[]);
    assert_eq!(missing.failure(), (2, "invalid_address".into(), None));
    assert!(
        missing.stderr().contains("errors") && missing.stderr().contains("ANYIPC_WARNINGS_URL")
    );
    assert_eq!(explained(&["errors", "--config", "/nowhere"], &[]).failure().0, 1);
    assert_eq!(address(&["errors", "--config", "/nowhere"], &[url]), "inproc://environment");
    fs::write(file, "[adresses]\n").unwrap();
    let misspelt = explained(&["errors", "--config", file], &[]);
    assert_eq!(misspelt.failure(), (2, "invalid_address".into(), None));
    assert!(misspelt.stderr().contains("no [addresses] but: adresses"), "{}", misspelt.stderr());
    fs::write(file, "addresses").unwrap();
    assert_eq!(
        explained(&["errors", "--config", file], &[]).failure(),
        (2, "invalid_option".into(), None)
    );
}

#[test]
fn colour_only_where_it_is_wanted() {
    let place = Place::new();
    let errors = |environment: &[(&str, &str)]| {
        let mut command = place.command(["rm", "shm://nothing"]);
        command.envs(environment.iter().copied());
        finish(command, b"").stderr()
    };
    assert!(!errors(&[]).contains('\u{1b}'), "no terminal, no colour");
    assert!(errors(&[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    assert!(!errors(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
}

#[test]
fn notes_can_be_silenced() {
    let place = Place::new();
    assert_eq!(place.run(["ls"]).stderr(), "no objects\n");
    assert_eq!(place.run(["--quiet", "ls"]).stderr(), "");
    assert_eq!(place.run(["ls", "-q"]).stderr(), "");
}

#[test]
fn a_closed_output_is_no_failure() {
    let place = Place::new();
    for args in [
        &["completions", "bash"][..],
        &["man"],
        &["explain", "inproc://x"],
        &["--json", "explain", "inproc://x"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = place.command(args);
        command.stdout(writer);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(output.stderr, b"", "{args:?}");
    }
}

#[test]
fn a_full_output_is_a_failure() {
    let place = Place::new();
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let mut command = place.command(["--json", "explain", "inproc://x"]);
    command.stdout(full);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = parse(std::str::from_utf8(&output.stderr).unwrap().trim_end());
    assert_eq!(error["error"]["kind"], "out_of_memory");
}

#[test]
fn completions_and_manuals_are_generated() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.run(["completions", shell]).ok().contains("explain"), "{shell}");
    }
    let bash = place.run(["completions", "bash"]).ok();
    for words in ["block load", "block store", "queue ack", "queue retry", "queue extend"] {
        assert!(bash.contains(&words.replace(' ', "__subcmd__")), "{words}");
    }
    assert!(place.run(["man"]).ok().contains(".TH anyipc 1"));
    let pages = place.path().join("man");
    fs::create_dir(&pages).unwrap();
    place.run(["man", "--dir", pages.to_str().unwrap()]).ok();
    for command in COMMANDS {
        assert!(pages.join(format!("anyipc-{command}.1")).exists(), "{command}");
    }
    let failed = place.run(["--json", "man", "--dir", "/nowhere"]);
    assert_eq!(failed.failure(), (1, "not_found".into(), None));
}
