use std::io;
use std::time::Duration;

/// The cores that the calling thread may use: not known here.
pub fn allowed_cores() -> Vec<usize> {
    Vec::new()
}

/// Ties the calling thread to one core: not possible here.
pub fn pin(_core: usize) -> bool {
    false
}

pub(crate) fn share_a_core(_a: usize, _b: usize) -> bool {
    false
}

pub(crate) fn cpu_model() -> Option<String> {
    None
}

pub(crate) fn busy_time(_cores: &[usize]) -> Option<Duration> {
    None
}

pub(crate) fn end_with_parent() -> io::Result<()> {
    Ok(())
}

/// The baselines: none here.
pub(crate) mod baseline {
    use std::io;

    use crate::baseline::Terms;

    /// No value exists.
    #[derive(Debug)]
    pub enum BaselineLink {}

    /// No value exists.
    #[derive(Debug)]
    pub enum Offer {}

    impl Offer {
        /// # Errors
        /// Always `Unsupported`.
        pub fn new(_terms: Terms, _name: &str) -> io::Result<Self> {
            Err(unsupported())
        }

        /// # Errors
        /// Never called.
        pub fn accept(self, _keep_waiting: impl FnMut() -> bool) -> io::Result<BaselineLink> {
            match self {}
        }
    }

    /// # Errors
    /// Always `Unsupported`.
    pub fn join(_terms: Terms, _name: &str) -> io::Result<BaselineLink> {
        Err(unsupported())
    }

    fn unsupported() -> io::Error {
        let why = "bare system calls are measured on Linux only; leave --compare out";
        io::Error::new(io::ErrorKind::Unsupported, why)
    }

    crate::link_enum!(BaselineLink:);
}
