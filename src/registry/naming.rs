//! From what an address says to what it means: `best`, `unique`.

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_os::Token;

use super::{FEATURES, Registry, sys};
use crate::address::{Address, IntoAddress, UNNAMED};

/// The scheme that stands for another one.
pub(super) const BEST: &str = "best";

impl Registry {
    /// The address with the scheme that `best` stands for; any other address as it is.
    ///
    /// `best` is the transport to take on this platform if there is no reason for another: `shm` on
    /// Linux, macOS and Windows. That depends on the platform alone, never on the features of the
    /// build or on what happens at run time, so two programs of a machine agree. All calls that
    /// take an address do this by themselves.
    ///
    /// # Errors
    /// `InvalidAddress` or `Unsupported` if this registry or platform has no such transport.
    pub fn canonical(&self, address: impl IntoAddress) -> Result<Address> {
        let address = address.into_address()?;
        match self.alias(address.scheme()).map_err(|e| e.at(&address))? {
            Some(scheme) => Ok(address.with_scheme(scheme)),
            None => Ok(address),
        }
    }

    /// The scheme that this one stands for, if it stands for another one.
    pub(super) fn alias(&self, scheme: &str) -> Result<Option<&'static str>> {
        let has = |scheme: &str| self.transports().any(|t| t.schemes().contains(&scheme));
        if scheme != BEST || has(scheme) {
            return Ok(None);
        }
        let Some(best) = sys::BEST else {
            return Err(Error::new(Operation::Address, ErrorKind::Unsupported)
                .because("best:// has no transport between processes on this platform"));
        };
        if has(best) {
            return Ok(Some(best));
        }
        let feature = FEATURES.iter().find(|(name, ..)| *name == best).map_or("", |found| found.1);
        Err(Error::new(Operation::Address, ErrorKind::InvalidAddress).because(format!(
            "best:// is {best}:// on this platform, whatever was compiled in, so that all programs \
             agree: enable the feature {feature} of anyipc, or name another scheme in all of them"
        )))
    }

    /// What an address means for a call that finds an object.
    ///
    /// # Errors
    /// `InvalidName` for a name that is yet to be made, and those of
    /// [`canonical`](Self::canonical).
    pub(crate) fn found(&self, address: impl IntoAddress, operation: Operation) -> Result<Address> {
        let address = self.canonical(address).map_err(|e| e.during(operation))?;
        if address.is_unique() {
            return Err(Error::new(operation, ErrorKind::InvalidName)
                .because(
                    "?unique makes another name with each create; take what Endpoint::address() \
                     of the owner says",
                )
                .at(address));
        }
        Ok(address)
    }

    /// What an address means for a call that makes an object: with a name.
    ///
    /// # Errors
    /// `Io` if the system has no random numbers, `InvalidName` if the name would be too long, and
    /// those of [`canonical`](Self::canonical).
    pub(super) fn made(&self, address: impl IntoAddress, operation: Operation) -> Result<Address> {
        let address = self.canonical(address).map_err(|e| e.during(operation))?;
        if !address.is_unique() {
            return Ok(address);
        }
        let start = Some(address.name()).filter(|name| name.as_str() != UNNAMED);
        let name = self.find(&address).and_then(|(transport, _)| {
            let random = Token::random().map_err(|e| Error::io(operation, "drawing a name", e))?;
            transport.unique_name(start, random.as_str())
        });
        match name {
            Ok(name) => Ok(address.named(name)),
            Err(error) => Err(error.during(operation).at(address)),
        }
    }
}
