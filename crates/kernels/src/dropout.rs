//! Dropout masks as a pure function of a seed and an index, so that the same run can be repeated,
//! resumed, and recomputed in the backward pass without storing a mask.

use percept_random::{mix, scatter};
use rayon::prelude::*;

use crate::simd::simd;

/// Elements per task, a power of two.
const CHUNK: usize = 16_384;

/// Inverted dropout: an element survives where its hash reaches the rate, and is scaled by `1 / (1 - rate)`.
///
/// ```
/// use percept_kernels::Dropout;
/// let dropout = Dropout { rate: 0.25, seed: 7 };
/// let mut x = [1.0_f32; 1000];
/// dropout.apply(&mut x);
/// let dropped = x.iter().filter(|x| **x == 0.0).count();
/// assert!((200..300).contains(&dropped), "{dropped}");
/// // The survivors are scaled up, and the mask need not be kept.
/// assert!(x.iter().all(|x| *x == 0.0 || *x == 1.0 / 0.75));
/// assert_eq!(dropout.factors(10, 5), x[10..15]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Probability that an element is dropped, in `0..1`.
    pub rate: f32,
    /// Already mixed from seed, step, layer and place.
    pub seed: u64,
}

/// The part of a mask that is constant over 2^32 consecutive indices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    first: u32,
    second: u32,
    threshold: u32,
    scale: f32,
}

impl Dropout {
    /// The factor of element `index`: zero, or `1 / (1 - rate)`.
    pub fn factor(&self, index: u64) -> f32 {
        self.keys(index >> 32).factor(index as u32)
    }

    /// The factors of `count` consecutive elements from `first` on.
    pub fn factors(&self, first: u64, count: usize) -> Vec<f32> {
        (first..first + count as u64).map(|index| self.factor(index)).collect()
    }

    /// Multiplies every element by its factor.
    pub fn apply(&self, x: &mut [f32]) {
        x.par_chunks_mut(CHUNK).enumerate().for_each(|(index, x)| {
            // A chunk never crosses a multiple of 2^32, because its length divides 2^32.
            let first = (index * CHUNK) as u64;
            apply_part(x, first as u32, self.keys(first >> 32));
        });
    }

    /// Keys for the indices whose upper half is `upper`.
    pub(crate) fn keys(&self, upper: u64) -> Keys {
        let mixed = scatter(self.seed ^ mix(upper));
        let threshold = (f64::from(self.rate) * 4_294_967_296.0).clamp(0.0, f64::from(u32::MAX)) as u32;
        Keys { first: mixed as u32, second: (mixed >> 32) as u32, threshold, scale: 1.0 / (1.0 - self.rate) }
    }
}

impl Keys {
    /// The factor of the element with this lower half of the index.
    #[inline(always)]
    pub(crate) fn factor(&self, lower: u32) -> f32 {
        // A 32-bit integer hash (xor-shift and multiply, keyed twice): it vectorises.
        let mut x = lower ^ self.first;
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_add(self.second).wrapping_mul(0x846c_a68b);
        x = (x ^ (x >> 16)).wrapping_mul(0x9e37_79b1);
        x ^= x >> 15;
        if x >= self.threshold { self.scale } else { 0.0 }
    }
}

simd! {
    /// Multiplies by the factors of consecutive elements, the first of which has the lower half `lower`.
    pub(crate) fn apply_part(x: &mut [f32], lower: u32, keys: Keys) {
        for (i, x) in x.iter_mut().enumerate() {
            *x *= keys.factor(lower.wrapping_add(i as u32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_scale_are_kept() {
        for rate in [0.0f32, 0.05, 0.5, 0.9] {
            let factors = Dropout { rate, seed: 7 }.factors(u64::from(u32::MAX) - 50_000, 100_000);
            let dropped = factors.iter().filter(|f| **f == 0.0).count() as f32 / 1e5;
            assert!((dropped - rate).abs() < 0.006, "{rate}: {dropped}");
            let scale = 1.0 / (1.0 - rate);
            assert!(factors.iter().all(|f| *f == 0.0 || *f == scale));
        }
    }

    #[test]
    fn apply_multiplies_by_the_factors() {
        let rule = Dropout { rate: 0.3, seed: 4 };
        let mut x: Vec<f32> = (0..40_000).map(|i| i as f32).collect();
        rule.apply(&mut x);
        assert!(x.iter().zip(rule.factors(0, 40_000)).enumerate().all(|(i, (x, f))| *x == i as f32 * f));
    }

    #[test]
    fn masks_of_neighbouring_seeds_and_places_are_independent() {
        let mask = |seed, first| Dropout { rate: 0.5, seed }.factors(first, 65_536);
        let base = mask(1, 0);
        for other in [mask(2, 0), mask(3, 0), mask(1, 65_536), mask(1, 1), mask(1, 2), mask(1, 1 << 32)] {
            let agree = base.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / 65_536.0;
            assert!((agree - 0.5).abs() < 0.01, "{agree}");
        }
    }
}
