use std::net::{SocketAddr, ToSocketAddrs};

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

/// The addresses that a name of the form `host:port` stands for. May ask the system's resolver, and wait for it.
///
/// # Errors
/// `InvalidName` for another form, `NotFound` for an unknown host, `PermissionDenied` for what is not this
/// machine's loopback unless `remote`.
pub(super) fn resolve(name: &Name, remote: bool, operation: Operation) -> Result<Vec<SocketAddr>> {
    let text = name.as_str();
    let invalid = || {
        Error::new(operation, ErrorKind::InvalidName).because(format!(
            "{text:?} is no TCP address; one reads host:port, such as 127.0.0.1:4000 or [::1]:4000"
        ))
    };
    let found: Vec<SocketAddr> = match text.parse() {
        Ok(address) => vec![address],
        Err(_) => {
            let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
            let port: u16 = port.parse().map_err(|_| invalid())?;
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(legal) {
                return Err(invalid());
            }
            (host, port)
                .to_socket_addrs()
                .map_err(|error| {
                    Error::new(operation, ErrorKind::NotFound)
                        .because(format!("the host {host:?} is not known"))
                        .from_source(error)
                })?
                .collect()
        }
    };
    if let Some(outside) = found.iter().find(|address| !remote && !address.ip().is_loopback()) {
        return Err(Error::new(operation, ErrorKind::PermissionDenied).because(format!(
            "{outside} is not on this machine's loopback; say allow_remote=true to reach beyond it (what is sent is authenticated, not encrypted)"
        )));
    }
    if found.is_empty() { Err(invalid()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str, remote: bool) -> Result<usize, ErrorKind> {
        let found = resolve(&Name::new(text).unwrap(), remote, Operation::Create);
        found.map(|all| all.len()).map_err(|error| error.kind())
    }

    #[test]
    fn names_are_host_and_port() {
        assert_eq!(kind("127.0.0.1:1", false), Ok(1));
        assert_eq!(kind("[::1]:65535", false), Ok(1));
        assert!(kind("localhost:0", false).is_ok());
        for bad in ["x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", ":1", "a b:1", "::1:x", "a:-1"] {
            assert_eq!(kind(bad, true), Err(ErrorKind::InvalidName), "{bad}");
        }
    }

    #[test]
    fn what_is_not_loopback_wants_a_word() {
        for outside in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
            assert_eq!(kind(outside, false), Err(ErrorKind::PermissionDenied));
            assert_eq!(kind(outside, true), Ok(1));
        }
    }
}
