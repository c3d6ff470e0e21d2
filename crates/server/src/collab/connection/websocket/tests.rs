#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use futures_util::{SinkExt, StreamExt};
use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const LIMIT: usize = 1_000;
const MASK: [u8; 4] = [0x9a, 0x3c, 0x71, 0xe5];

/// Longest header of a frame of a client.
const CLIENT_HEADER_BYTES_MAX: usize = 14;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const FRONT_OF_TEXT: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const END: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    let masks = MASK.into_iter().cycle();
    bytes.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame whose length is written so.
fn with_length(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![BINARY, 0x80 | first];
    bytes.extend_from_slice(length);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// What is heard of these bytes, when so many of them arrive at a time.
fn hear(bytes: &[u8], at_a_time: usize) -> (Vec<Frame>, Option<Broken>, Frames) {
    hear_parts(bytes.chunks(at_a_time))
}

/// The same, when they arrive in these parts.
fn hear_parts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<Broken>, Frames) {
    let mut frames = Frames {
        unread: BytesMut::new(),
        message: None,
        message_bytes_max: LIMIT,
    };
    let mut heard = Vec::new();
    for part in parts {
        frames.unread.extend_from_slice(part);
        loop {
            match frames.next() {
                Ok(Some(frame)) => heard.push(frame),
                Ok(None) => break,
                Err(broken) => return (heard, Some(broken), frames),
            }
        }
        // **bounded**
        let message = frames.message.as_ref().map_or(0, |it| it.payload.len());
        assert!(message <= LIMIT);
        let rest = (LIMIT - message).max(CONTROL_BYTES_MAX);
        assert!(frames.unread.len() < CLIENT_HEADER_BYTES_MAX + rest);
    }
    (heard, None, frames)
}

/// These bytes in parts of these lengths, and what is left.
fn cut<'a>(mut bytes: &'a [u8], lens: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut lens = lens.iter();
    std::iter::from_fn(move || {
        let len = lens
            .next()
            .map_or(bytes.len(), |len| *len.min(&bytes.len()));
        let (part, rest) = bytes.split_at(len);
        bytes = rest;
        (!part.is_empty()).then_some(part)
    })
}

fn broken(bytes: &[u8]) -> Option<Broken> {
    hear(bytes, bytes.len()).1
}

#[test]
fn messages_come_whole_however_they_arrive() {
    let long = "é".repeat(LIMIT / 2);
    let mut bytes = frame(TEXT, b"one");
    bytes.extend(frame(FRONT_OF_TEXT, &long.as_bytes()[..501]));
    bytes.extend(frame(PING, b"between"));
    bytes.extend(frame(MIDDLE, b""));
    bytes.extend(frame(END, &long.as_bytes()[501..]));
    bytes.extend(frame(BINARY, b"\xff"));
    bytes.extend(frame(CLOSE, b"\x03\xe8bye"));
    for at_a_time in [1, 2, 7, 300, bytes.len()] {
        let (heard, broken, frames) = hear(&bytes, at_a_time);
        let said = heard.iter().map(|frame| match frame {
            Frame::Text(text) => text.as_bytes(),
            Frame::Binary(bytes) | Frame::Ping(bytes) => bytes,
            Frame::Pong => b"pong",
            Frame::Close(code) => {
                assert_eq!(*code, Some(close::NORMAL));
                b"close"
            }
        });
        let expected: [&[u8]; 5] = [b"one", b"between", long.as_bytes(), b"\xff", b"close"];
        assert!(said.eq(expected));
        assert_eq!(broken, None);
        assert_eq!(frames.unread.capacity(), 0, "quiet is free");
    }
}

/// What a client says, and the frames that say it.
fn said() -> impl Strategy<Value = (Frame, Vec<u8>)> {
    let payload = || prop_oneof![vec(any::<u8>(), 0..9), vec(any::<u8>(), 120..400)];
    let pieces = || vec((1..130_usize, any::<bool>()), 0..4);
    prop_oneof![
        ("\\PC{0,200}", pieces()).prop_map(|(text, pieces)| {
            let bytes = in_pieces(TEXT, text.as_bytes(), &pieces);
            (Frame::Text(text.into()), bytes)
        }),
        (payload(), pieces()).prop_map(|(payload, pieces)| {
            let bytes = in_pieces(BINARY, &payload, &pieces);
            (Frame::Binary(payload.into()), bytes)
        }),
        vec(any::<u8>(), 0..=CONTROL_BYTES_MAX).prop_map(|payload| {
            let bytes = frame(PING, &payload);
            (Frame::Ping(payload.into()), bytes)
        }),
    ]
}

/// A message in fragments of these lengths, after some of which a pong comes in between.
fn in_pieces(first: u8, mut payload: &[u8], pieces: &[(usize, bool)]) -> Vec<u8> {
    let (mut bytes, mut opcode) = (Vec::new(), first & !END);
    for (len, pong) in pieces {
        let (piece, rest) = payload.split_at((*len).min(payload.len()));
        bytes.extend(frame(opcode, piece));
        if *pong {
            bytes.extend(frame(PONG, b"between"));
        }
        (payload, opcode) = (rest, MIDDLE);
    }
    bytes.extend(frame(opcode | END, payload));
    bytes
}

/// All that a frame says.
fn shown(frame: &Frame) -> String {
    match frame {
        Frame::Text(text) => format!("text {text}"),
        Frame::Binary(bytes) => format!("binary {bytes:?}"),
        Frame::Ping(bytes) => format!("ping {bytes:?}"),
        Frame::Pong => "pong".to_owned(),
        Frame::Close(code) => format!("close {code:?}"),
    }
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(1..4_usize, 0..200), vec(1..150_usize, 0..30)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Wherever a stream is cut, the same is heard of it, and all of it.
    #[test]
    fn the_same_wherever_it_is_cut(said in vec(said(), 1..12), cuts in cuts()) {
        let bytes: Vec<u8> = said.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let (heard, broken, frames) = hear_parts(cut(&bytes, &cuts));
        prop_assert_eq!(broken, None);
        prop_assert!(frames.unread.is_empty() && frames.message.is_none());
        let heard = heard.iter().filter(|frame| !matches!(frame, Frame::Pong));
        let expected = said.iter().map(|(frame, _)| shown(frame));
        prop_assert!(heard.map(shown).eq(expected));
    }

    /// No bytes make it panic or keep more than a message, and how they arrive makes no difference.
    #[test]
    fn any_bytes_are_taken(
        said in vec(said(), 0..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        tail in vec(any::<u8>(), 0..60),
        cuts in cuts(),
    ) {
        let mut bytes: Vec<u8> = said.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        bytes.extend(tail);
        for (at, to) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
        }
        let (whole, broken, _) = hear_parts(std::iter::once(&bytes[..]));
        let (parts, broken_too, _) = hear_parts(cut(&bytes, &cuts));
        prop_assert!(whole.iter().map(shown).eq(parts.iter().map(shown)));
        prop_assert_eq!(broken, broken_too);
    }
}

#[test]
fn bounded() {
    assert_eq!(broken(&frame(BINARY, &[0; LIMIT])), None);
    let over = [
        frame(BINARY, &[0; LIMIT + 1]),
        // Said, but not sent.
        frame(BINARY, &[0; LIMIT + 1])[..8].to_vec(),
        with_length(127, &(u64::MAX >> 1).to_be_bytes(), b""),
        [
            frame(FRONT_OF_TEXT, &[b'x'; LIMIT]),
            frame(MIDDLE, b""),
            frame(END, b"x"),
        ]
        .concat(),
    ];
    for bytes in over {
        assert!(matches!(broken(&bytes), Some(Broken::TooLarge(_))));
    }
    // A ping comes between also where the message has no room left.
    let between = [frame(FRONT_OF_TEXT, &[b'x'; LIMIT]), frame(PING, b"x")].concat();
    assert_eq!(broken(&between), None);
}

#[test]
fn strict() {
    let unmasked = vec![TEXT, 1, b'x'];
    let against_the_protocol = [
        unmasked,
        frame(0xc1, b"a reserved bit"),
        frame(0x83, b"a reserved kind"),
        frame(0x8b, b"a reserved kind of control"),
        frame(0x09, b"half a ping"),
        frame(PING, &[0; 126]),
        frame(END, b"the end of nothing"),
        [frame(FRONT_OF_TEXT, b"x"), frame(TEXT, b"within")].concat(),
        frame(CLOSE, b"\x03"),
        frame(CLOSE, b"\x03\xed"),
        frame(CLOSE, b"\x00\x00"),
        // Lengths that are longer than need be, and one with the bit that is not to be set.
        with_length(126, &5_u16.to_be_bytes(), b"short"),
        with_length(126, &125_u16.to_be_bytes(), &[0; 125]),
        with_length(127, &5_u64.to_be_bytes(), b"short"),
        with_length(127, &0xffff_u64.to_be_bytes(), b""),
        with_length(127, &u64::MAX.to_be_bytes(), b""),
    ];
    for bytes in against_the_protocol {
        let refused = Some(Broken::Refused(close::PROTOCOL));
        assert_eq!(
            broken(&bytes),
            refused,
            "{:x?}",
            &bytes[..4.min(bytes.len())]
        );
    }
    // No longer than need be.
    let long = with_length(126, &126_u16.to_be_bytes(), &[0; 126]);
    assert_eq!(broken(&long), None);
    let no_text = [
        frame(TEXT, b"\xff"),
        [frame(FRONT_OF_TEXT, b"\xc3"), frame(END, b"x")].concat(),
        frame(CLOSE, b"\x03\xe8\xff"),
    ];
    for bytes in no_text {
        assert_eq!(broken(&bytes), Some(Broken::Refused(close::NO_TEXT)));
    }
}

#[tokio::test]
async fn what_is_sent_arrives_in_order_though_the_client_is_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let (mut client, (tcp, _)) = (client.unwrap(), accepted.unwrap());
    let ahead = frame(TEXT, b"ahead").into();
    let (mut reader, mut writer) = Socket { tcp, ahead }.split(LIMIT);

    let heard = reader.next().await.unwrap().unwrap();
    assert!(matches!(heard, Frame::Text(text) if text.as_str() == "ahead"));

    // More than the system keeps for somebody who does not read.
    let payload = Bytes::from(vec![7; 70_000]);
    let count = 200;
    let writing = async {
        for _ in 0..count {
            writer
                .feed(Outgoing::Binary(payload.clone()))
                .await
                .unwrap();
            writer
                .feed(Outgoing::Text(Text {
                    first: Bytes::from_static(b"{"),
                    rest: vec![Bytes::new(), Bytes::from_static(b"}")],
                }))
                .await
                .unwrap();
        }
        writer.send(Outgoing::Close(Some(1_012))).await.unwrap();
        assert_eq!(writer.waiting.capacity(), 0, "quiet is free");
    };
    let reading = async {
        let mut header = [0; 10];
        for _ in 0..count {
            client.read_exact(&mut header).await.unwrap();
            assert_eq!(header, [BINARY, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
            let mut got = vec![0; payload.len()];
            client.read_exact(&mut got).await.unwrap();
            assert_eq!(got, payload);
            client.read_exact(&mut header[..4]).await.unwrap();
            assert_eq!(header[..4], [TEXT, 2, b'{', b'}']);
        }
        client.read_exact(&mut header[..4]).await.unwrap();
        assert_eq!(header[..4], [CLOSE, 2, 0x03, 0xf4]);
        client.write_all(&frame(CLOSE, b"\x03\xf4")).await.unwrap();
    };
    tokio::join!(writing, reading);
    let heard = reader.next().await.unwrap().unwrap();
    assert!(matches!(heard, Frame::Close(Some(1_012))));
    assert!(reader.next().await.is_none());
}
