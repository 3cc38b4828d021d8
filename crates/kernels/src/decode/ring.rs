//! Attention of one query row to a ring of keys and values.

use std::ops::Range;

use super::Crew;
use crate::matmul::Shared;
use crate::simd::{Arithmetic, exp, inner_product, simd};

/// Channels of the values that are summed together.
const PART: usize = 64;

/// Sizes of a ring `[capacity, groups, width]`, where position p lies in row `p % capacity`.
///
/// ```
/// use percept_kernels::decode::RingAttention;
/// let ring = RingAttention { capacity: 4, groups: 1, width: 1 };
/// // Position 5 has taken the place of position 1.
/// let (keys, mut values) = (vec![0.0; ring.len()], vec![0.0; ring.len()]);
/// for position in 0..6 {
///     values[ring.row(position)] = position as f32;
/// }
/// let (mut scores, mut output) = ([0.0; 4], [0.0]);
/// ring.attend(&[1.0], (&keys, &values), 0, 3..6, &mut scores, &mut output);
/// assert_eq!(output, [(3.0 + 4.0 + 5.0) / 3.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingAttention {
    /// Rows.
    pub capacity: usize,
    /// Key heads.
    pub groups: usize,
    /// Channels per head.
    pub width: usize,
}

impl RingAttention {
    /// Elements of a ring.
    pub fn len(&self) -> usize {
        self.capacity * self.groups * self.width
    }

    /// True where a ring holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the row of a position begins.
    pub fn row(&self, position: usize) -> usize {
        position % self.capacity * self.groups * self.width
    }

    /// Attention of several rows, each to a ring of its own: `q, output [rows, heads, width]`; `ring(row)` gives keys and
    /// values, `visible(row, head)` the positions. Query head `i` reads key head `i / (heads / groups)`. `scores` has room
    /// for `capacity` elements per row and head.
    ///
    /// # Panics
    /// As [`RingAttention::attend`], and if the sizes do not fit.
    pub fn attend_rows<'a>(
        &self,
        crew: &mut Crew<'_>,
        heads: usize,
        (q, scores, output): (&[f32], &mut [f32], &mut [f32]),
        ring: impl Fn(usize) -> (&'a [f32], &'a [f32]) + Sync,
        visible: impl Fn(usize, usize) -> Range<usize> + Sync,
    ) {
        let tiles = q.len() / self.width;
        assert!(q.len() == tiles * self.width && output.len() == q.len() && tiles.is_multiple_of(heads), "sizes");
        assert!(scores.len() >= tiles * self.capacity, "room for the scores");
        let (scores, output) = (Shared::new(scores), Shared::new(output));
        crew.each(tiles, |tile| {
            let (row, head) = (tile / heads, tile % heads);
            // SAFETY: each tile has its own `capacity` scores and `width` outputs, inside slices whose lengths were checked.
            let (scores, output) = unsafe {
                (
                    std::slice::from_raw_parts_mut(scores.at(tile * self.capacity), self.capacity),
                    std::slice::from_raw_parts_mut(output.at(tile * self.width), self.width),
                )
            };
            let q = &q[tile * self.width..][..self.width];
            self.attend(q, ring(row), head / (heads / self.groups), visible(row, head), scores, output);
        });
    }

    /// `output [width] = softmax(q k^T / sqrt(width)) v` over the positions `visible` of key head `group`.
    ///
    /// # Panics
    /// If nothing is visible, more than the ring holds, or more than there is room for `scores`; or a slice is short.
    pub fn attend(
        &self,
        q: &[f32],
        (keys, values): (&[f32], &[f32]),
        group: usize,
        visible: Range<usize>,
        scores: &mut [f32],
        output: &mut [f32],
    ) {
        let count = visible.len();
        assert!(count > 0 && count <= self.capacity, "{count} of {} positions", self.capacity);
        let first = visible.start % self.capacity;
        let before = count.min(self.capacity - first);
        let (stride, at) = (self.groups * self.width, group * self.width);
        let parts = [(first * stride + at, before), (at, count - before)];
        attend(q, keys, values, parts, stride, &mut scores[..count], &mut output[..self.width]);
    }
}

/// Adds `probability * row` for all rows to `sums`, which stay in registers.
#[inline(always)]
fn add_rows<'a, A: Arithmetic, const N: usize>(
    probabilities: &[f32],
    rows: impl Iterator<Item = &'a [f32]>,
    sums: &mut [f32; N],
) {
    let mut own = *sums;
    for (p, row) in probabilities.iter().zip(rows) {
        let row = &row[..N];
        for i in 0..N {
            own[i] = A::fma(*p, row[i], own[i]);
        }
    }
    *sums = own;
}

simd! {
    /// `parts`: where the rows of the two ends of the ring begin, and how many there are.
    fn attend(q: &[f32], keys: &[f32], values: &[f32], parts: [(usize, usize); 2], stride: usize, scores: &mut [f32], output: &mut [f32]) {
        let width = q.len();
        let scale = 1.0 / (width as f32).sqrt();
        let split = parts[0].1;
        let (early, late) = scores.split_at_mut(split);
        let mut max = f32::NEG_INFINITY;
        for (scores, (start, _)) in [early, late].into_iter().zip(parts) {
            for (row, score) in scores.iter_mut().enumerate() {
                *score = inner_product::<A>(q, &keys[start + row * stride..][..width]) * scale;
                max = if *score > max { *score } else { max };
            }
        }
        let mut sum = 0.0;
        for score in scores.iter_mut() {
            *score = exp::<A>(*score - max);
            sum += *score;
        }
        let (early, late) = scores.split_at(split);
        for (index, output) in output.chunks_mut(PART).enumerate() {
            let at = index * PART;
            let ends = [early, late].into_iter().zip(parts);
            match <&mut [f32; PART]>::try_from(&mut *output) {
                Ok(sums) => {
                    *sums = [0.0; PART];
                    for (p, (start, count)) in ends {
                        add_rows::<A, PART>(p, (0..count).map(|row| &values[start + row * stride + at..]), sums);
                    }
                }
                Err(_) => {
                    output.fill(0.0);
                    for (p, (start, _)) in ends {
                        for (row, p) in p.iter().enumerate() {
                            for (sum, value) in output.iter_mut().zip(&values[start + row * stride + at..]) {
                                *sum = A::fma(*p, *value, *sum);
                            }
                        }
                    }
                }
            }
            for value in output {
                *value /= sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn is_the_softmax_over_the_visible_positions(
            capacity in 1usize..80, groups in 1usize..4, width in 1usize..140, start in 0usize..500, part in 0.0..1.0f64,
        ) {
            let count = 1 + ((capacity - 1) as f64 * part) as usize;
            let ring = RingAttention { capacity, groups, width };
            let [keys, values] = [1, 2].map(|seed| random(ring.len(), seed));
            let q: Vec<f32> = random(width, 3).iter().map(|x| 4.0 * x).collect();
            for group in 0..groups {
                let row = |data: &[f32], position: usize| data[ring.row(position) + group * width..][..width].to_vec();
                let scores: Vec<f64> = (start..start + count).map(|position| {
                    let key = row(&keys, position);
                    let dot: f64 = q.iter().zip(&key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                    (dot / (width as f64).sqrt()).exp()
                }).collect();
                let total: f64 = scores.iter().sum();
                let mut expected = vec![0.0; width];
                for (position, score) in (start..).zip(&scores) {
                    for (sum, value) in expected.iter_mut().zip(row(&values, position)) {
                        *sum += score / total * f64::from(value);
                    }
                }
                let (mut room, mut output) = (vec![f32::NAN; count], vec![f32::NAN; width]);
                ring.attend(&q, (&keys, &values), group, start..start + count, &mut room, &mut output);
                close("output", &output, &expected, 2e-6);
            }
        }
    }
}
