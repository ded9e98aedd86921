use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

/// The most look-ups under way. One that was given up goes on until the system's resolver ends it.
const LOOK_UPS: usize = 16;
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// The addresses of a name of the form `host:port`. Asks the system's resolver about a host that is
/// no number, for at most `time`.
///
/// # Errors
/// `InvalidName` for another form, `NotFound` for an unknown host, `TimedOut` if the resolver has
/// no answer in time, `PermissionDenied` for an address that is not of the loopback, unless
/// `remote`.
pub(super) fn resolve(
    name: &Name,
    remote: bool,
    operation: Operation,
    time: Duration,
) -> Result<Vec<SocketAddr>> {
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
            let asked = (host.to_owned(), port);
            look_up(&UNDER_WAY, time, move || Ok(asked.to_socket_addrs()?.collect())).map_err(
                |error| {
                    let (kind, why) = match error.kind() {
                        io::ErrorKind::TimedOut => {
                            (ErrorKind::TimedOut, "was not found in time; raise timeout=")
                        }
                        _ => (ErrorKind::NotFound, "is not known"),
                    };
                    Error::new(operation, kind)
                        .because(format!("the host {host:?} {why}"))
                        .from_source(error)
                },
            )?
        }
    };
    if let Some(outside) = found.iter().find(|address| !remote && !address.ip().is_loopback()) {
        return Err(Error::new(operation, ErrorKind::PermissionDenied).because(format!(
            "{outside} is not on this machine's loopback; say allow_remote=true to reach beyond it \
             (peers are authenticated, messages are not encrypted)"
        )));
    }
    if found.is_empty() { Err(invalid()) } else { Ok(found) }
}

/// Asks the resolver on a thread of its own, since the system's calls have no deadline.
fn look_up(
    under_way: &'static AtomicUsize,
    time: Duration,
    ask: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    /// Counts a look-up while it is under way.
    struct Counted(&'static AtomicUsize);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    let before = under_way.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(under_way);
    if before >= LOOK_UPS {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "earlier look-ups have no answer yet"));
    }
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("anyipc look-up".into()).spawn(move || {
        let found = ask();
        drop(counted);
        // The caller may have given up.
        let _ = tell.send(found);
    })?;
    told.recv_timeout(time).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str, remote: bool) -> Result<usize, ErrorKind> {
        let found =
            resolve(&Name::new(text).unwrap(), remote, Operation::Create, Duration::from_secs(20));
        found.map(|all| all.len()).map_err(|error| error.kind())
    }

    #[test]
    fn names_are_host_and_port() {
        assert_eq!(kind("127.0.0.1:1", false), Ok(1));
        assert_eq!(kind("[::1]:65535", false), Ok(1));
        assert!(kind("localhost:0", false).is_ok());
        for bad in
            ["x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", ":1", "a b:1", "::1:x", "a:-1"]
        {
            assert_eq!(kind(bad, true), Err(ErrorKind::InvalidName), "{bad}");
        }
    }

    /// The resolver of each of these never answers before the end of the test.
    #[test]
    fn a_look_up_ends_in_time_and_their_number_is_bounded() {
        static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
        let (end, ended) = mpsc::channel::<()>();
        let ended = std::sync::Arc::new(std::sync::Mutex::new(ended));
        for number in 0..2 * LOOK_UPS {
            let wait = std::sync::Arc::clone(&ended);
            let begun = std::time::Instant::now();
            let looked = look_up(&UNDER_WAY, Duration::from_millis(5), move || {
                let _ = wait.lock().unwrap().recv();
                Ok(Vec::new())
            });
            assert_eq!(looked.unwrap_err().kind(), io::ErrorKind::TimedOut, "{number}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{number}");
        }
        drop(end);
        while look_up(&UNDER_WAY, Duration::from_secs(20), || Ok(Vec::new())).is_err() {
            thread::yield_now();
        }
    }

    #[test]
    fn what_is_not_loopback_needs_allow_remote() {
        for outside in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
            assert_eq!(kind(outside, false), Err(ErrorKind::PermissionDenied));
            assert_eq!(kind(outside, true), Ok(1));
        }
    }
}
