//! Room for the tests of a transport that has a limit for each user.

use std::path::Path;
use std::process;
use std::sync::OnceLock;

use anyipc_core::{COMMON_KEYS, DynTransport, Name, ObjectState, Options};

/// Removes, once in each process, what killed test runs have left of a transport: objects of dead
/// processes by the transport's own word, and those that persist if a dead process's number is the
/// last but one part of their name (`tag-number-serial`).
///
/// For a transport with objects that count against a limit of the user, such as `ulimit -q`.
/// Objects of runs with a directory of their own are not found.
///
/// # Panics
/// If there is no room for one object then. The message says what to do.
pub fn make_room(transport: &dyn DynTransport) {
    static REFUSAL: OnceLock<String> = OnceLock::new();
    let why = REFUSAL.get_or_init(|| try_make_room(transport).err().unwrap_or_default());
    assert!(why.is_empty(), "{why}");
}

fn try_make_room(transport: &dyn DynTransport) -> Result<(), String> {
    let options = Options::parse([], &[transport.keys(), COMMON_KEYS]);
    let options = options.map_err(|error| error.to_string())?;
    // What cannot be removed shows below.
    let _ = transport.sweep(&options, true);
    for object in transport.list(&options).unwrap_or_default() {
        if object.state == ObjectState::Persistent
            && let Some(name) = object.name.filter(|name| is_of_the_dead(name.as_str()))
        {
            let _ = transport.remove(&name, &options, false);
        }
    }
    let name = format!("room-{}-0", process::id());
    let made = Name::new(&name).and_then(|name| transport.create(&name, &options));
    made.map(drop).map_err(|error| {
        let scheme = transport.schemes().first().copied().unwrap_or_default();
        format!(
            "no test of {scheme}:// can run: {error}\nWhat killed runs have left counts. Remove it \
             with `anyipc doctor --fix`, and with the ANYIPC_DIR of runs that had one; where those \
             directories are gone, as root: mount -t mqueue none /mnt && rm /mnt/anyipc-*"
        )
    })
}

/// True if a test run made this name, and is over.
fn is_of_the_dead(name: &str) -> bool {
    let number = name.rsplit(['-', '.']).nth(1).and_then(|part| part.parse::<u32>().ok());
    let is_there = |number| Path::new("/proc").join(format!("{number}")).exists();
    // Without `/proc` all are alive.
    is_there(process::id()) && number.is_some_and(|number| !is_there(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_dead_number_are_of_the_dead() {
        assert!(!is_of_the_dead(&format!("tag-{}-4194305", process::id())));
        assert!(!is_of_the_dead("tag"));
        assert!(!is_of_the_dead("tag-x-4194305"));
        // No process has a number above 4194304.
        assert_eq!(is_of_the_dead("test.tag.4194305.7"), cfg!(target_os = "linux"));
    }
}
