//! Untrusted bytes give an error, or a value that survives the way back. Each function takes any
//! bytes and panics where that does not hold.
//!
//! `cargo +nightly fuzz run --features libfuzzer address` looks for new bytes (from the directory
//! above); `cargo test` in this directory replays those in `corpus/`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyipc::codec::CodecId;
use anyipc::request::Frame;
use anyipc::transport::{FrameHeader, Hello, MAX_HELLO, Reply};
use anyipc::{Address, Config, ErrorKind, Registry};
use anyipc_plain_socket::{Decoder, Framing, MAX_HEADER, PIECE};
use serde::{Deserialize, Serialize};

/// An address as a user writes it, with its options as the transports read them.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(address) = text.parse::<Address>() else { return };
    let again: Address = address.to_string().parse().expect("an address is read back");
    assert_eq!(address, again);
    let _ = Registry::global().resolve(&address);
}

/// A configuration file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = Config::from_str(text) else { return };
    for name in config.names() {
        let _ = config.address(name);
    }
}

/// What comes first on every connection, and the header of each frame after it.
pub fn handshake(bytes: &[u8]) {
    if let Ok(Some((hello, used))) = Hello::decode(bytes) {
        assert!(used <= bytes.len() && used <= MAX_HELLO);
        let wire = hello.encode().expect("a hello that was read is short enough");
        assert_eq!(Hello::decode(&wire).expect("ours"), Some((hello, wire.len())));
    }
    if let Ok(Some((reply, used))) = Reply::decode(bytes) {
        assert!(used <= bytes.len() && used <= MAX_HELLO);
        let _ = reply.into_result();
    }
    let _ = Reply::missing(bytes);
    if let Some(header) = bytes.first_chunk()
        && let Ok(read) = FrameHeader::decode(*header, 1 << 16)
    {
        assert_eq!(read.encode(), *header);
    }
}

/// What a peer without this library sends over `plain://`: the first byte chooses the framing, the
/// second the length of the parts that arrive. In one part or in many, it is the same messages, and
/// none is over the limit.
pub fn framing(bytes: &[u8]) {
    const MAX: u64 = 100_000;
    let &[which, part, ref wire @ ..] = bytes else { return };
    let word = Framing::WORDS[usize::from(which) % Framing::WORDS.len()];
    let framing = Framing::from_word(word).expect("a word of the list");
    let read = |part: usize| {
        let mut decoder = Decoder::new(framing, MAX);
        let (mut messages, mut message, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = wire;
        loop {
            loop {
                let piece = match decoder.next(&buffer) {
                    Ok(Some(piece)) => piece,
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Corrupt);
                        return (messages, None);
                    }
                };
                message.extend_from_slice(&buffer[piece.start..piece.start + piece.len]);
                buffer.drain(..piece.start + piece.len + piece.trailer);
                assert!(message.len() as u64 <= MAX);
                if !piece.more {
                    messages.push(std::mem::take(&mut message));
                }
            }
            if rest.is_empty() {
                return (messages, Some(decoder.is_inside(&buffer)));
            }
            let room = PIECE + MAX_HEADER - buffer.len();
            let (next, tail) = rest.split_at(part.min(room).min(rest.len()));
            buffer.extend_from_slice(next);
            rest = tail;
        }
    };
    assert_eq!(read(usize::from(part) + 1), read(wire.len().max(1)));
}

/// A value that nests, repeats, and has elements that need no bytes.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Unit,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Units(Vec<()>),
    Pair(Box<(Value, Value)>),
    List(Vec<Value>),
    Option(Option<Box<Value>>),
    Struct { id: u32, inner: Box<Value> },
}

/// A typed message: the first byte chooses the codec.
pub fn codec(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let codecs = [CodecId::Postcard, CodecId::Bincode, CodecId::Json];
    let codec = codecs[usize::from(*which) % codecs.len()];
    let Ok(value) = codec.decode::<Value>(bytes) else { return };
    let mut wire = Vec::new();
    codec.encode(&value, &mut wire).expect("what was read can be written");
    match codec.decode::<Value>(&wire) {
        Ok(again) => assert_eq!(value, again),
        // A shorter form of the same value allows fewer elements without bytes.
        Err(error) => {
            assert!(wire.len() < bytes.len() && error.kind() == ErrorKind::Codec, "{error}")
        }
    }
}

/// A message of a request channel.
pub fn request(bytes: &[u8]) {
    if let Ok((frame, payload)) = Frame::decode(bytes) {
        let head = frame.encode();
        assert_eq!([&head, payload].concat(), bytes);
        assert_eq!(Frame::decode(bytes).expect("read before").0, frame);
    }
}

/// The file of a named block: the given first page, then zeros. The last byte is the number of
/// pages.
pub fn segment(bytes: &[u8]) {
    const PAGE: usize = 4096;
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let base = std::env::temp_dir().join(format!("anyipc-fuzz-{}", std::process::id()));
        fs::create_dir_all(&base).expect("a directory to work in");
        // SAFETY: no other thread of this process reads the variable, and nothing has used it yet.
        unsafe { std::env::set_var("ANYIPC_DIR", &base) };
        // Its own file shows where one of this name lies, and what it is called.
        let block = anyipc::create("shm://fuzz?size=1").expect("a block");
        let entries = |dir: &PathBuf| {
            fs::read_dir(dir).expect("ours").map(|entry| entry.expect("ours").path())
        };
        let private = entries(&base).next().expect("the private directory");
        let is_block = |path: &PathBuf| path.extension() == Some(&OsString::from("block"));
        let file = entries(&private).find(is_block).expect("the block's file");
        drop(block);
        file
    });
    let Some((pages, page)) = bytes.split_last() else { return };
    let mut image = page.to_vec();
    image.resize(PAGE * usize::from(1 + pages % 8), 0);
    fs::write(file, &image).expect("written");
    // Another holder of the lock keeps the block alive, so that `open` reads it and does not
    // reclaim it.
    let holder = fs::File::open(file).expect("there");
    holder.lock_shared().expect("free");
    if let Ok(endpoint) = anyipc::open("shm://fuzz") {
        use anyipc::BlockExt;
        let _ = endpoint.lpsz();
        if let Ok(block) = endpoint.block() {
            let _ = block.load::<String>();
            let _ = block.read_at(0, &mut [0; 64]);
        }
    }
    drop(holder);
    let _ = fs::remove_file(file);
}
