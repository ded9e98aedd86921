//! Names of the types that travel, compared in the handshake.

use std::collections::{BTreeMap, HashMap};

use anyipc_core::MAX_TYPE_NAME;

/// A type with a name that both programs agree on.
///
/// The name travels in the handshake of typed channels ([`connect_typed`](crate::connect_typed),
/// [`Endpoint::accept_typed`](crate::Endpoint::accept_typed), [`TypedInbox`](crate::TypedInbox)):
/// two sides that disagree refuse each other. Choose the name yourself, with a version that rises
/// when the type changes; the compiler's own names differ between programs and compilers.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// #[derive(anyipc::Message)]
/// #[message(name = "edix.Diagnostic/1")]
/// struct Diagnostic {
///     line: u32,
/// }
/// # assert_eq!(<Diagnostic as anyipc::Message>::NAME, "edix.Diagnostic/1");
/// # }
/// ```
///
/// Without a name the derive is an error that says what to write:
///
/// ```compile_fail
/// #[derive(anyipc::Message)]
/// struct Diagnostic {
///     line: u32,
/// }
/// ```
///
/// The derive needs the feature `derive`; without it, write the name by hand:
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
/// # Names of standard types
/// Integers but `usize` and `isize`, floats, `bool`, `char`, `String` and `()` have their own name;
/// lists, options, results, maps and tuples of messages are put together, such as
/// `Vec<edix.Diagnostic/1>`. What one side lends and the other owns has one name: `str` and
/// `String`, `[T]` and `Vec<T>`, `T` and `Box<T>`. A `u32` of one program matches the `u32` of any
/// other: prefer types of your own.
///
/// # Length
/// A name has 1 to 255 bytes. A longer one is an error of the compiler where a typed call names the
/// type, also if it was put together.
///
/// # Which types
/// The codecs `postcard` (the default) and `bincode` read values by their order: a type that uses
/// serde's `skip`, `skip_serializing_if`, `flatten`, `untagged` or `tag` needs `codec=json`, or may
/// arrive as another value. [Which types](crate::codec#which-types) has a table, and
/// `codec::assert_round_trip` tests a type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no name that the other program could know",
    label = "is no `anyipc::Message`",
    note = "for a type of your own: #[derive(anyipc::Message)] #[message(name = \
            \"program.Type/1\")], with anyipc's feature `derive`"
)]
pub trait Message {
    /// The name, of 1 to 255 bytes.
    const NAME: &'static str;
}

/// A name that is put together at compile time, for generic types.
///
/// ```
/// use anyipc::{Message, MessageName};
///
/// struct Reply<T> {
///     result: T,
/// }
///
/// impl<T: Message> Message for Reply<T> {
///     const NAME: &'static str =
///         const { &MessageName::of(&["edix.Reply/1<", T::NAME, ">"]) }.as_str();
/// }
/// assert_eq!(Reply::<u32>::NAME, "edix.Reply/1<u32>");
/// ```
///
/// `#[derive(Message)]` writes the same. A name of more than 255 bytes does not compile:
///
/// ```compile_fail
/// # use anyipc::{Message, MessageName};
/// struct Twice<T>(T);
///
/// impl<T: Message> Message for Twice<T> {
///     const NAME: &'static str = const { &MessageName::of(&[T::NAME, T::NAME]) }.as_str();
/// }
/// type Sixteen<T> = Twice<Twice<Twice<Twice<T>>>>;
/// println!("{}", Sixteen::<Sixteen<u32>>::NAME);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct MessageName {
    bytes: [u8; MAX_TYPE_NAME],
    len: usize,
}

impl MessageName {
    /// Joins the parts.
    ///
    /// # Panics
    /// If they have more than 255 bytes together: in a constant, an error of the compiler.
    #[allow(clippy::panic, reason = "an error of the compiler")]
    pub const fn of(parts: &[&str]) -> Self {
        let mut name = Self { bytes: [0; MAX_TYPE_NAME], len: 0 };
        let mut index = 0;
        while index < parts.len() {
            let part = parts[index].as_bytes();
            let Some((_, rest)) = name.bytes.split_at_mut_checked(name.len) else { break };
            let Some((room, _)) = rest.split_at_mut_checked(part.len()) else {
                panic!("the name of a message type has more than the 255 bytes that it may have");
            };
            room.copy_from_slice(part);
            name.len += part.len();
            index += 1;
        }
        name
    }

    /// The name.
    pub const fn as_str(&self) -> &str {
        let (name, _) = self.bytes.split_at(self.len);
        match std::str::from_utf8(name) {
            Ok(name) => name,
            // Whole texts, one after the other, are UTF-8.
            Err(_) => "",
        }
    }
}

/// The name of a type in a handshake, checked by the compiler.
///
/// ```no_run
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Edit;
/// impl anyipc::Message for Edit {
///     const NAME: &'static str = "edix.Edit/1";
/// }
/// anyipc::connect_typed::<Edit, ()>("shm://edits");
/// ```
///
/// ```compile_fail
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Edit;
/// impl anyipc::Message for Edit {
///     const NAME: &'static str = "";
/// }
/// anyipc::connect_typed::<Edit, ()>("shm://edits");
/// ```
#[cfg(feature = "serde")]
pub(crate) const fn checked_name<T: Message + ?Sized>() -> &'static str {
    const {
        assert!(!T::NAME.is_empty(), "the name of a message type is empty");
        assert!(
            T::NAME.len() <= MAX_TYPE_NAME,
            "the name of a message type has more than the 255 bytes that it may have"
        );
    }
    T::NAME
}

/// Types with a fixed name.
macro_rules! named {
    ($($type:ty: $name:literal,)*) => {$(
        impl Message for $type {
            const NAME: &'static str = $name;
        }
    )*};
}

named! {
    u8: "u8", u16: "u16", u32: "u32", u64: "u64", u128: "u128",
    i8: "i8", i16: "i16", i32: "i32", i64: "i64", i128: "i128",
    f32: "f32", f64: "f64", bool: "bool", char: "char",
    str: "String", String: "String",
}

/// For a direction without values.
impl Message for () {
    const NAME: &'static str = "()";
}

impl<T: Message + ?Sized> Message for Box<T> {
    const NAME: &'static str = T::NAME;
}

/// Types with a name of parts.
macro_rules! composed {
    ($($(#[$attribute:meta])* [$($generics:tt)*] $type:ty: $($part:expr),+;)*) => {$(
        $(#[$attribute])*
        impl<$($generics)*> Message for $type {
            const NAME: &'static str = const { &MessageName::of(&[$($part),+]) }.as_str();
        }
    )*};
}

composed! {
    [T: Message] Vec<T>: "Vec<", T::NAME, ">";
    [T: Message] [T]: "Vec<", T::NAME, ">";
    [T: Message] Option<T>: "Option<", T::NAME, ">";
    [T: Message, E: Message] Result<T, E>: "Result<", T::NAME, ", ", E::NAME, ">";
    [K: Message, V: Message] BTreeMap<K, V>: "Map<", K::NAME, ", ", V::NAME, ">";
    [K: Message, V: Message, S] HashMap<K, V, S>: "Map<", K::NAME, ", ", V::NAME, ">";
    [A: Message] (A,): "(", A::NAME, ",)";
}

/// Tuples of two or more.
macro_rules! tuples {
    ($($first:ident $($other:ident)+,)*) => {
        composed! {$(
            [$first: Message $(, $other: Message)+] ($first, $($other),+):
                "(", $first::NAME $(, ", ", $other::NAME)+, ")";
        )*}
    };
}

tuples! {
    A B,
    A B C,
    A B C D,
    A B C D E,
    A B C D E F,
    A B C D E F G,
    A B C D E F G H,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Own;

    impl Message for Own {
        const NAME: &'static str = "test.Own/1";
    }

    #[test]
    fn names_are_put_together() {
        assert_eq!(<Vec<u8>>::NAME, "Vec<u8>");
        assert_eq!(<[Own]>::NAME, <Vec<Own>>::NAME);
        assert_eq!(<Box<str>>::NAME, String::NAME);
        assert_eq!(<(u32,)>::NAME, "(u32,)");
        assert_eq!(
            <(u32, Option<Own>, Vec<(char, bool)>)>::NAME,
            "(u32, Option<test.Own/1>, Vec<(char, bool)>)"
        );
        assert_eq!(<Result<(), HashMap<String, f64>>>::NAME, "Result<(), Map<String, f64>>");
        assert_eq!(<BTreeMap<u8, ()>>::NAME, "Map<u8, ()>");
    }

    #[test]
    fn a_name_of_255_bytes_is_one() {
        let most = "é".repeat(127) + "x";
        assert_eq!(MessageName::of(&["", &most, ""]).as_str(), most);
        assert_eq!(MessageName::of(&[]).as_str(), "");
        let longer = || MessageName::of(&[&most, "x"]);
        assert!(std::panic::catch_unwind(longer).is_err());
    }
}
