use super::*;
#[allow(unused_imports, reason = "unused without a codec")]
use serde::{Deserialize, Serialize};

#[test]
fn ids_are_fixed() {
    for (codec, id, name) in [
        (CodecId::Postcard, 1, "postcard"),
        (CodecId::Bincode, 2, "bincode"),
        (CodecId::Json, 3, "json"),
    ] {
        assert_eq!((codec.id(), codec.as_str()), (id, name));
        assert_eq!(CodecId::from_name(name), Some(codec));
        assert_eq!(codec.available().is_ok(), codec.is_available());
    }
    let text = missing(CodecId::Json).to_string();
    assert!(text.contains("feature json"), "{text}");
}

#[cfg(any(feature = "postcard", feature = "bincode", feature = "json"))]
mod with_codecs {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Diagnostic {
        path: String,
        line: u32,
        delta: i16,
        fatal: bool,
        notes: Vec<String>,
        hint: Option<char>,
        place: Place,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Place {
        Nowhere,
        Column(u64),
        Span { from: u8, to: u128 },
    }

    fn sample() -> Diagnostic {
        Diagnostic {
            path: "C:\\é".into(),
            line: 300,
            delta: -2,
            fatal: true,
            notes: vec!["a".into(), String::new()],
            hint: Some('x'),
            place: Place::Span { from: 1, to: 1 << 100 },
        }
    }

    fn golden(codec: CodecId, bytes: &[u8]) {
        let mut out = vec![];
        codec.encode(&sample(), &mut out).unwrap();
        assert_eq!(out, bytes, "{codec}: {}", out.escape_ascii());
        assert_eq!(codec.decode::<Diagnostic>(&out).unwrap(), sample());
        assert_eq!(codec.decode::<Place>(&out[..0]).unwrap_err().kind(), ErrorKind::Codec);
        out.push(7);
        assert_eq!(codec.decode::<Diagnostic>(&out).unwrap_err().kind(), ErrorKind::Codec);
    }

    #[cfg(feature = "postcard")]
    #[test]
    fn postcard_bytes_are_golden() {
        golden(
            CodecId::Postcard,
            b"\x05C:\\\xc3\xa9\xac\x02\x03\x01\x02\x01a\x00\x01\x01x\x02\x01\
              \x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x04",
        );
    }

    #[cfg(feature = "bincode")]
    #[test]
    fn bincode_bytes_are_golden() {
        golden(
            CodecId::Bincode,
            b"\x05C:\\\xc3\xa9\xfb,\x01\x03\x01\x02\x01a\x00\x01x\x02\x01\xfe\
              \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00",
        );
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_bytes_are_golden() {
        golden(
            CodecId::Json,
            "{\"path\":\"C:\\\\é\",\"line\":300,\"delta\":-2,\"fatal\":true,\
             \"notes\":[\"a\",\"\"],\"hint\":\"x\",\"place\":{\"Span\":{\"from\":1,\
             \"to\":1267650600228229401496703205376}}}"
                .as_bytes(),
        );
    }

    #[test]
    fn a_claimed_length_reserves_nothing() {
        for codec in [CodecId::Postcard, CodecId::Bincode, CodecId::Json] {
            if codec.is_available() {
                let hostile = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x01];
                for hostile in [&hostile[..9], &hostile[1..]] {
                    assert_eq!(
                        codec.decode::<String>(hostile).unwrap_err().kind(),
                        ErrorKind::Codec
                    );
                    assert_eq!(
                        codec.decode::<Vec<u64>>(hostile).unwrap_err().kind(),
                        ErrorKind::Codec
                    );
                }
            }
        }
    }

    #[test]
    fn many_small_numbers_are_no_large_claim() {
        for codec in [CodecId::Postcard, CodecId::Bincode, CodecId::Json] {
            if codec.is_available() {
                let value: Vec<u128> = vec![1; 100_000];
                let mut out = vec![];
                codec.encode(&value, &mut out).unwrap();
                assert_eq!(codec.decode::<Vec<u128>>(&out).unwrap(), value);
            }
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Leaf,
        Node(Box<Tree>),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chain(Option<Box<Chain>>);

    fn refused<T: std::fmt::Debug + serde::de::DeserializeOwned>(
        codec: CodecId,
        bytes: &[u8],
        why: &str,
    ) {
        if codec.is_available() {
            let error = codec.decode::<T>(bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Codec);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        for codec in [CodecId::Postcard, CodecId::Bincode] {
            refused::<Tree>(codec, &vec![1; 8 << 20], "128 levels");
            refused::<Chain>(codec, &vec![1; 8 << 20], "128 levels");
            refused::<Vec<Tree>>(codec, &vec![1; 8 << 20], "128 levels");
        }
        refused::<Tree>(CodecId::Json, "{\"Node\":".repeat(1 << 20).as_bytes(), "recursion limit");
        // Every option is present, and takes no byte.
        refused::<Chain>(CodecId::Json, b"1", "128 levels");
        let mut deepest = Tree::Leaf;
        (1..120).for_each(|_| {
            deepest = Tree::Node(Box::new(std::mem::replace(&mut deepest, Tree::Leaf)))
        });
        for codec in [CodecId::Postcard, CodecId::Bincode, CodecId::Json] {
            if codec.is_available() {
                let mut out = vec![];
                codec.encode(&deepest, &mut out).unwrap();
                assert_eq!(codec.decode::<Tree>(&out).unwrap(), deepest);
            }
        }
    }

    #[test]
    fn elements_without_bytes_are_limited() {
        #[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        struct Nothing;
        // As many as a length can say.
        let wide = usize::BITS == 64;
        let max = if wide {
            &[&[0xff; 9][..], &[0x01]].concat()
        } else {
            &[&[0xff; 4][..], &[0x0f]].concat()
        };
        refused::<Vec<()>>(CodecId::Postcard, max, "elements");
        refused::<std::collections::BTreeMap<Nothing, ()>>(CodecId::Postcard, max, "elements");
        let max: &[u8] = if wide {
            &[253, 255, 255, 255, 255, 255, 255, 255, 127]
        } else {
            &[252, 255, 255, 255, 127]
        };
        refused::<Vec<Nothing>>(CodecId::Bincode, max, "elements");
        refused::<Vec<[(); 2]>>(CodecId::Bincode, max, "elements");
        for codec in [CodecId::Postcard, CodecId::Bincode, CodecId::Json] {
            if codec.is_available() {
                let mut out = vec![];
                codec.encode(&vec![(); 1000], &mut out).unwrap();
                assert_eq!(codec.decode::<Vec<()>>(&out).unwrap().len(), 1000);
                out.clear();
                let many: Vec<(u8, [(); 32])> = vec![(1, [(); 32]); 10_000];
                codec.encode(&many, &mut out).unwrap();
                assert_eq!(codec.decode::<Vec<(u8, [(); 32])>>(&out).unwrap(), many);
            }
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            for codec in [CodecId::Postcard, CodecId::Bincode, CodecId::Json] {
                if let Err(error) = codec.decode::<Diagnostic>(&bytes) {
                    let available = codec.is_available();
                    let expected =
                        if available { ErrorKind::Codec } else { ErrorKind::Unsupported };
                    prop_assert_eq!(error.kind(), expected);
                }
            }
        }
    }
}
