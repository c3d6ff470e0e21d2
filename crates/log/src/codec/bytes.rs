//! Numbers, texts and bytes in a record: numbers are LEB128, what has a length has it in front.
//!
//! Whatever takes from a body gives `None` where that holds nothing of the kind.

use bytes::{Buf, Bytes};

pub(super) fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    put_number(body, bytes.len() as u64);
    body.extend_from_slice(bytes);
}

pub(super) fn put_number(body: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        body.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    body.push(number.to_le_bytes()[0]);
}

/// A number as what it differs by from another one, which is short where they are near.
pub(super) fn put_difference(body: &mut Vec<u8>, number: u64, from: u64) {
    let difference = number.wrapping_sub(from).cast_signed();
    let sign = (difference >> 63).cast_unsigned();
    put_number(body, (difference.cast_unsigned() << 1) ^ sign);
}

pub(super) fn take(body: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= body.len()).then(|| body.split_to(len))
}

pub(super) fn take_bytes(body: &mut Bytes) -> Option<Bytes> {
    let len = take_len(body)?;
    take(body, len)
}

pub(super) fn take_len(body: &mut Bytes) -> Option<usize> {
    usize::try_from(take_number(body)?).ok()
}

pub(super) fn take_number(body: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = body.first().copied()?;
        body.advance(1);
        let bits = u64::from(byte & 0x7f);
        number |= bits
            .checked_shl(shift)
            .filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// So many numbers, as the bytes that hold them.
pub(super) fn take_column(body: &mut Bytes, count: usize) -> Option<Bytes> {
    if count == 0 {
        return Some(Bytes::new());
    }
    let mut ends = body.iter().enumerate().filter(|(_, it)| **it & 0x80 == 0);
    let (last, _) = ends.nth(count - 1)?;
    take(body, last + 1)
}

pub(super) fn take_difference(body: &mut Bytes, from: u64) -> Option<u64> {
    let folded = take_number(body)?;
    let difference = (folded >> 1) ^ (folded & 1).wrapping_neg();
    Some(from.wrapping_add(difference))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_round_trip(number in any::<u64>(), from in any::<u64>()) {
            let mut body = Vec::new();
            put_number(&mut body, number);
            put_difference(&mut body, number, from);
            let mut body = Bytes::from(body);
            prop_assert_eq!(take_number(&mut body), Some(number));
            prop_assert_eq!(take_difference(&mut body, from), Some(number));
            prop_assert!(body.is_empty());
        }
    }

    #[test]
    fn near_numbers_are_short() {
        for (number, from) in [(0, u64::MAX), (u64::MAX, 0), (7, 70), (70, 7)] {
            let mut body = Vec::new();
            put_difference(&mut body, number, from);
            assert_eq!(body.len(), 1, "{number} from {from}");
        }
    }
}
