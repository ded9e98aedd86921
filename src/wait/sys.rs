//! What an event loop of this platform takes.

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

    use crate::wait::readiness::Readiness;

    impl AsFd for Readiness {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.source().as_fd()
        }
    }

    impl AsRawFd for Readiness {
        fn as_raw_fd(&self) -> RawFd {
            self.as_fd().as_raw_fd()
        }
    }
}
