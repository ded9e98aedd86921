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
pub trait Message {
    /// The name.
    const NAME: &'static str;
}

/// For the direction in which nothing but signals is sent.
impl Message for () {
    const NAME: &'static str = "()";
}
