#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const LIMIT: usize = 1_000;
const MASK: [u8; 4] = [0x9a, 0x3c, 0x71, 0xe5];

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const FRONT_OF_TEXT: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const END: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

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

/// What is heard of these bytes, when so many of them arrive at a time.
fn hear(bytes: &[u8], at_a_time: usize) -> (Vec<Frame>, Option<Broken>, Frames) {
    let mut frames = Frames {
        unread: BytesMut::new(),
        message: None,
        message_bytes_max: LIMIT,
    };
    let mut heard = Vec::new();
    for part in bytes.chunks(at_a_time) {
        frames.unread.extend_from_slice(part);
        loop {
            match frames.next() {
                Ok(Some(frame)) => heard.push(frame),
                Ok(None) => break,
                Err(broken) => return (heard, Some(broken), frames),
            }
        }
    }
    (heard, None, frames)
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

#[test]
fn bounded() {
    assert_eq!(broken(&frame(BINARY, &[0; LIMIT])), None);
    let over = [
        frame(BINARY, &[0; LIMIT + 1]),
        // Said, but not sent.
        frame(BINARY, &[0; LIMIT + 1])[..8].to_vec(),
        vec![
            BINARY, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
        ],
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
    ];
    for bytes in against_the_protocol {
        assert_eq!(broken(&bytes), Some(Broken::Refused(close::PROTOCOL)));
    }
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
                .feed(Outgoing::Text(Bytes::from_static(b"{}")))
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
