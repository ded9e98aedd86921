//! Objects of an inventory as JSON and as text.

use std::collections::BTreeMap;

use anyipc::{Address, Error, ErrorKind, Object, ObjectState, Operation};
use serde::Serialize;

/// An object as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct Record<'a> {
    address: Option<String>,
    scheme: &'a str,
    name: Option<&'a str>,
    kind: &'a str,
    state: &'a str,
    size: Option<u64>,
    holders: &'a [u32],
    path: &'a str,
    facts: BTreeMap<&'a str, &'a str>,
}

impl<'a> Record<'a> {
    pub(crate) fn new(scheme: &'a str, object: &'a Object) -> Self {
        Self {
            address: address(scheme, object).map(|address| address.to_string()),
            scheme,
            name: object.name.as_ref().map(|name| name.as_str()),
            kind: object.kind,
            state: object.state.as_str(),
            size: object.size,
            holders: &object.holders,
            path: &object.path,
            facts: object.facts.iter().map(|(label, value)| (*label, value.as_str())).collect(),
        }
    }
}

/// The address that opens the object.
pub(crate) fn address(scheme: &str, object: &Object) -> Option<Address> {
    let name = object.name.as_ref()?.as_str().replace('%', "%25").replace('?', "%3F");
    format!("{scheme}://{name}").parse().ok()
}

/// The error of a name without objects.
pub(crate) fn not_found(operation: Operation, address: &Address) -> Error {
    let why = "`anyipc ls` lists all objects";
    Error::new(operation, ErrorKind::NotFound).because(why).at(address)
}

/// The process ids of its holders, `-` or `unknown`.
pub(crate) fn holders(object: &Object) -> String {
    if object.holders.is_empty() {
        return if object.state == ObjectState::Live { "unknown" } else { "-" }.into();
    }
    let pids: Vec<_> = object.holders.iter().map(u32::to_string).collect();
    pids.join(" ")
}

/// All known facts about the object, as labels and values.
pub(crate) fn details(scheme: &str, object: &Object) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    rows.extend(address(scheme, object).map(|address| ("address", address.to_string())));
    rows.push(("kind", object.kind.into()));
    rows.push(("state", object.state.as_str().into()));
    rows.extend(object.size.map(|size| ("size", format!("{size} bytes"))));
    rows.push(("holders", holders(object)));
    rows.push(("path", object.path.clone()));
    rows.extend(object.facts.iter().cloned());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyipc::Name;

    #[test]
    fn addresses_lead_back() {
        for name in ["plain", "100%? a&b=#ü"] {
            let name = Name::new(name).unwrap();
            let object = Object {
                name: Some(name.clone()),
                kind: "block",
                state: ObjectState::Live,
                path: String::new(),
                size: None,
                holders: vec![1, 2],
                facts: vec![],
            };
            let address = address("shm", &object).unwrap();
            assert_eq!(address.name(), &name);
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            assert_eq!(holders(&object), "1 2");
        }
    }
}
