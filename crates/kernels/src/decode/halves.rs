//! bfloat16: the upper half of an f32.

use crate::simd::{Widen, simd};

/// What is computed with as f32.
pub(crate) trait Element: Widen {
    /// Rows of a ring at which the heads of a row take turns. f32 come as fast as memory gives them, a row at a time; half as many
    /// bytes are worth sums in registers over a few rows.
    const TURN: usize;
}

impl Element for f32 {
    const TURN: usize = 1;
}

/// Bits of a bfloat16.
impl Element for u16 {
    const TURN: usize = 4;
}

/// The nearest bfloat16, ties to even. What is no number stays none.
#[inline(always)]
pub(super) fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    // Its payload may lie in the lower half, without which it would be infinite.
    let kept = if x.is_nan() { bits | 0x40_0000 } else { rounded };
    (kept >> 16) as u16
}

simd! {
    /// The bits of the nearest bfloat16 of each element, ties to even: what [`super::Ring::Bf16`] reads.
    ///
    /// ```
    /// let mut halves = [0; 2];
    /// // 8 significant bits.
    /// percept_kernels::decode::to_bf16(&[1.0, 1.001], &mut halves);
    /// assert_eq!(halves, [0x3f80; 2]);
    /// ```
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn to_bf16(x: &[f32], halves: &mut [u16]) {
        assert_eq!(x.len(), halves.len(), "an element for each half");
        for (half, &x) in halves.iter_mut().zip(x) {
            *half = bf16_bits(x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_comes_back_and_others_go_to_the_nearest() {
        for bits in 0..=u16::MAX {
            let x = bits.widened();
            assert_eq!(bf16_bits(x), if x.is_nan() { bits | 0x40 } else { bits }, "{bits:#06x}");
        }
        let patterns = (0..1u32 << 20).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9)));
        let x: Vec<f32> =
            patterns.chain([f32::MAX, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)]).collect();
        let mut halves = vec![0; x.len()];
        to_bf16(&x, &mut halves);
        for (x, half) in x.iter().zip(halves) {
            assert_eq!(half, half::bf16::from_f32(*x).to_bits(), "{:#010x}", x.to_bits());
        }
    }
}
