//! Both ends of a channel at once.

use anyipc_core::{Error, Operation, Result, Role};

use super::Registry;
use crate::address::IntoAddress;
use crate::channel::Channel;
use crate::endpoint::acceptor::Acceptor;
use crate::wait::deadline;
use crate::wait::select::Select;

impl Registry {
    /// Both ends of a new channel, as [`pair`](crate::pair()) with this registry.
    ///
    /// # Errors
    /// Those of [`pair`](crate::pair()).
    pub fn pair(&self, address: impl IntoAddress) -> Result<(Channel, Channel)> {
        let address = address.into_pair_address().map_err(|e| e.during(Operation::Connect))?;
        let owner = self.create(address.unique())?;
        let opener = self.open(owner.address())?;
        let deadline = deadline(Some(owner.settings().timeout));
        let mut accepting = Acceptor::new(&owner, Role::Owner, owner.hello())?;
        let mut connecting = Acceptor::new(&opener, Role::Opener, opener.hello())?;
        // Neither side gets far without the other: whichever can go on does.
        let explain = |error: Error| error.during(Operation::Connect).at(owner.address());
        let first = Select::new()
            .and_then(|mut select| {
                select.wait_until(&mut [&mut accepting, &mut connecting], deadline)
            })
            .map_err(explain)?;
        if first == 0 {
            let accepted = accepting.try_accept()?;
            Ok((accepted, connecting.accept_until(deadline)?))
        } else {
            let connected = connecting.try_accept()?;
            Ok((accepting.accept_until(deadline)?, connected))
        }
    }
}
