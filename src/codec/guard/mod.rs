//! A deserializer around a codec's own that limits what an untrusted peer's bytes cost: the depth
//! of nesting (the stack), and the number of elements (an element of a type without content needs
//! no bytes, so that ten bytes can claim 2^63 of them).
//!
//! Only calls that lead to values inside of values are wrapped; all others are forwarded.
//!
//! serde reads untagged, internally tagged and flattened types in two steps: it collects the value
//! in a buffer, and reads the type from there. The first step passes through the guard, so the
//! buffer is at most [`DEPTH`] levels deep. The second step is serde's own code and calls nothing
//! here. Each of its levels uses up a level of the buffer, with one exception: a type that contains
//! itself through options, newtypes and untagged enums alone stays at the same place of the buffer
//! forever. [`is_endless`](super::endless::is_endless) detects such a type of a message.

mod inside;

use std::cell::Cell;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

use inside::{Elements, Inside};

/// The most levels of nesting. Every list, map, tuple, struct, enum and present option is one.
const DEPTH: u32 = 128;

/// The most elements of lists and maps beyond one per byte.
const SPARE: usize = 1024;

/// What one decoding may still cost.
pub(super) struct Limits {
    /// Elements left.
    elements: Cell<usize>,
    /// The limit that ended the decoding.
    exceeded: Cell<Option<&'static str>>,
}

impl Limits {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { elements: Cell::new(bytes.len().saturating_add(SPARE)), exceeded: Cell::new(None) }
    }

    /// Reads a `T` within the limits.
    pub(super) fn decode<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        &self,
        from: D,
    ) -> Result<T, D::Error> {
        T::deserialize(Guard { inner: from, limits: self, depth: 0 })
    }

    /// The limit that ended the decoding, if one did. Some codecs drop the text of an error.
    pub(super) fn exceeded(&self) -> Option<&'static str> {
        self.exceeded.get()
    }

    #[cold]
    fn exceed<E: Error>(&self, why: &'static str) -> E {
        self.exceeded.set(Some(why));
        E::custom(why)
    }

    #[inline]
    fn take<E: Error>(&self, count: usize) -> Result<(), E> {
        match self.elements.get().checked_sub(count) {
            Some(left) => {
                self.elements.set(left);
                Ok(())
            }
            None => Err(self.exceed("it has more elements than its bytes can mean")),
        }
    }
}

/// A deserializer, visitor, seed or access of serde, at one level of nesting.
struct Guard<'l, T> {
    inner: T,
    limits: &'l Limits,
    /// Levels around it, 0 to [`DEPTH`] + 1.
    depth: u32,
}

impl<'l, T> Guard<'l, T> {
    #[inline]
    fn of<U>(&self, inner: U) -> Guard<'l, U> {
        Guard { inner, limits: self.limits, depth: self.depth }
    }

    /// Access to elements, which are counted at once if their number is known, else one by one. A
    /// codec knows the number or gives no hint; none of them gives a wrong one.
    #[inline]
    fn elements<A, E: Error>(
        &self,
        inner: A,
        hint: Option<usize>,
        counted: bool,
    ) -> Result<Elements<'l, A>, E> {
        let counted = match hint {
            Some(count) if counted => {
                self.limits.take(count)?;
                false
            }
            _ => counted,
        };
        Ok(Elements { guard: self.of(inner), counted })
    }

    /// The deserializer, and the visitor one level further in.
    #[inline]
    fn enter<V>(self, visitor: V, counted: bool) -> (T, Inside<'l, V>) {
        let guard = Guard { inner: visitor, limits: self.limits, depth: self.depth + 1 };
        (self.inner, Inside { guard, counted })
    }

    /// Called for values inside of this one: an error if they are too deep.
    #[inline]
    fn check<E: Error>(&self) -> Result<(), E> {
        if self.depth > DEPTH {
            return Err(self.limits.exceed("it nests deeper than 128 levels"));
        }
        Ok(())
    }
}

macro_rules! forward {
    ($($method:ident)*) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Guard<'_, D> {
    type Error = D::Error;

    forward! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    /// One level if the value turns out to have values inside.
    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor, true);
        inner.deserialize_any(visitor)
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor, false);
        inner.deserialize_option(visitor)
    }

    /// No level: a newtype can contain itself only through something that is one.
    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Inside { guard: self.of(visitor), counted: false };
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor, true);
        inner.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor, false);
        inner.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor, false);
        inner.deserialize_tuple_struct(name, len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor, true);
        inner.deserialize_map(visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor, false);
        inner.deserialize_struct(name, fields, visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor, false);
        inner.deserialize_enum(name, variants, visitor)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}
