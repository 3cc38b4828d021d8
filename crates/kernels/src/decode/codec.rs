//! How the weights of a linear map lie in words of 32 bits.

use super::halves::bf16_bits;
use crate::simd::{Arithmetic, simd};

/// Output channels that are computed together.
pub(super) const PANEL: usize = 64;
/// Largest magnitude of an int8 weight.
const INT8_MAX: f32 = 127.0;

/// How exactly weights are kept.
///
/// ```
/// use percept_kernels::WeightOrder;
/// use percept_kernels::decode::WeightPrecision;
/// // Two outputs of three inputs; the scale of each output comes from its largest weight.
/// let mut weight = [1.27, 0.014, -0.5, 127.0, 1.4, -50.0];
/// WeightPrecision::Int8.round(&mut weight, 3, WeightOrder::OutputInput);
/// let exact = [1.27, 0.01, -0.5, 127.0, 1.0, -50.0];
/// assert!(weight.iter().zip(exact).all(|(w, e): (&f32, f32)| (w - e).abs() < 1e-5 * e.abs()), "{weight:?}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightPrecision {
    /// As they are.
    #[default]
    F32,
    /// The upper 16 bits of an f32, rounded to nearest, ties to even.
    Bf16,
    /// 8-bit integers, symmetric, with one scale per output channel.
    Int8,
}

impl WeightPrecision {
    /// Weights per word.
    pub(super) fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
            Self::Int8 => 4,
        }
    }

    /// The scale of an output channel whose largest weight is `largest`.
    pub(super) fn scale(self, largest: f32) -> f32 {
        match self {
            Self::Int8 => largest / INT8_MAX,
            Self::F32 | Self::Bf16 => 1.0,
        }
    }

    /// The `8 * 4 / per_word` bits that stand for `weight`.
    pub(super) fn encode(self, weight: f32, scale: f32) -> u32 {
        match self {
            Self::F32 => weight.to_bits(),
            Self::Bf16 => bf16_bits(weight).into(),
            Self::Int8 if scale == 0.0 => 0,
            Self::Int8 => u32::from((weight / scale).round_ties_even().clamp(-INT8_MAX, INT8_MAX) as i8 as u8),
        }
    }

    /// The inverse of [`WeightPrecision::encode`].
    pub(super) fn decode(self, bits: u32, scale: f32) -> f32 {
        match self {
            Self::F32 => f32::from_bits(bits),
            Self::Bf16 => f32::from_bits(bits << 16),
            Self::Int8 => f32::from(bits as u8 as i8) * scale,
        }
    }
}

/// The weights in a word, for consecutive input channels.
trait Codec {
    const PER_WORD: usize;
    type Weights: AsRef<[f32]>;
    fn weights(word: u32) -> Self::Weights;
}

struct F32;
struct Bf16;
struct Int8;

impl Codec for F32 {
    const PER_WORD: usize = 1;
    type Weights = [f32; 1];

    #[inline(always)]
    fn weights(word: u32) -> [f32; 1] {
        [f32::from_bits(word)]
    }
}

impl Codec for Bf16 {
    const PER_WORD: usize = 2;
    type Weights = [f32; 2];

    #[inline(always)]
    fn weights(word: u32) -> [f32; 2] {
        [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)]
    }
}

impl Codec for Int8 {
    const PER_WORD: usize = 4;
    type Weights = [f32; 4];

    #[inline(always)]
    fn weights(word: u32) -> [f32; 4] {
        [24, 16, 8, 0].map(|shift| (((word << shift) as i32) >> 24) as f32)
    }
}

/// `sums[r] += x[r] * panel`; the accumulators stay in registers.
#[inline(always)]
fn accumulate<A: Arithmetic, C: Codec, const R: usize>(x: [&[f32]; R], panel: &[u32], sums: &mut [[f32; PANEL]; R]) {
    let mut own = *sums;
    for (place, words) in panel.chunks_exact(PANEL).enumerate() {
        let x: [&[f32]; R] = std::array::from_fn(|row| &x[row][place * C::PER_WORD..(place + 1) * C::PER_WORD]);
        for column in 0..PANEL {
            let weights = C::weights(words[column]);
            for (place, weight) in weights.as_ref().iter().enumerate() {
                for row in 0..R {
                    own[row][column] = A::fma(x[row][place], *weight, own[row][column]);
                }
            }
        }
    }
    *sums = own;
}

macro_rules! accumulators {
    ($($name:ident($codec:ty, $rows:literal);)*) => {
        simd! {$(
            fn $name(x: [&[f32]; $rows], panel: &[u32], sums: &mut [[f32; PANEL]; $rows]) {
                accumulate::<A, $codec, $rows>(x, panel, sums)
            }
        )*}
    };
}

accumulators! {
    f32_one(F32, 1);
    f32_two(F32, 2);
    f32_four(F32, 4);
    bf16_one(Bf16, 1);
    bf16_two(Bf16, 2);
    bf16_four(Bf16, 4);
    int8_one(Int8, 1);
    int8_two(Int8, 2);
    int8_four(Int8, 4);
}

/// Most rows of one call of [`multiply`].
pub(super) const ROWS: usize = 4;

/// `sums[r] += x[r] * panel` for the first 1, 2 or 4 rows of `x`, which are `stride` apart. The panel holds
/// `inputs / per_word` groups of [`PANEL`] words.
pub(super) fn multiply(
    precision: WeightPrecision,
    (x, stride, inputs): (&[f32], usize, usize),
    rows: usize,
    panel: &[u32],
    sums: &mut [[f32; PANEL]; ROWS],
) {
    fn rows_of<const R: usize>(x: &[f32], stride: usize, inputs: usize) -> [&[f32]; R] {
        std::array::from_fn(|row| &x[row * stride..][..inputs])
    }
    match (precision, rows) {
        (WeightPrecision::F32, 1) => f32_one(rows_of(x, stride, inputs), panel, leading(sums)),
        (WeightPrecision::F32, 2) => f32_two(rows_of(x, stride, inputs), panel, leading(sums)),
        (WeightPrecision::F32, 4) => f32_four(rows_of(x, stride, inputs), panel, sums),
        (WeightPrecision::Bf16, 1) => bf16_one(rows_of(x, stride, inputs), panel, leading(sums)),
        (WeightPrecision::Bf16, 2) => bf16_two(rows_of(x, stride, inputs), panel, leading(sums)),
        (WeightPrecision::Bf16, 4) => bf16_four(rows_of(x, stride, inputs), panel, sums),
        (WeightPrecision::Int8, 1) => int8_one(rows_of(x, stride, inputs), panel, leading(sums)),
        (WeightPrecision::Int8, 2) => int8_two(rows_of(x, stride, inputs), panel, leading(sums)),
        (WeightPrecision::Int8, 4) => int8_four(rows_of(x, stride, inputs), panel, sums),
        (_, rows) => unreachable!("{rows} rows at a time"),
    }
}

/// The first `R` rows.
fn leading<const R: usize>(sums: &mut [[f32; PANEL]; ROWS]) -> &mut [[f32; PANEL]; R] {
    let Some(leading) = sums.first_chunk_mut() else { unreachable!("{R} is at most {ROWS}") };
    leading
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn bf16_rounds_to_nearest_even() {
        let round = |x: f32| WeightPrecision::Bf16.decode(WeightPrecision::Bf16.encode(x, 1.0), 1.0);
        assert_eq!(round(1.0), 1.0);
        assert_eq!(round(1.0 + 2f32.powi(-8)), 1.0, "a tie goes to the even neighbour");
        assert_eq!(round(1.0 + 3.0 * 2f32.powi(-8)), 1.0 + 2f32.powi(-6), "a tie goes to the even neighbour");
        assert_eq!(round(-1.0 - 2f32.powi(-8) - 2f32.powi(-12)), -1.0 - 2f32.powi(-7));
        assert!(round(f32::NAN).is_nan() && round(f32::INFINITY) == f32::INFINITY);
    }

    #[test]
    fn int8_is_off_by_half_a_step_at_most() {
        let weights = random(500, 3);
        let largest = weights.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let scale = WeightPrecision::Int8.scale(largest);
        for weight in weights {
            let again = WeightPrecision::Int8.decode(WeightPrecision::Int8.encode(weight, scale), scale);
            assert!((weight - again).abs() <= 0.501 * scale, "{weight} {again}");
        }
        assert_eq!(WeightPrecision::Int8.decode(WeightPrecision::Int8.encode(0.0, 0.0), 0.0), 0.0);
    }
}
