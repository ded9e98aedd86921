//! What the codecs do with serde's attributes: bounded work, and the same value or an error where
//! the documentation says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyipc::ErrorKind;
use anyipc::codec::{CodecId, assert_round_trip};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Those that were compiled in.
fn codecs() -> impl Iterator<Item = CodecId> {
    [CodecId::Postcard, CodecId::Bincode, CodecId::Json]
        .into_iter()
        .filter(|codec| codec.is_available())
}

fn refused<T: Debug + DeserializeOwned>(codec: CodecId, bytes: &[u8]) -> String {
    let error = codec.decode::<T>(bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec, "{error}");
    error.to_string()
}

/// `inner` within this many pairs of these.
fn nested(open: &str, inner: &str, close: &str, levels: usize) -> Vec<u8> {
    [open.repeat(levels), inner.into(), close.repeat(levels)].concat().into_bytes()
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    List(Vec<Untagged>),
    Struct { inner: Box<Untagged> },
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Leaf,
    Node { inner: Box<Tagged>, note: Option<Box<Tagged>> },
    List { items: Vec<Tagged> },
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, Flat>,
}

#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    Leaf(u8),
    Node(Box<Adjacent>),
}

/// All of them in each other.
#[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
struct Everything {
    untagged: Option<Untagged>,
    tagged: Tagged,
    adjacent: Vec<Adjacent>,
    #[serde(flatten)]
    flat: Flat,
    any: serde_json::Value,
}

fn untagged() -> impl Strategy<Value = Untagged> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Untagged::Number),
        "[a-z\"]{0,5}".prop_map(Untagged::Text)
    ];
    leaf.prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Untagged::List),
            inner.prop_map(|inner| Untagged::Struct { inner: inner.into() }),
        ]
    })
}

fn tagged() -> impl Strategy<Value = Tagged> {
    Just(Tagged::Leaf).prop_recursive(6, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), prop::option::of(inner.clone())).prop_map(|(inner, note)| {
                Tagged::Node { inner: inner.into(), note: note.map(Box::new) }
            }),
            prop::collection::vec(inner, 0..4).prop_map(|items| Tagged::List { items }),
        ]
    })
}

fn flat() -> impl Strategy<Value = Flat> {
    let leaf = any::<u32>().prop_map(|id| Flat { id, rest: BTreeMap::new() });
    leaf.prop_recursive(4, 16, 3, |inner| {
        (any::<u32>(), prop::collection::btree_map("[p-t]", inner, 0..3))
            .prop_map(|(id, rest)| Flat { id, rest })
    })
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    (any::<u8>(), 0..20_usize).prop_map(|(leaf, levels)| {
        (0..levels).fold(Adjacent::Leaf(leaf), |inner, _| Adjacent::Node(inner.into()))
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    let parts = (
        prop::option::of(untagged()),
        tagged(),
        prop::collection::vec(adjacent(), 0..3),
        flat(),
        untagged(),
    );
    parts.prop_map(|(untagged, tagged, adjacent, flat, other)| Everything {
        untagged,
        tagged,
        adjacent,
        flat,
        any: serde_json::to_value(other).unwrap(),
    })
}

proptest! {
    #[test]
    fn json_reads_every_attribute_back(value in everything()) {
        CodecId::Json.assert_round_trip(&value);
    }

    /// Text that is nearly right reaches further into the types than random bytes.
    #[test]
    fn damaged_json_is_an_error_or_a_value(
        value in everything(),
        cut: prop::sample::Index,
        byte: u8,
        swap: bool,
    ) {
        let mut bytes = vec![];
        CodecId::Json.encode(&value, &mut bytes).unwrap();
        let at = cut.index(bytes.len());
        if swap { bytes[at] = byte } else { bytes.truncate(at) }
        for result in [
            CodecId::Json.decode::<Everything>(&bytes).map(drop),
            CodecId::Json.decode::<Untagged>(&bytes).map(drop),
            CodecId::Json.decode::<serde_json::Value>(&bytes).map(drop),
        ] {
            prop_assert!(result.is_ok() || result.unwrap_err().kind() == ErrorKind::Codec);
        }
    }

    /// Codecs without names write or read such a type not at all; they never hang, crash or panic.
    #[test]
    fn random_bytes_are_an_error_or_a_value(bytes: Vec<u8>) {
        for codec in codecs() {
            for result in [
                codec.decode::<Everything>(&bytes).map(drop),
                codec.decode::<Untagged>(&bytes).map(drop),
                codec.decode::<Tagged>(&bytes).map(drop),
                codec.decode::<Flat>(&bytes).map(drop),
                codec.decode::<Vec<Adjacent>>(&bytes).map(drop),
            ] {
                prop_assert!(result.is_ok() || result.unwrap_err().kind() == ErrorKind::Codec);
            }
        }
    }
}

#[test]
fn nesting_is_limited_whatever_the_attribute() {
    // serde_json's own limit comes first where each level has brackets.
    let deep = |why: String| {
        assert!(why.contains("recursion limit") || why.contains("128 levels"), "{why}")
    };
    for levels in [129, 100_000] {
        deep(refused::<Untagged>(CodecId::Json, &nested("[", "1", "]", levels)));
        deep(refused::<Untagged>(CodecId::Json, &nested("{\"inner\":", "1", "}", levels)));
        deep(refused::<Option<Untagged>>(CodecId::Json, &nested("[", "1", "]", levels)));
        let node = "{\"kind\":\"Node\",\"inner\":";
        deep(refused::<Tagged>(CodecId::Json, &nested(node, "{\"kind\":\"Leaf\"}", "}", levels)));
        deep(refused::<Flat>(
            CodecId::Json,
            &nested("{\"id\":1,\"a\":", "{\"id\":1}", "}", levels),
        ));
        let node = "{\"kind\":\"Node\",\"content\":";
        deep(refused::<Adjacent>(CodecId::Json, &nested(node, "1", "}", levels)));
        // The tag after its content: read from the buffer.
        let turned = nested("{\"content\":", "1", ",\"kind\":\"Node\"}", levels);
        deep(refused::<Adjacent>(CodecId::Json, &turned));
        deep(refused::<serde_json::Value>(CodecId::Json, &nested("[", "1", "]", levels)));
    }
    for bytes in [nested("[", "1", "]", 100), nested("{\"inner\":", "1", "}", 100)] {
        CodecId::Json.decode::<Untagged>(&bytes).unwrap();
    }
}

/// Options that are present count in each of these, and have no brackets in JSON.
#[test]
fn options_count_beside_brackets() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Pair(Option<Vec<Pair>>, #[serde(default)] Option<Any>);
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Any {
        List(Vec<Any>),
        Number(u8),
    }
    // Three levels each: the struct, the option, and the list.
    let text = |inner| nested("[[", inner, "]]", 42);
    CodecId::Json.decode::<Pair>(&text("[null,1]")).unwrap();
    let why = refused::<Pair>(CodecId::Json, &text("[null,[1]]"));
    assert!(why.contains("128 levels"), "{why}");
}

mod endless {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chain(Option<Box<Chain>>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Any {
        Chain(Chain),
        Other(bool),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Last {
        Other(bool),
        Text { text: String },
        Chain(Box<Chain>),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Direct {
        Number(u8),
        Loop(Option<Box<Chain>>),
    }

    #[test]
    fn a_type_of_options_of_itself_is_refused() {
        for codec in codecs() {
            assert!(codec.decode::<Chain>(b"\x01").is_err());
            for bytes in [&b"1"[..], b"true", b"[1]", b"\"x\"", b"\x01\x01"] {
                let why = refused::<Any>(codec, bytes);
                let same = [refused::<Last>(codec, bytes), refused::<Direct>(codec, bytes)];
                if codec == CodecId::Json {
                    assert!(why.contains("contains itself through options"), "{why}");
                    assert!(same.iter().all(|text| text.contains("contains itself")), "{same:?}");
                }
            }
        }
    }

    /// Types that take many things, and are no such chain.
    #[test]
    fn others_are_not() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(untagged)]
        enum Known {
            Flag(Option<Option<bool>>),
            Unit,
            Node { next: Option<Box<Known>> },
            Other(serde_json::Value),
        }
        for value in [
            Known::Flag(Some(Some(true))),
            Known::Node { next: Some(Known::Node { next: None }.into()) },
            Known::Other(serde_json::json!([1, { "a": 2 }])),
        ] {
            CodecId::Json.assert_round_trip(&value);
        }
        CodecId::Json.assert_round_trip(&serde_json::json!({ "a": [null] }));
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Order {
    Stop,
    #[serde(skip)]
    #[allow(dead_code, reason = "it moves those behind it")]
    Local,
    Start,
    Restart,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<u32>,
    code: u32,
}

/// What a failed assertion says.
fn said(
    codec: CodecId,
    value: &(impl Serialize + DeserializeOwned + PartialEq + Debug),
) -> Option<String> {
    let failed = catch_unwind(AssertUnwindSafe(|| codec.assert_round_trip(value))).err()?;
    Some(*failed.downcast::<String>().unwrap())
}

#[test]
fn the_helper_finds_what_the_table_names() {
    for codec in codecs() {
        assert_eq!(said(codec, &Order::Stop), None);
        assert_eq!(said(codec, &(1, "two".to_owned())), None);
        let named = codec == CodecId::Json;
        for found in [
            said(codec, &Order::Start),
            said(codec, &Order::Restart),
            said(codec, &Report { note: None, code: 7 }),
            said(codec, &Untagged::Number(1)),
            said(codec, &Tagged::Leaf),
            said(codec, &Flat { id: 1, rest: BTreeMap::new() }),
        ] {
            assert_eq!(found.is_none(), named, "{codec}: {found:?}");
            if let Some(found) = found {
                assert!(found.contains(codec.as_str()) && found.contains("codec=json"), "{found}");
            }
        }
    }
    if CodecId::Postcard.is_available() {
        let changed = said(CodecId::Postcard, &Order::Start).unwrap();
        assert!(changed.contains("Start arrives as Restart"), "{changed}");
    }
    assert_round_trip(&vec![Some(Order::Stop)]);
}
