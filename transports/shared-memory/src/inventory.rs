use anyipc_core::{Name, Object, Result};

use crate::sys::Dir;

pub(crate) fn list(_dir: &Dir) -> Result<Vec<Object>> {
    Ok(Vec::new())
}
pub(crate) fn inspect(_dir: &Dir, _name: &Name) -> Result<Vec<Object>> {
    Ok(Vec::new())
}
pub(crate) fn remove(_dir: &Dir, _name: &Name, _force: bool) -> Result<()> {
    Ok(())
}
pub(crate) fn sweep(_dir: &Dir, _fix: bool) -> Result<Vec<Object>> {
    Ok(Vec::new())
}
