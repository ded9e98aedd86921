//! ls, inspect, rm, explain and doctor.

mod common;

use common::{Place, holders, works};
use serde_json::{Value, json};

fn list(place: &Place) -> Vec<Value> {
    place.run(["--json", "ls"]).records()
}

#[test]
fn everything_is_listed() {
    let place = Place::new();
    assert_eq!((place.run(["ls"]).ok().as_str(), list(&place).len()), ("", 0));
    let holder = place.hold(["block", "create", "shm://a b%3F?size=9", "--hold"]);
    let listed = list(&place);
    assert_eq!(listed.len(), 2);
    let block = listed.iter().find(|object| object["kind"] == "block").unwrap();
    assert_eq!(block["address"], "shm://a%20b%3F");
    assert_eq!(block["name"], "a b?");
    assert_eq!(
        (&block["scheme"], &block["state"], &block["size"]),
        (&json!("shm"), &json!("live"), &json!(9))
    );
    assert_eq!(block["holders"], holders(holder.pid()));
    assert!(block["path"].as_str().unwrap().starts_with(place.path().to_str().unwrap()));
    assert!(block["facts"].is_object());
    assert!(listed.iter().any(|object| object["kind"] == "rendezvous"));

    let table = place.run(["ls"]).ok();
    let header = table.lines().next().unwrap();
    assert_eq!(
        header.split_whitespace().collect::<Vec<_>>(),
        ["ADDRESS", "KIND", "STATE", "SIZE", "HOLDERS", "PATH"]
    );
    assert!(table.contains("shm://a%20b%3F  block"), "{table}");

    let inspected = place.run(["--json", "inspect", "shm://a%20b%3F"]).records();
    assert_eq!(inspected.len(), 2);
    assert!(inspected.iter().all(|object| listed.contains(object)));
    let text = place.run(["inspect", "shm://a%20b%3F"]).ok();
    if cfg!(unix) {
        assert!(text.contains(&format!("holders   {}", holder.pid())), "{text}");
    }
    let none = place.run(["--json", "inspect", "shm://none"]);
    assert_eq!(none.failure(), (1, "not_found".into(), None));
}

#[test]
fn what_is_alive_is_not_removed() {
    let place = Place::new();
    let owner = place.start_owner(["serve", "shm://alive", "--echo"]);
    let refused = place.run(["--json", "rm", "shm://alive"]);
    assert_eq!(refused.failure(), (1, "busy".into(), None));
    let message = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("--force"), "{message}");
    assert!(cfg!(windows) || message.contains(&owner.pid().to_string()), "{message}");
    assert_eq!(place.run(["call", "shm://alive", "still"]).ok(), "still\n");

    let forced = place.run(["--json", "rm", "shm://alive", "--force"]);
    assert_eq!(forced.records(), [json!({ "schema": 1, "removed": "shm://alive" })]);
    assert_eq!(place.named_files(), [""; 0]);
    let none = place.run(["--json", "rm", "shm://alive"]);
    assert_eq!(none.failure(), (1, "not_found".into(), None));
    assert!(none.stderr().contains("`anyipc ls` lists"), "{}", none.stderr());
    let unlisted = place.run(["--json", "rm", "tcp://127.0.0.1:4"]);
    assert_eq!(unlisted.failure(), (1, "unsupported".into(), None));
    assert!(unlisted.stderr().contains("keeps no list"), "{}", unlisted.stderr());
}

#[test]
fn what_a_kill_left_is_removed() {
    let place = Place::new();
    place.hold(["block", "create", "shm://dead", "--size", "1", "--hold"]).kill();
    assert!(!place.files().is_empty());
    assert!(list(&place).iter().all(|object| object["state"] == "stale"));
    assert_eq!(place.run(["rm", "shm://dead"]).ok(), "");
    assert_eq!(place.files(), [""; 0]);

    place.hold(["block", "create", "shm://dead", "--size", "1", "--hold"]).kill();
    let again = place.hold(["block", "create", "shm://dead", "--size", "2", "--hold"]);
    assert!(again.end().0.success());
    assert_eq!(place.files(), [""; 0], "the next create reclaimed it");
}

#[test]
fn the_doctor_heals_what_a_kill_left() {
    let place = Place::new();
    let healthy = place.run(["doctor"]);
    assert!(!healthy.ok().contains("PROBLEM"), "{}", healthy.stdout());

    place.hold(["block", "create", "shm://sick", "--size", "1", "--hold"]).kill();
    let living = place.hold(["block", "create", "shm://well", "--size", "1", "--hold"]);
    let found = place.run(["--json", "doctor"]);
    assert_eq!(found.code(), Some(1));
    let problems: Vec<_> =
        found.records().into_iter().filter(|finding| finding["status"] == "problem").collect();
    assert!(!problems.is_empty());
    for problem in problems {
        assert_eq!(problem["check"], "leftovers");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("shm://sick") && detail.contains("--fix"), "{detail}");
    }
    let fixed = place.run(["doctor", "--fix"]);
    assert!(
        fixed.ok().lines().any(|line| line.starts_with("fixed") && line.contains("shm://sick"))
    );
    assert_eq!(place.run(["doctor"]).code(), Some(0));
    let left = list(&place);
    assert!(!left.is_empty() && left.iter().all(|object| object["name"] == "well"), "{left:?}");
    assert!(living.end().0.success());
    assert_eq!(place.files(), [""; 0]);
}

/// Windows has no mode of a directory.
#[cfg(unix)]
#[test]
fn the_doctor_closes_the_door_and_leaves_strangers() {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.run(["ls"]).ok();
    let dir = fs::read_dir(place.path()).unwrap().next().unwrap().unwrap().path();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = place.run(["--json", "ls"]);
    assert_eq!(refused.failure(), (1, "permission_denied".into(), None));
    let found = place.run(["doctor"]);
    assert_eq!(found.code(), Some(1));
    assert!(found.stdout().contains("0755"), "{}", found.stdout());
    assert!(place.run(["doctor", "--fix"]).ok().contains("fixed"));
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);

    let foreign = dir.join("notes\u{1b}[31m.txt");
    fs::write(&foreign, "mine").unwrap();
    let left = place.run(["doctor", "--fix"]);
    assert_eq!(left.code(), Some(1));
    assert!(left.stdout().contains("\\u{1b}[31m"), "control characters are made visible");
    assert!(!left.stdout().contains('\u{1b}'));
    assert_eq!(fs::read(&foreign).unwrap(), b"mine", "what is not ours is never removed");
    assert_eq!(list(&place)[0]["state"], "invalid");
}

#[test]
fn addresses_are_explained() {
    let place = Place::new();
    let explain = |url: &str| place.run(["--json", "explain", url]).records().remove(0);
    let explained = explain("shm://why?wait=block&trust=same-user");
    assert_eq!(explained["scheme"], "shm");
    assert_eq!(explained["name"], "why");
    assert!(explained["capabilities"].as_array().unwrap().contains(&json!("block")));
    assert_eq!(explained["reading"]["in_place"], true);
    assert_eq!(explained["writing"]["in_place"], true);
    assert_eq!(explained["objects"], json!([]));
    let option = |explained: &Value, name: &str| {
        explained["options"]
            .as_array()
            .unwrap()
            .iter()
            .find(|option| option["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        option(&explained, "wait"),
        json!({
            "name": "wait", "value": "block", "given": true, "side": "both",
            "choices": ["adaptive", "spin", "block"], "help": option(&explained, "wait")["help"],
        })
    );
    assert_eq!(option(&explained, "max_message")["value"], "16MiB");
    assert_eq!(option(&explained, "max_message")["given"], false);
    assert!(place.run(["explain", "shm://why"]).ok().contains("open fails with -3"));

    let owner = place.start_owner(["recv", "shm://why", "--follow"]);
    let explained = explain("shm://why");
    assert_eq!(explained["reading"]["in_place"], false);
    assert_eq!(explained["writing"]["in_place"], false);
    assert_eq!(explained["objects"][0]["holders"], holders(owner.pid()));
    let text = place.run(["explain", "shm://why"]).ok();
    assert!(text.contains("live owner"), "{text}");
    assert!(cfg!(windows) || text.contains(&owner.pid().to_string()), "{text}");
    owner.kill();
    assert!(place.run(["explain", "shm://why"]).ok().contains("leftovers of a crash"));
    assert!(place.run(["explain", "inproc://why"]).ok().contains("copied"));
    assert_eq!(explain("inproc://why")["system_name"], json!(null));
}

#[test]
fn best_and_unique_are_explained() {
    let place = Place::new();
    let best = place.run(["--json", "explain", "best://why?wait=block"]).records().remove(0);
    assert_eq!(best["address"], "best://why?wait=block");
    assert_eq!((&best["scheme"], &best["unique"]), (&json!("shm"), &json!(false)));
    let text = place.run(["explain", "best://why"]).ok();
    assert!(text.contains("shm: what best:// is") && text.contains("create works"), "{text}");
    let unique = place.run(["--json", "explain", "shm://why?unique"]).records().remove(0);
    assert_eq!((&unique["name"], &unique["unique"]), (&json!("why"), &json!(true)));
    assert!(place.run(["explain", "shm://?unique"]).ok().contains("another name"));
    // The command's other parts take both.
    let owner = place.start_owner(["recv", "best://why", "--follow"]);
    assert!(place.run(["explain", "shm://why"]).ok().contains("live owner"));
    owner.kill();
}

#[test]
fn a_capacity_without_one_default_is_explained_in_words() {
    let place = Place::new();
    let capacity = |url: &str| {
        let explained = place.run(["--json", "explain", url]).records().remove(0);
        let options = explained["options"].as_array().unwrap().clone();
        options.into_iter().find(|option| option["name"] == "capacity").unwrap()
    };
    for (url, words) in [
        ("shm://x", ["16 KiB", "4 MiB"]),
        ("posix-mq://x", ["64 KiB", "as far as the kernel allows"]),
    ] {
        let option = capacity(url);
        assert_eq!(option["value"], json!(null), "{url}");
        let help = option["help"].as_str().unwrap();
        assert!(words.iter().all(|word| help.contains(word)), "{url}: {help}");
    }
    // Where pipes are no FIFOs, they are byte streams.
    let pipe = if cfg!(target_os = "linux") { "pipe://x" } else { "mq://x" };
    for url in ["mq://x", pipe, "inproc://x"] {
        assert_eq!(capacity(url)["value"], "256KiB", "{url}");
    }
    assert_eq!(capacity("shm://x?capacity=8KiB")["value"], "8KiB");
}

#[test]
fn system_names_are_those_of_the_files() {
    for scheme in ["shm", "local", "pipe", "mq", "posix-mq"].into_iter().filter(|s| works(s)) {
        let (url, place) = (&format!("{scheme}://x"), Place::new());
        let explained = place.run(["--json", "explain", url]).records().remove(0);
        let name = explained["system_name"].as_str().unwrap();
        let owner = place.start_owner(["recv", url, "--follow"]);
        let files = place.named_files();
        assert!(
            !files.is_empty() && files.iter().all(|file| file.starts_with(name)),
            "{name}: {files:?}"
        );
        assert!(place.run(["explain", url]).ok().contains(name));
        // A kernel queue would outlive the directory.
        drop(owner);
        place.run(["rm", url]).ok();
    }
}
