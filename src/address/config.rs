use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::str::FromStr;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::Address;

/// Addresses by name, from a TOML file:
///
/// ```toml
/// [addresses]
/// errors = "shm://edix.errors"
/// edits = "shm://edix.edits?wait=block"
/// ```
///
/// The file may be the program's own: other keys and sections are ignored. A program that reads its
/// file itself takes the addresses from the table ([`from_table`](Self::from_table)), or has a
/// `Config`, or an [`Address`] for each, among its settings: both implement `Deserialize`.
///
/// The environment variable `ANYIPC_<NAME>_URL` (the name in upper case, with `_` for anything but
/// ASCII letters and digits) overrides an entry, or replaces a missing one, also where there is no
/// file at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// By name. No two names share an environment variable.
    addresses: BTreeMap<String, Address>,
    /// Why there are none, if there are none.
    absence: Option<Absence>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Absence {
    /// There is no such file.
    File(String),
    /// The file has only these other keys: one may be a misspelt `addresses`.
    Section(Vec<String>),
}

#[derive(Deserialize)]
struct File {
    addresses: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

impl Config {
    /// Reads a file. One that does not exist is none with addresses: [`address`](Self::address)
    /// says so, unless the environment has the address.
    ///
    /// # Errors
    /// `PermissionDenied`, `Io`; `InvalidOption`, `InvalidAddress` or `InvalidName` for its
    /// contents: not TOML, an entry that is no address, two names that share an environment
    /// variable.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_str(&text).map_err(|error| error.at(path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self {
                absence: Some(Absence::File(path.display().to_string())),
                ..Self::default()
            }),
            Err(error) => {
                Err(Error::io(Operation::Address, "reading the configuration file", error)
                    .at(path.display()))
            }
        }
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
        Self::from_table(toml::Deserializer::parse(text).map_err(unreadable)?)
    }

    /// Reads a table that has the addresses in its table `addresses`: a `toml::Table`, a
    /// `serde_json::Value`, or any other source of serde that describes itself.
    ///
    /// ```
    /// # use anyipc::Config;
    /// let file: toml::Table = toml::from_str(
    ///     r#"
    ///     [window]
    ///     theme = "dark"
    ///
    ///     [ipc.addresses]
    ///     errors = "shm://edix.errors"
    ///     "#,
    /// )?;
    /// let config = Config::from_table(file["ipc"].clone())?;
    /// assert_eq!(config.address("errors")?.to_string(), "shm://edix.errors");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`from_str`](Self::from_str).
    pub fn from_table<'de, D>(table: D) -> Result<Self>
    where
        D: Deserializer<'de>,
        D::Error: Send + Sync + 'static,
    {
        Self::new(File::deserialize(table).map_err(unreadable)?)
    }

    fn new(file: File) -> Result<Self> {
        let Some(entries) = file.addresses else {
            let absence = Some(Absence::Section(file.others.into_keys().collect()));
            return Ok(Self { absence, ..Self::default() });
        };
        let mut addresses = BTreeMap::new();
        let mut variables = BTreeMap::new();
        for (name, url) in entries {
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
        Ok(Self { addresses, absence: None })
    }

    /// The address with this name: from the environment, or else from the file.
    ///
    /// # Errors
    /// `InvalidAddress` if neither has it, or `NotFound` if there is no file either;
    /// `InvalidAddress`, `InvalidName` or `InvalidOption` if the variable is no address.
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
            let unset = format!("no address is called {name:?}, {variable} is not set");
            match &self.absence {
                Some(Absence::File(path)) => fault(format!("{unset}, and there is no file {path}"))
                    .as_kind(ErrorKind::NotFound),
                Some(Absence::Section(others)) => {
                    fault(format!("{unset}, and there is no [addresses] but: {}", list(others)))
                }
                None => {
                    let known: Vec<_> = self.names().collect();
                    fault(format!("{unset}, and [addresses] has: {}", list(&known)))
                }
            }
        })
    }
}

/// The words, or that there are none.
fn list<W: AsRef<str>>(words: &[W]) -> String {
    match words {
        [] => "nothing".into(),
        words => words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Operation::Address, ErrorKind::InvalidOption)
        .because("the configuration cannot be read")
        .from_source(error)
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::new(File::deserialize(deserializer)?).map_err(serde::de::Error::custom)
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
            ("addresses = 5\n", "addresses"),
            ("[addresses]\nerrors = 5\n", "string"),
            ("[addresses]\nerrors = \"shm\"\n", "errors"),
            ("[addresses", "configuration"),
            ("[addresses]\na-b = \"inproc://x\"\na_b = \"inproc://y\"\n", "ANYIPC_A_B_URL"),
        ] {
            let error = Config::from_str(bad).unwrap_err();
            let text = format!("{error} {:?}", std::error::Error::source(&error));
            assert!(text.contains(word), "{bad}: {text}");
        }
    }

    #[test]
    fn a_missing_file_is_missed_by_names_that_the_environment_lacks() {
        let config = Config::from_file("/nonexistent/anyipc.toml").unwrap();
        assert_eq!(config.names().count(), 0);
        let found = config.lookup("errors", |_| Some("shm://a".into())).unwrap();
        assert_eq!(found.to_string(), "shm://a");
        let error = config.lookup("errors", |_| None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains("/nonexistent/anyipc.toml"), "{text}");
        assert!(text.contains("ANYIPC_ERRORS_URL"), "{text}");
    }

    #[test]
    fn the_rest_of_a_programs_file_is_its_own() {
        let text = format!("version = 3\n[[window]]\ntheme = \"dark\"\n{FILE}[keys]\nx = []\n");
        let config = Config::from_str(&text).unwrap();
        assert_eq!(config, Config::from_str(FILE).unwrap());
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(Config::from_table(table.clone()).unwrap(), config);

        #[derive(Deserialize)]
        struct Settings {
            version: u32,
            #[serde(flatten)]
            ipc: Config,
        }
        let settings: Settings = table.try_into().unwrap();
        assert_eq!((settings.version, settings.ipc), (3, config));

        // A section that is misspelt is named once something is missed.
        let config = Config::from_str("[adresses]\nerrors = \"shm://a\"\n[window]\n").unwrap();
        let text = config.lookup("errors", |_| None).unwrap_err().to_string();
        assert!(text.contains("no [addresses] but: adresses, window"), "{text}");
    }

    #[test]
    fn an_address_is_a_text_in_any_format() {
        #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
        struct Settings {
            errors: Address,
        }
        let text = "errors = \"shm://edix.errors?wait=block\"\n";
        let settings: Settings = toml::from_str(text).unwrap();
        assert_eq!(settings.errors.get("wait"), Some("block"));
        assert_eq!(toml::to_string(&settings).unwrap(), text);
        let error = toml::from_str::<Settings>("\nerrors = \"shm//x\"\n").unwrap_err();
        let said = error.to_string();
        assert!(said.contains("`://` is missing") && said.contains("line 2"), "{said}");
        let unique: Settings = toml::from_str("errors = \"shm://?unique\"").unwrap();
        assert!(unique.errors.is_unique());
        assert_eq!(toml::from_str::<Settings>(&toml::to_string(&unique).unwrap()), Ok(unique));
    }
}
