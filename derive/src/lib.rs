//! `#[derive(Message)]` of `anyipc`: the name under which a type travels in the handshake.

mod expand;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Gives a type the name that both programs write alike.
///
/// ```ignore
/// #[derive(serde::Serialize, serde::Deserialize, anyipc::Message)]
/// #[message(name = "edix.Diagnostic/1")]
/// struct Diagnostic {
///     line: u32,
///     text: String,
/// }
/// ```
///
/// | attribute | means |
/// |---|---|
/// | `name = "…"` | the name, of 1 to 255 bytes. There is no default: see below |
/// | `crate = "path"` | where `anyipc` is, if not at `::anyipc` |
///
/// The name is never made from the type's own. Two programs compiled apart agree on what they were
/// told, not on the paths of their modules; and a type that is renamed or moved stays the same
/// message. Let the name end with a version, and raise it when the type changes.
///
/// A generic type has a name for each choice of its parameters: with `name = "edix.Reply/1"`,
/// `Reply<u32>` is `edix.Reply/1<u32>`. The parameters must be messages themselves. For constant
/// parameters implement the trait by hand.
#[proc_macro_derive(Message, attributes(message))]
pub fn message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(|error| error.into_compile_error()).into()
}
