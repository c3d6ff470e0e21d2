//! WebSocket frames (RFC 6455), as little as a measurement needs: no extensions, and payloads that are
//! read where they lie.

/// The front of a message that goes on in other frames.
pub(crate) const CONTINUATION: u8 = 0;
/// Text in UTF-8.
pub(crate) const TEXT: u8 = 1;
/// Bytes.
pub(crate) const BINARY: u8 = 2;
/// The connection ends.
pub(crate) const CLOSE: u8 = 8;
/// Asks for a pong.
pub(crate) const PING: u8 = 9;
/// Answers a ping.
pub(crate) const PONG: u8 = 10;

/// Most bytes before a payload.
const HEADER_BYTES_MAX: usize = 14;
/// Clients must mask what they send. Which mask does not matter on loopback, only that the server has to take it off.
const MASK: [u8; 4] = [0x9a, 0x3c, 0x71, 0xe5];

/// Where a frame lies at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is: [`TEXT`] and so on.
    pub(crate) opcode: u8,
    /// Whether the message ends with it.
    pub(crate) last: bool,
    /// What the payload has to be XORed with.
    pub(crate) mask: Option<[u8; 4]>,
    /// Where the payload begins.
    pub(crate) start: usize,
    /// Where it ends, and the next frame begins.
    pub(crate) end: usize,
}

/// Finds the frame at the front of `bytes`, once all of it is there.
#[must_use]
pub(crate) fn find(bytes: &[u8]) -> Option<Frame> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, rest) = rest.split_first()?;
    let (length, start) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let (mask, start) = if second & 0x80 == 0 {
        (None, start)
    } else {
        (Some(*bytes.get(start..)?.first_chunk()?), start + 4)
    };
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    (bytes.len() >= end).then_some(Frame {
        opcode: first & 0x0f,
        last: first & 0x80 != 0,
        mask,
        start,
        end,
    })
}

/// Appends a frame of a server.
pub(crate) fn put(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_header(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Appends a frame of a client.
pub(crate) fn put_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_header(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[start..], MASK);
}

/// Takes a mask off, or puts it on.
pub(crate) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for part in payload.chunks_mut(4) {
        for (byte, mask) in part.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

fn put_header(out: &mut Vec<u8>, opcode: u8, length: usize, masked: u8) {
    out.reserve(length + HEADER_BYTES_MAX);
    out.push(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => out.push(masked | short),
        (_, Ok(middle)) => {
            out.push(masked | 126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// What opens a connection at `path`. The server's answer to the key is not looked at.
#[must_use]
pub(crate) fn request(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: bW90ZXQtYmVuY2gtbG9hZA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn frames_come_back_as_they_were_put() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_001] {
            let payload: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
            let mut bytes = Vec::new();
            put(&mut bytes, TEXT, &payload);
            let middle = bytes.len();
            put_masked(&mut bytes, BINARY, &payload);

            let frame = find(&bytes).unwrap();
            assert_eq!((frame.opcode, frame.last, frame.mask), (TEXT, true, None));
            assert_eq!(&bytes[frame.start..frame.end], payload);
            assert_eq!(frame.end, middle);

            let frame = find(&bytes[middle..]).unwrap();
            assert_eq!((frame.opcode, frame.last), (BINARY, true));
            let masked = &mut bytes[middle..][frame.start..frame.end];
            assert!(length < 2 || masked != payload);
            unmask(masked, frame.mask.unwrap());
            assert_eq!(masked, payload);
        }
    }

    #[test]
    fn a_part_of_a_frame_is_none() {
        for length in [0_usize, 3, 200, 70_000] {
            for put in [put, put_masked] {
                let mut bytes = Vec::new();
                put(&mut bytes, BINARY, &vec![7; length]);
                let cuts = (0..20).chain([bytes.len() - 1]);
                for cut in cuts.filter(|cut| *cut < bytes.len()) {
                    assert_eq!(find(&bytes[..cut]), None, "{cut} of {length}");
                }
                assert!(find(&bytes).is_some());
            }
        }
    }
}
