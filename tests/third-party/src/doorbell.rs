//! Wakes the other side of a channel: a byte in a socket, or the clock where there is none.

#[cfg(unix)]
mod sys {
    use std::io::{ErrorKind, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use anyipc_core::{Armed, Error, Interest, Operation, Result, Source};

    #[derive(Debug)]
    pub(crate) struct Doorbell(Arc<UnixStream>);

    impl Doorbell {
        /// Two ends: each wakes the other.
        pub(crate) fn pair() -> Result<(Self, Self)> {
            let pair = || {
                let (a, b) = UnixStream::pair()?;
                a.set_nonblocking(true)?;
                b.set_nonblocking(true)?;
                Ok((Self(Arc::new(a)), Self(Arc::new(b))))
            };
            pair().map_err(|e: std::io::Error| {
                Error::io(Operation::Accept, "making a pair of sockets", e)
            })
        }

        /// Wakes the other end. A full socket is readable already; at a closed one no peer waits.
        pub(crate) fn ring(&self) {
            let _ = (&*self.0).write(&[1]);
        }

        /// Not readable until the other end rings again. Readable for ever once that end is gone.
        pub(crate) fn hush(&self) {
            let mut bytes = [0; 64];
            loop {
                match (&*self.0).read(&mut bytes) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        }

        pub(crate) fn armed(&self) -> Armed {
            Armed::Source(Interest::Readable)
        }

        pub(crate) fn source(&self) -> Result<Source> {
            Ok(self.0.clone())
        }
    }
}

#[cfg(not(unix))]
mod sys {
    use std::time::Duration;

    use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source};

    #[derive(Debug)]
    pub(crate) struct Doorbell;

    impl Doorbell {
        pub(crate) fn pair() -> Result<(Self, Self)> {
            Ok((Self, Self))
        }

        pub(crate) fn ring(&self) {}

        pub(crate) fn hush(&self) {}

        pub(crate) fn armed(&self) -> Armed {
            Armed::After(Duration::from_millis(1))
        }

        pub(crate) fn source(&self) -> Result<Source> {
            Err(Error::new(Operation::Receive, ErrorKind::Unsupported))
        }
    }
}

pub(crate) use sys::Doorbell;
