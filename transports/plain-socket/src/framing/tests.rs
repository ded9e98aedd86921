use super::*;
use proptest::prelude::*;

const ALL: [Framing; 4] =
    [Framing::Lines, Framing::Length32Le, Framing::Length32Be, Framing::ContentLength];

fn encode(framing: Framing, message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    framing.put_header(message.len(), &mut wire).unwrap();
    wire.extend(message);
    wire.extend(framing.trailer());
    wire
}

/// Decodes as a receiver does that gets the bytes in these parts. Returns the messages, and true
/// if the rest is a part of one.
fn decode(
    framing: Framing,
    max: u64,
    wire: &[u8],
    parts: &[usize],
) -> Result<(Vec<Vec<u8>>, bool)> {
    let mut decoder = Decoder::new(framing, max);
    let (mut messages, mut message, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rest, mut parts) = (wire, parts.iter().cycle());
    loop {
        while let Some(piece) = decoder.next(&buffer)? {
            assert!(piece.len <= PIECE && (!piece.more || piece.len == PIECE));
            message.extend_from_slice(&buffer[piece.start..piece.start + piece.len]);
            buffer.drain(..piece.start + piece.len + piece.trailer);
            if !piece.more {
                messages.push(std::mem::take(&mut message));
            }
        }
        if rest.is_empty() {
            return Ok((messages, decoder.is_inside(&buffer)));
        }
        assert!(buffer.len() < PIECE + MAX_HEADER, "more than the decoder may ask for");
        let room = PIECE + MAX_HEADER - buffer.len();
        let (part, tail) = rest.split_at((*parts.next().unwrap()).min(rest.len()).min(room));
        buffer.extend_from_slice(part);
        rest = tail;
    }
}

fn framing() -> impl Strategy<Value = Framing> {
    proptest::sample::select(&ALL[..])
}

/// Short messages, and long ones around the length of a piece.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let short = proptest::collection::vec(any::<u8>(), 0..40);
    let long = (PIECE - 3..PIECE + 3, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
    let longer = (0..3 * PIECE, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
    prop_oneof![8 => short, 1 => long, 1 => longer]
}

/// Never more at once than the decoder may ask for.
fn parts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![1..9_usize, 1..1000_usize], 1..20)
}

proptest! {
    #[test]
    fn messages_survive_in_any_parts(
        framing in framing(),
        mut messages in proptest::collection::vec(message(), 0..6),
        parts in parts(),
        cut in any::<prop::sample::Index>(),
    ) {
        if framing == Framing::Lines {
            messages.iter_mut().flatten().filter(|b| **b == b'\n').for_each(|b| *b = b'n');
        }
        let wires: Vec<_> = messages.iter().map(|message| encode(framing, message)).collect();
        let wire = wires.concat();
        let (got, inside) = decode(framing, 1 << 20, &wire, &parts).unwrap();
        prop_assert!(got == messages && !inside);
        // Cut anywhere, what came whole is there, and the rest is known to be a part.
        let cut = cut.index(wire.len() + 1);
        let (got, inside) = decode(framing, 1 << 20, &wire[..cut], &parts).unwrap();
        let ends: Vec<_> = wires.iter().scan(0, |at, w| { *at += w.len(); Some(*at) }).collect();
        prop_assert_eq!(got.len(), ends.iter().filter(|end| **end <= cut).count());
        prop_assert_eq!(inside, cut > 0 && !ends.contains(&cut));
    }

    #[test]
    fn no_bytes_panic_and_no_limit_is_passed(
        framing in framing(),
        wire in proptest::collection::vec(any::<u8>(), 0..300),
        head in "(Content-Length|content-length|Content-Type|)(: ?[0-9a-z+-]{0,20})?(\r\n|\n){0,3}",
        max in 0..100_u64,
        parts in parts(),
    ) {
        let wire = [head.as_bytes(), &wire].concat();
        match decode(framing, max, &wire, &parts) {
            Ok((messages, _)) => prop_assert!(messages.iter().all(|m| m.len() as u64 <= max)),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
        }
    }
}

#[test]
fn headers_of_language_servers() {
    let one = |text: &str| decode(Framing::ContentLength, 100, text.as_bytes(), &[7]);
    for good in [
        "Content-Length: 2\r\n\r\n{}",
        "content-length:2\r\n\r\n{}",
        "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length:  2 \r\n\r\n{}",
        "CONTENT-LENGTH: 002\r\nX: :\r\n\r\n{}",
    ] {
        assert_eq!(one(good).unwrap(), (vec![b"{}".to_vec()], false), "{good:?}");
    }
    for bad in [
        "Content-Length: 2\n\n{}",
        "Content-Length: -2\r\n\r\n{}",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length: 2,2\r\n\r\n{}",
        "Content-Length: 99999999999999999999\r\n\r\n{}",
        "Content-Length: 101\r\n\r\n{}",
        "Content-Length:\r\n\r\n{}",
        "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "Content-Type: x\r\n\r\n{}",
        "\r\n\r\n{}",
        "log: a line that a logger printed\n",
        "{\"a\":1}\r\n",
        "{\"a\"",
        "\u{1b}[31m",
        &"x".repeat(MAX_HEADER),
        &format!("{}: y\r\n", "x".repeat(500)).repeat(3),
    ] {
        assert_eq!(one(bad).unwrap_err().kind(), ErrorKind::Corrupt, "{bad:?}");
    }
}

#[test]
fn only_lines_refuse_a_line_feed() {
    for framing in ALL {
        assert_eq!(framing.check(b"a\nb").is_err(), framing == Framing::Lines);
        assert!(framing.check(b"a\r\0b").is_ok());
        let word = Framing::WORDS.iter().find(|word| Framing::from_word(word) == Some(framing));
        assert!(word.is_some());
    }
    assert!(Framing::from_word("line").is_none());
}

#[test]
fn the_overhead_is_bounded() {
    for framing in ALL {
        let mut header = Vec::new();
        framing.put_header(u32::MAX as usize, &mut header).unwrap();
        assert!(header.len() + framing.trailer().len() <= OVERHEAD);
    }
}
