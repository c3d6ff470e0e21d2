//! Which place a key belongs to: rendezvous hashing (Thaler and Ravishankar 1998), and jump hashing (Lamping
//! and Veach 2014) to compare.
//!
//! # Invariants
//!
//! - **one**: every key has exactly one place, whoever asks.
//! - **few**: a place that comes takes about 1/n of the keys, all from others to itself; one that goes leaves
//!   its own keys only.

/// Mixes the bits of a number (the finalizer of SplitMix64).
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn score(key: u64, place: usize) -> u64 {
    mix(key ^ mix((place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The place of a key among those that are there: the one with the highest score. O(places).
pub(super) fn rendezvous(key: u64, places: impl Iterator<Item = usize>) -> Option<usize> {
    places.max_by_key(|place| score(key, *place))
}

/// The same of the first `among` places by score, of which `turn` counts round: for keys too hot for one.
pub(super) fn rendezvous_among(
    key: u64,
    places: impl Iterator<Item = usize>,
    among: usize,
    turn: usize,
) -> Option<usize> {
    if among <= 1 {
        return rendezvous(key, places);
    }
    let mut ranked: Vec<_> = places.map(|place| (score(key, place), place)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.truncate(among);
    ranked
        .get(turn % ranked.len().max(1))
        .map(|(_, place)| *place)
}

/// The place of a key among the first `places`, of which only the last can go.
pub(super) fn jump(mut key: u64, places: usize) -> usize {
    let (mut place, mut next) = (0, 0_u64);
    while next < places as u64 {
        place = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let share = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = super::workload::whole((place + 1) as f64 * share) as u64;
    }
    usize::try_from(place).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn keys() -> Vec<u64> {
        let mut random = Random::new(7);
        (0..100_000).map(|_| random.next()).collect()
    }

    /// How many keys have another place among `after` than among `before`, and whether all of these went to
    /// the last.
    fn moved(place: impl Fn(u64, usize) -> usize, before: usize, after: usize) -> (f64, bool) {
        let keys = keys();
        let moved: Vec<_> = keys
            .iter()
            .map(|key| (place(*key, before), place(*key, after)))
            .filter(|(before, after)| before != after)
            .collect();
        let to_the_new = moved.iter().all(|(_, place)| *place == after - 1);
        (moved.len() as f64 / keys.len() as f64, to_the_new)
    }

    #[test]
    fn few() {
        let of_rendezvous = |key, n| rendezvous(key, 0..n).unwrap();
        for n in [2_usize, 8, 50] {
            for place in [&of_rendezvous as &dyn Fn(u64, usize) -> usize, &jump] {
                let (share, to_the_new) = moved(place, n - 1, n);
                let expected = 1.0 / n as f64;
                assert!((share / expected - 1.0).abs() < 0.1, "{share} of {n}");
                assert!(to_the_new, "{n}");
            }
        }
        let (share, _) = moved(|key, n| usize::try_from(key % n as u64).unwrap(), 7, 8);
        assert!(share > 0.8, "the remainder moves nearly all: {share}");
    }

    #[test]
    fn one_that_goes_leaves_its_own_keys_only() {
        for key in keys() {
            let before = rendezvous(key, 0..8).unwrap();
            let after = rendezvous(key, (0..8).filter(|place| *place != 3)).unwrap();
            assert!(before == after || before == 3);
        }
    }

    #[test]
    fn even() {
        for place in [
            |key| rendezvous(key, 0..8).unwrap(),
            |key: u64| jump(key, 8),
        ] {
            let mut counts = [0.0_f64; 8];
            for key in keys() {
                counts[place(key)] += 1.0;
            }
            let fullest = counts.iter().copied().fold(0.0, f64::max);
            assert!(fullest < 1.05 * 100_000.0 / 8.0, "{counts:?}");
        }
    }

    #[test]
    fn hot_keys_are_spread_over_their_first_places() {
        let places: Vec<_> = (0..40)
            .map(|turn| rendezvous_among(9, 0..100, 4, turn).unwrap())
            .collect();
        let mut different = places.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 4);
        assert_eq!(places[0], rendezvous(9, 0..100).unwrap());
    }
}
