//! Seeded numbers that depend on their key alone, never on what was drawn before.

/// 2^64 divided by the golden ratio, odd: the step of SplitMix64.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser (Steele, Lea and Flood 2014): a bijection that scatters every bit.
#[inline]
pub fn scatter(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One step of SplitMix64 from the state `x`.
pub fn mix(x: u64) -> u64 {
    scatter(x.wrapping_add(STEP))
}

/// SplitMix64 itself: number `index` of the sequence that `seed` begins.
///
/// ```
/// // The reference sequence of seed 1234567.
/// assert_eq!(percept_random::split_mix(1_234_567, 0), 6_457_827_717_110_365_317);
/// assert_eq!(percept_random::split_mix(1_234_567, 1), 3_203_168_211_198_807_973);
/// ```
pub fn split_mix(seed: u64, index: u64) -> u64 {
    mix(seed.wrapping_add(index.wrapping_mul(STEP)))
}

/// A number in [0, 1) with 53 random bits, from the seed and the index alone.
///
/// ```
/// let draws: Vec<f64> = (0..1000).map(|index| percept_random::uniform(7, index)).collect();
/// let mean = draws.iter().sum::<f64>() / 1000.0;
/// assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)) && (mean - 0.5).abs() < 0.05);
/// ```
pub fn uniform(seed: u64, index: u64) -> f64 {
    (split_mix(seed, index) >> 11) as f64 / (1u64 << 53) as f64
}

/// A well mixed number of `keys`.
///
/// ```
/// use percept_random::hash;
/// assert_eq!(hash(&[1, 2]), hash(&[1, 2]));
/// assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
/// ```
pub fn hash(keys: &[u64]) -> u64 {
    keys.iter().fold(STEP, |state, &key| mix(state ^ key))
}

/// A number below `bound` (which is above 0), uniform to within 2^-64 * bound.
///
/// ```
/// assert!(percept_random::below(6, &[2026, 3]) < 6);
/// ```
pub fn below(bound: u64, keys: &[u64]) -> u64 {
    ((u128::from(hash(keys)) * u128::from(bound)) >> 64) as u64
}

/// A seeded permutation of `0..size` that needs no memory: a four-round Feistel network over the next even power of two,
/// walked until it lands below `size` (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
///
/// ```
/// let order = percept_random::Permutation::new(5, &[42]);
/// let mut places: Vec<u64> = (0..5).map(|index| order.apply(index)).collect();
/// places.sort();
/// assert_eq!(places, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    size: u64,
    half_bits: u32,
    key: u64,
}

impl Permutation {
    /// The permutation of `0..size` that `keys` stand for.
    pub fn new(size: u64, keys: &[u64]) -> Self {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        Self { size, half_bits: bits.div_ceil(2).max(1), key: hash(keys) }
    }

    /// Where `index` (below the size) goes.
    pub fn apply(&self, index: u64) -> u64 {
        debug_assert!(index < self.size);
        let mut value = self.encrypt(index);
        // The domain is below four times the size, so few steps are taken; the walk ends since `index` lies on its cycle.
        while value >= self.size {
            value = self.encrypt(value);
        }
        value
    }

    fn encrypt(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (left, right) = (0..4).fold((value >> self.half_bits, value & mask), |(left, right), round| {
            (right, left ^ (hash(&[self.key, round, right]) & mask))
        });
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_index_comes_once(size in 1_u64..3000, key: u64) {
            let permutation = Permutation::new(size, &[key]);
            let mut seen = vec![false; size as usize];
            for index in 0..size {
                let to = permutation.apply(index) as usize;
                prop_assert!(!std::mem::replace(&mut seen[to], true), "{to} comes twice");
            }
        }

        #[test]
        fn below_keeps_its_bound(bound in 1_u64.., key: u64) {
            prop_assert!(below(bound, &[key]) < bound);
        }
    }

    #[test]
    fn permutations_of_two_keys_differ_and_mix() {
        let (a, b) = (Permutation::new(1000, &[1]), Permutation::new(1000, &[2]));
        let equal = (0..1000).filter(|&i| a.apply(i) == b.apply(i)).count();
        assert!(equal < 10, "{equal} of 1000 positions agree");
        let first_half = (0..500).filter(|&i| a.apply(i) < 500).count();
        assert!((200..300).contains(&first_half), "{first_half}");
    }

    #[test]
    fn a_large_domain_costs_no_memory() {
        let permutation = Permutation::new(u64::MAX / 2, &[7]);
        assert!(permutation.apply(12_345) < u64::MAX / 2);
    }
}
