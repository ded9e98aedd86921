/// A type with a name that both programs agree on.
///
/// The name travels in the handshake of [`Endpoint::connect_typed`](crate::Endpoint::connect_typed) and
/// [`accept_typed`](crate::Endpoint::accept_typed): two sides that disagree refuse each other. Choose it
/// yourself, with a version (the compiler's own type names differ between programs); at most 255 bytes.
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
/// The codecs `postcard` (the default) and `bincode` read values by their order: a type that uses serde's
/// `skip`, `skip_serializing_if`, `flatten`, `untagged` or `tag` needs `codec=json`, or may arrive as another
/// value. [Which types](crate::codec#which-types) tells more, and `codec::assert_round_trip` tests it.
pub trait Message {
    /// The name.
    const NAME: &'static str;
}

/// For the direction in which nothing but signals is sent.
impl Message for () {
    const NAME: &'static str = "()";
}
