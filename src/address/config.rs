use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use serde::Deserialize;

use super::Address;

/// Addresses by name, from a TOML file:
///
/// ```toml
/// [addresses]
/// errors = "shm://edix.errors"
/// edits = "shm://edix.edits?wait=block"
/// ```
///
/// The environment variable `ANYIPC_<NAME>_URL` (the name in upper case, with `_` for anything but
/// ASCII letters and digits) overrides an entry, or replaces a missing one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// By name. No two names share an environment variable.
    addresses: BTreeMap<String, Address>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    addresses: BTreeMap<String, String>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `Io`; `InvalidOption` or `InvalidAddress` for its contents:
    /// not TOML, an unknown key, an entry that is no address, two names that share an environment
    /// variable.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::io(Operation::Address, "reading the configuration file", error)
                .at(path.display())
        })?;
        Self::from_str(&text).map_err(|error| error.at(path.display()))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// `InvalidOption`, `InvalidAddress`, `InvalidName`: those of [`from_file`](Self::from_file)
    /// for its contents.
    #[allow(
        clippy::should_implement_trait,
        reason = "the trait is implemented, too; this needs no import"
    )]
    pub fn from_str(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| {
            Error::new(Operation::Address, ErrorKind::InvalidOption)
                .because("the configuration cannot be read")
                .from_source(error)
        })?;
        let mut addresses = BTreeMap::new();
        let mut variables = BTreeMap::new();
        for (name, url) in file.addresses {
            if let Some(other) = variables.insert(variable(&name), name.clone()) {
                return Err(Error::new(Operation::Address, ErrorKind::InvalidOption).because(
                    format!(
                        "[addresses] {other:?} and {name:?} share the environment variable {}; \
                     rename one",
                        variable(&name)
                    ),
                ));
            }
            let address = url.parse().map_err(|error: Error| {
                let kind = error.kind();
                Error::new(Operation::Address, kind)
                    .because(format!("[addresses] {name}"))
                    .from_source(error)
            })?;
            addresses.insert(name, address);
        }
        Ok(Self { addresses })
    }

    /// The address with this name: from the environment, or else from the file.
    ///
    /// # Errors
    /// `InvalidAddress` if neither has it; `InvalidAddress`, `InvalidName` or `InvalidOption` if
    /// the variable is no address.
    pub fn address(&self, name: &str) -> Result<Address> {
        self.lookup(name, |variable| std::env::var_os(variable))
    }

    /// The names in the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.addresses.keys().map(String::as_str)
    }

    fn lookup(
        &self,
        name: &str,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Address> {
        let variable = variable(name);
        let fault =
            |why: String| Error::new(Operation::Address, ErrorKind::InvalidAddress).because(why);
        if let Some(url) = environment(&variable) {
            let url = url.into_string().map_err(|_| fault(format!("{variable} is not UTF-8")))?;
            return url.parse().map_err(|error: Error| {
                let kind = error.kind();
                fault(variable).as_kind(kind).from_source(error)
            });
        }
        self.addresses.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.names().collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            fault(format!(
                "no address is called {name:?}; [addresses] has: {known}; {variable} would be \
                 taken, too"
            ))
        })
    }
}

fn variable(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("ANYIPC_{name}_URL")
}

impl FromStr for Config {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "[addresses]\nerrors = \"shm://edix.errors?wait=block\"\n\"a-b\" = \"inproc://x\"\n";

    #[test]
    fn the_environment_wins() {
        let config = Config::from_str(FILE).unwrap();
        assert_eq!(config.address("errors").unwrap().to_string(), "shm://edix.errors?wait=block");
        let environment = |variable: &str| match variable {
            "ANYIPC_A_B_URL" | "ANYIPC_NEW_URL" => Some("inproc://y".into()),
            "ANYIPC_ERRORS_URL" => Some("nonsense".into()),
            _ => None,
        };
        assert_eq!(config.lookup("a-b", environment).unwrap().name().as_str(), "y");
        assert_eq!(config.lookup("new", environment).unwrap().name().as_str(), "y");
        let text = config.lookup("errors", environment).unwrap_err().to_string();
        assert!(text.contains("ANYIPC_ERRORS_URL") && text.contains("://"), "{text}");
        let error = config.lookup("errors", |_| Some("shm://a/b".into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
    }

    #[test]
    fn faults_are_named() {
        let config = Config::from_str(FILE).unwrap();
        let text = config.lookup("warnings", |_| None).unwrap_err().to_string();
        assert!(text.contains("a-b, errors") && text.contains("ANYIPC_WARNINGS_URL"), "{text}");
        for (bad, word) in [
            ("[adresses]\n", "adresses"),
            ("x = 1\n[addresses]\n", "x"),
            ("[addresses]\nerrors = 5\n", "string"),
            ("[addresses]\nerrors = \"shm\"\n", "errors"),
            ("[addresses", "configuration"),
            ("[addresses]\na-b = \"inproc://x\"\na_b = \"inproc://y\"\n", "ANYIPC_A_B_URL"),
        ] {
            let text = Config::from_str(bad).unwrap_err().to_string();
            assert!(text.contains(word), "{bad}: {text}");
        }
        assert_eq!(
            Config::from_file("/nonexistent/anyipc.toml").unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}
