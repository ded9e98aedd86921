use std::path::PathBuf;
use std::time::Duration;

use anyipc::{Address, Capabilities, Config, Error, ErrorKind, Operation, Registry};

use crate::failure::{Failure, Result};
use crate::values;

/// The object that a command is about.
#[derive(clap::Args, Debug)]
pub(crate) struct Target {
    /// Address such as `shm://name?wait=block`, or a name from the configuration file
    ///
    /// Without `://` it is a name (`@` before it is allowed): the environment variable
    /// ANYIPC_<NAME>_URL has its address, else [addresses] of the configuration file.
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// TOML file with names for addresses, in [addresses]
    #[arg(long, value_name = "FILE", env = "ANYIPC_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
}

impl Target {
    /// The address, with the scheme that `best` stands for. A fault of it is a failure of
    /// `operation`.
    pub(crate) fn address(&self, operation: Operation) -> Result<Address> {
        let address = Registry::global().canonical(self.given(operation)?);
        Ok(address.map_err(|error| error.during(operation))?)
    }

    /// The address as it was given.
    pub(crate) fn given(&self, operation: Operation) -> Result<Address> {
        let address = if self.url.contains("://") { self.url.parse() } else { self.look_up() };
        Ok(address.map_err(|error: Error| error.during(operation))?)
    }

    /// The address, if its transport reaches other processes.
    pub(crate) fn channel(&self, operation: Operation) -> Result<Address> {
        let address = self.address(operation)?;
        let across =
            |capabilities: Capabilities| capabilities.contains(Capabilities::CROSS_PROCESS);
        // Other faults show when the address is used.
        match Registry::global().resolve(&address) {
            Ok((transport, _)) if !across(transport.capabilities()) => {
                let others = Registry::global()
                    .transports()
                    .filter(|transport| across(transport.capabilities()));
                let others: Vec<_> =
                    others.flat_map(|transport| transport.schemes()).copied().collect();
                let others = others.join(", ");
                Err(Failure::Usage(format!(
                    "{address} reaches no other process; choose from {others}"
                )))
            }
            _ => Ok(address),
        }
    }

    /// The same, with the timeout of a flag.
    pub(crate) fn channel_within(
        &self,
        operation: Operation,
        timeout: Option<Duration>,
    ) -> Result<Address> {
        let address = self.channel(operation)?;
        Ok(match timeout {
            Some(timeout) => address.with("timeout", &values::span_text(timeout)),
            None => address,
        })
    }

    fn look_up(&self) -> anyipc::Result<Address> {
        let name = self.url.strip_prefix('@').unwrap_or(&self.url);
        if let Some(path) = &self.config {
            return Config::from_file(path)?.address(name);
        }
        Config::default().address(name).map_err(|error| {
            let why = "an address reads scheme://name?key=value; anything else is a name, which \
                       needs --config FILE";
            Error::new(Operation::Address, ErrorKind::InvalidAddress)
                .because(why)
                .from_source(error)
                .at(&self.url)
        })
    }
}
