//! Damage by chance.

use crate::random::Random;

/// Changes, adds or takes away a few bytes.
pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => bytes.truncate(at),
            3 => bytes.insert(at, 0xff),
            4 => {
                let part = bytes[at..].to_vec();
                bytes.extend(part);
            }
            _ => {
                bytes.remove(at);
            }
        }
    }
}
