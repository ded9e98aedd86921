use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use anyipc_core::Name;

/// The flag of a listening socket in the list, `__SO_ACCEPTCON`.
const LISTENS: &[u8] = b"00010000";
/// The most bytes of the list that are read: more than a hundred thousand sockets.
const MOST: u64 = 16 << 20;

/// True if the kernel's list of this network namespace has a listener of this name or path, as its
/// program wrote it. Asking the list disturbs no listener: a connect that is dropped would be a
/// peer that leaves at once, and the only one of a program that accepts once.
///
/// False also where there is no list, and for a listener of another network namespace, or of a path
/// that was written differently.
pub(crate) fn is_listed(name: &Name) -> bool {
    let Ok(list) = File::open("/proc/net/unix") else { return false };
    is_in(BufReader::new(list.take(MOST)), name)
}

fn is_in(mut list: impl BufRead, name: &Name) -> bool {
    let abstract_mark: &[u8] = if name.is_path() { b"" } else { b"@" };
    let mut line = Vec::new();
    loop {
        line.clear();
        match list.read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ => return false,
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let Some((flags, path)) = fields(line) else { continue };
        if flags == LISTENS && path.strip_prefix(abstract_mark) == Some(name.as_str().as_bytes()) {
            return true;
        }
    }
}

/// The flags and the path of a line: `Num: RefCount Protocol Flags Type St Inode Path`. Only the
/// path may contain spaces.
fn fields(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = line;
    let mut flags: &[u8] = &[];
    for column in 0..7 {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|b| *b == b' ')?;
        let (field, tail) = rest.split_at(end);
        if column == 3 {
            flags = field;
        }
        rest = tail;
    }
    Some((flags, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_exact_name() {
        let list = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            00000000296c5fca: 00000003 00000000 00000000 0001 03 130290105\n\
            00000000296c5fca: 00000003 00000000 00000000 0001 03   105 @connected\n\
            00000000296c5fca: 00000002 00000000 00010000 0001 01   106 @two words \n\
            00000000296c5fca: 00000002 00000000 00010000 0001 01 130290105 /tmp/a.sock\n\
            00000000296c5fca: 00000002 00000000 00010000 0001 01 130290105 @/tmp/b.sock\n\
            \xff\xfe\n\n";
        let found = |name: &str| {
            let name = Name::new(name).or_else(|_| Name::path(name)).unwrap();
            is_in(&list[..], &name)
        };
        assert!(found("two words ") && found("/tmp/a.sock"));
        for absent in ["two words", "connected", "/tmp/b.sock", "tmp", "@two words "] {
            assert!(!found(absent), "{absent}");
        }
    }
}
