/// A type with a name that both programs agree on.
///
/// The name travels in the handshake of [`Endpoint::connect_typed`](crate::Endpoint::connect_typed)
/// and [`accept_typed`](crate::Endpoint::accept_typed): two sides that disagree refuse each other.
/// Choose the name yourself, with a version, of at most 255 bytes; the compiler's own type names
/// differ between programs.
///
/// ```
/// struct Diagnostic {
///     line: u32,
/// }
/// impl anyipc::Message for Diagnostic {
///     const NAME: &'static str = "edix.Diagnostic/1";
/// }
/// ```
///
/// The codecs `postcard` (the default) and `bincode` read values by their order: a type that uses
/// serde's `skip`, `skip_serializing_if`, `flatten`, `untagged` or `tag` needs `codec=json`, or may
/// arrive as another value. [Which types](crate::codec#which-types) has a table, and
/// `codec::assert_round_trip` tests a type.
pub trait Message {
    /// The name.
    const NAME: &'static str;
}

/// For a direction without values.
impl Message for () {
    const NAME: &'static str = "()";
}
