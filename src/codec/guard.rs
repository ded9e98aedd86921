//! A deserializer around a codec's own that bounds what bytes from a stranger cost: how deep values nest (the
//! stack), and how many elements there are (elements of a type without content need no bytes, so that ten
//! bytes can claim 2^63 of them).
//!
//! Only calls that lead to values inside of values are wrapped; the others go straight through.
//!
//! serde reads untagged, internally tagged and flattened types in two steps: it collects the value in a buffer,
//! and reads the type from there. The first step passes through the guard, so the buffer is at most [`DEPTH`]
//! levels deep. The second step is serde's own code and calls nothing of ours; each of its levels uses up a
//! level of the buffer, with one exception: a type that contains itself through options, newtypes and untagged
//! enums alone stays at the same place of the buffer for ever. [`is_endless`](super::endless::is_endless) finds
//! the messages of such a type.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// Levels of nesting: every list, map, tuple, struct, enum and present option is one.
const DEPTH: u32 = 128;

/// Elements of lists and maps beyond one per byte.
const SPARE: usize = 1024;

/// What one decoding may still cost.
pub(super) struct Limits {
    elements: Cell<usize>,
    exceeded: Cell<Option<&'static str>>,
}

impl Limits {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { elements: Cell::new(bytes.len().saturating_add(SPARE)), exceeded: Cell::new(None) }
    }

    /// Reads a `T`.
    pub(super) fn decode<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        &self,
        from: D,
    ) -> Result<T, D::Error> {
        T::deserialize(Guard { inner: from, limits: self, depth: 0 })
    }

    /// Which limit ended the decoding, if one did: some codecs forget the text of an error.
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

/// Anything of serde's, at one level of nesting.
struct Guard<'l, T> {
    inner: T,
    limits: &'l Limits,
    depth: u32,
}

/// The elements of something; those of a tuple or struct, whose number is the type's, are not counted.
struct Elements<'l, T> {
    guard: Guard<'l, T>,
    counted: bool,
}

/// A visitor, one level further in; `counted` if what it visits is a list or map.
struct Inside<'l, V> {
    guard: Guard<'l, V>,
    counted: bool,
}

impl<'l, T> Guard<'l, T> {
    #[inline]
    fn of<U>(&self, inner: U) -> Guard<'l, U> {
        Guard { inner, limits: self.limits, depth: self.depth }
    }

    /// The elements to come, counted at once where their number is known, else one by one. The codecs know it or
    /// give no hint; none of them gives a wrong one.
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

    /// An error if there are values inside of this one, and it is too deep for them.
    #[inline]
    fn check<E: Error>(&self) -> Result<(), E> {
        if self.depth > DEPTH {
            return Err(self.limits.exceed("it nests deeper than 128 levels"));
        }
        Ok(())
    }
}

macro_rules! straight {
    ($($method:ident)*) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Guard<'_, D> {
    type Error = D::Error;

    straight! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    /// One level if there are values inside of what comes.
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

    /// No level: a newtype cannot contain itself but through something that is one.
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

macro_rules! leaves {
    ($($method:ident: $type:ty,)*) => {
        $(#[inline]
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.guard.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Inside<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.inner.expecting(f)
    }

    leaves! {
        visit_bool: bool,
        visit_i8: i8,
        visit_i16: i16,
        visit_i32: i32,
        visit_i64: i64,
        visit_i128: i128,
        visit_u8: u8,
        visit_u16: u16,
        visit_u32: u32,
        visit_u64: u64,
        visit_u128: u128,
        visit_f32: f32,
        visit_f64: f64,
        visit_char: char,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.guard.inner.visit_none()
    }

    #[inline]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.guard.inner.visit_unit()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.guard.check()?;
        let from = self.guard.of(from);
        self.guard.inner.visit_some(from)
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.guard.check()?;
        let from = self.guard.of(from);
        self.guard.inner.visit_newtype_struct(from)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.guard.check()?;
        let hint = access.size_hint();
        let access = self.guard.elements(access, hint, self.counted)?;
        self.guard.inner.visit_seq(access)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.guard.check()?;
        let hint = access.size_hint();
        let access = self.guard.elements(access, hint, self.counted)?;
        self.guard.inner.visit_map(access)
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.guard.check()?;
        let access = self.guard.of(access);
        self.guard.inner.visit_enum(access)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Guard<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        let from = self.of(from);
        self.inner.deserialize(from)
    }
}

impl<T> Elements<'_, T> {
    #[inline]
    fn count<E: Error>(&self) -> Result<(), E> {
        if self.counted { self.guard.limits.take(1) } else { Ok(()) }
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.guard.of(seed);
        let element = self.guard.inner.next_element_seed(seed)?;
        if element.is_some() {
            self.count()?;
        }
        Ok(element)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.guard.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.guard.of(seed);
        let key = self.guard.inner.next_key_seed(seed)?;
        if key.is_some() {
            self.count()?;
        }
        Ok(key)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.guard.of(seed);
        self.guard.inner.next_value_seed(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.guard.inner.size_hint()
    }
}

impl<'de, 'l, A: EnumAccess<'de>> EnumAccess<'de> for Guard<'l, A> {
    type Error = A::Error;
    type Variant = Guard<'l, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (limits, depth) = (self.limits, self.depth);
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, Guard { inner, limits, depth }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Guard<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.of(seed);
        self.inner.newtype_variant_seed(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = Inside { guard: self.of(visitor), counted: false };
        self.inner.tuple_variant(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = Inside { guard: self.of(visitor), counted: false };
        self.inner.struct_variant(fields, visitor)
    }
}
