use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

use super::CodecId;

impl CodecId {
    /// Panics unless the codec decodes this value as it was encoded. For tests of message types,
    /// with one value of each variant: some attributes of serde change values without an error
    /// ([which](crate::codec#which-types)).
    ///
    /// ```
    /// # #[cfg(feature = "json")]
    /// # fn main() {
    /// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    /// #[serde(untagged)]
    /// enum Id {
    ///     Number(u64),
    ///     Text(String),
    /// }
    ///
    /// for id in [Id::Number(7), Id::Text("seven".into())] {
    ///     anyipc::codec::CodecId::Json.assert_round_trip(&id);
    /// }
    /// # }
    /// # #[cfg(not(feature = "json"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Panics
    /// If the codec cannot encode or decode the value, or decodes another one; if it was not
    /// compiled in.
    #[track_caller]
    #[allow(clippy::panic, reason = "an assertion, for tests")]
    pub fn assert_round_trip<T>(self, value: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let mut bytes = Vec::new();
        if let Err(error) = self.encode(value, &mut bytes) {
            panic!("{value:?} cannot be sent with codec={self}: {error}");
        }
        match self.decode::<T>(&bytes) {
            Ok(read) if read == *value => {}
            Ok(read) => panic!(
                "with codec={self} {value:?} arrives as {read:?}; does its type use serde's skip, \
                 skip_serializing_if, flatten, untagged or tag? codec=json reads those by name"
            ),
            Err(error) => panic!("with codec={self} {value:?} does not arrive: {error}"),
        }
    }
}

/// Panics unless every codec that was compiled in decodes this value as it was encoded.
/// [`CodecId::assert_round_trip`] tests one codec.
///
/// ```
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// enum Order {
///     Stop,
///     Start { delay: u32 },
/// }
///
/// for order in [Order::Stop, Order::Start { delay: 3 }] {
///     anyipc::codec::assert_round_trip(&order);
/// }
/// ```
///
/// A skipped variant, for example, changes the numbers of those behind it:
///
/// ```should_panic
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// enum Order {
///     #[serde(skip)]
///     Internal,
///     Start,
///     Restart,
/// }
///
/// // with codec=postcard Start arrives as Restart
/// anyipc::codec::assert_round_trip(&Order::Start);
/// # #[cfg(not(any(feature = "postcard", feature = "bincode")))]
/// # panic!("json reads it by name");
/// ```
///
/// # Panics
/// If a codec cannot encode or decode the value, or decodes another one.
#[track_caller]
pub fn assert_round_trip<T>(value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    for codec in [CodecId::Postcard, CodecId::Bincode, CodecId::Json] {
        if codec.is_available() {
            codec.assert_round_trip(value);
        }
    }
}
