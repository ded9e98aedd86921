//! What is left over when all workers have ended. A process of its own: the driver must not use the
//! code under test.

use std::fs;
use std::path::Path;

use anyipc::{Address, ErrorKind, Registry, Result};

use super::context::Context;
use super::record::What;

/// Creates the name once more, as the next program would, and reports what is there afterwards.
/// Removes it.
pub(super) fn work(context: &Context) -> Result<()> {
    let address: Address = context.order.address.parse()?;
    let registry = Registry::global();
    // A queue that persists stays by right.
    if address.get("persist") == Some("true") {
        match registry.remove(&address, false) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    registry.create(&address)?.close()?;
    if address.get("persist") == Some("true") {
        registry.remove(&address, false)?;
    }
    for (scheme, object) in registry.list()? {
        let (state, path) = (object.state.as_str(), &object.path);
        context.log.say(What::Left, &format!("{scheme}: {state} {} at {path}", object.kind));
    }
    registry.sweep(true)?;
    Ok(())
}

/// The files of objects below a private directory.
pub(super) fn files(base: &Path) -> Vec<String> {
    let directories = fs::read_dir(base).into_iter().flatten().flatten();
    directories
        .map(|directory| directory.path())
        // The key of tcp:// stays, and on Windows files in the making vanish with their handles.
        .filter(|directory| !directory.to_string_lossy().contains("anyipc-secrets"))
        .flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten())
        .map(|file| file.path().display().to_string())
        .filter(|file| !file.ends_with(".tmp") || std::path::MAIN_SEPARATOR == '/')
        .collect()
}
