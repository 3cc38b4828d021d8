//! Rotary position embedding (arXiv 2104.09864): which channels are paired, and the table of angles.

use crate::simd::simd;
use rayon::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Which channels form a rotated pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RotaryLayout {
    /// Channels `2 i` and `2 i + 1`.
    Interleaved,
    /// Channels `i` and `i + channels / 2`.
    HalfSplit,
}

/// A rotary embedding of the first `channels` channels of each head.
///
/// ```
/// use percept_kernels::{Rotary, RotaryLayout, Turn};
/// let rotary = Rotary { base: 10_000.0, channels: 2, layout: RotaryLayout::Interleaved };
/// let dot = |query_at: usize, key_at: usize| {
///     let (mut q, mut k) = ([1.0, 0.5], [0.25, 1.0]);
///     rotary.rotate(&mut q, [1, 1, 1, 2], query_at, Turn::Forward);
///     rotary.rotate(&mut k, [1, 1, 1, 2], key_at, Turn::Forward);
///     q[0] * k[0] + q[1] * k[1]
/// };
/// // A score depends on the distance alone.
/// assert!((dot(5, 3) - dot(105, 103)).abs() < 1e-5 && (dot(5, 3) - dot(5, 4)).abs() > 0.1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotary {
    /// Pair `i` turns by `position * base^(-2 i / channels)`.
    pub base: f64,
    /// Rotated channels, even, at most the channels of a head.
    pub channels: usize,
    /// The pairing.
    pub layout: RotaryLayout,
}

/// Which way to turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// By the angle of the position.
    Forward,
    /// Back; this is also the gradient.
    Back,
}

/// Cosines and sines `[length, channels / 2]`.
#[derive(Debug)]
pub struct RotaryTable {
    /// Cosines, row-major.
    pub cos: Vec<f64>,
    /// Sines, row-major.
    pub sin: Vec<f64>,
    /// The cosines rounded to f32.
    pub cos_f32: Vec<f32>,
    /// The sines rounded to f32.
    pub sin_f32: Vec<f32>,
}

/// Tables worth remembering: every layer of every step asks for the same few.
const REMEMBERED: usize = 8;
type Key = (u64, usize, usize, usize);
static TABLES: Mutex<Vec<(Key, Arc<RotaryTable>)>> = Mutex::new(Vec::new());

impl Rotary {
    /// The table for positions `start .. start + length`. Angles are computed in f64: at position
    /// 1,000,000 an f32 product is off by 0.06 rad.
    pub fn table(&self, start: usize, length: usize) -> Arc<RotaryTable> {
        let key = (self.base.to_bits(), self.channels, start, length);
        let find = |tables: &[(Key, Arc<RotaryTable>)]| {
            tables.iter().find(|(known, _)| *known == key).map(|(_, table)| table.clone())
        };
        if let Some(table) = find(&TABLES.lock().unwrap_or_else(PoisonError::into_inner)) {
            return table;
        }
        let table = Arc::new(self.compute(start, length));
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() == REMEMBERED {
            tables.remove(0);
        }
        tables.push((key, table.clone()));
        table
    }

    /// Rotates `x [batch, length, heads, width]` in place; row 0 of each sequence has absolute position `start`.
    ///
    /// # Panics
    /// If `x` does not have that length, or a head has fewer channels than are rotated.
    pub fn rotate(&self, x: &mut [f32], [batch, length, heads, width]: [usize; 4], start: usize, turn: Turn) {
        let pairs = self.channels / 2;
        assert_eq!(x.len(), batch * length * heads * width, "size of x");
        assert!(2 * pairs <= width, "more channels are rotated than a head has");
        if x.is_empty() || pairs == 0 {
            return;
        }
        let table = self.table(start, length);
        let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
        x.par_chunks_mut(heads * width).with_min_len(64).enumerate().for_each(|(row, x)| {
            let at = row % length * pairs;
            let (cos, sin) = (&table.cos_f32[at..at + pairs], &table.sin_f32[at..at + pairs]);
            match self.layout {
                RotaryLayout::Interleaved => interleaved(x, width, cos, sin, sign),
                RotaryLayout::HalfSplit => half_split(x, width, cos, sin, sign),
            }
        });
    }

    /// What each pair turns by from one position to the next, `[channels / 2]`, in radians.
    pub fn frequencies(&self) -> Vec<f64> {
        (0..self.channels / 2).map(|i| self.base.powf(-2.0 * i as f64 / self.channels as f64)).collect()
    }

    /// Rotates the heads, `width` channels each, of one row in place, on the calling thread; `cos` and `sin`
    /// `[channels / 2]` are those of its position.
    ///
    /// # Panics
    /// If a head has fewer channels than are rotated, or the table has another length.
    pub fn rotate_row(&self, x: &mut [f32], width: usize, (cos, sin): (&[f32], &[f32])) {
        assert!(self.channels <= width && cos.len() == self.channels / 2 && sin.len() == cos.len(), "sizes");
        match self.layout {
            RotaryLayout::Interleaved => interleaved(x, width, cos, sin, 1.0),
            RotaryLayout::HalfSplit => half_split(x, width, cos, sin, 1.0),
        }
    }

    fn compute(&self, start: usize, length: usize) -> RotaryTable {
        let frequencies = self.frequencies();
        let angles = (start..start + length).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let (sin, cos): (Vec<f64>, Vec<f64>) = angles.map(f64::sin_cos).unzip();
        let round = |values: &[f64]| values.iter().map(|v| *v as f32).collect();
        RotaryTable { cos_f32: round(&cos), sin_f32: round(&sin), cos, sin }
    }
}

simd! {
    fn half_split(x: &mut [f32], width: usize, cos: &[f32], sin: &[f32], sign: f32) {
        for head in x.chunks_exact_mut(width) {
            let (a, b) = head.split_at_mut(cos.len());
            for ((a, b), (cos, sin)) in a.iter_mut().zip(b).zip(cos.iter().zip(sin)) {
                let sin = sin * sign;
                (*a, *b) = (A::fma(*a, *cos, -*b * sin), A::fma(*b, *cos, *a * sin));
            }
        }
    }

    fn interleaved(x: &mut [f32], width: usize, cos: &[f32], sin: &[f32], sign: f32) {
        for head in x.chunks_exact_mut(width) {
            for (pair, (cos, sin)) in head.chunks_exact_mut(2).zip(cos.iter().zip(sin)) {
                let (a, b, sin) = (pair[0], pair[1], sin * sign);
                (pair[0], pair[1]) = (A::fma(a, *cos, -b * sin), A::fma(b, *cos, a * sin));
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
        #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn pairs_turn_by_their_angle_and_back(
            [batch, length, heads, pairs, rest] in [1usize..3, 1usize..90, 1usize..4, 1usize..20, 0usize..5],
            start in 0usize..2_000_000,
            split in any::<bool>(),
        ) {
            let layout = if split { RotaryLayout::HalfSplit } else { RotaryLayout::Interleaved };
            let rule = Rotary { base: 10_000.0, channels: 2 * pairs, layout };
            let width = 2 * pairs + rest;
            let x = random(batch * length * heads * width, 1);
            let mut expected: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            for (row, head) in expected.chunks_mut(width).enumerate() {
                for pair in 0..pairs {
                    let (i, j) = if split { (pair, pair + pairs) } else { (2 * pair, 2 * pair + 1) };
                    let position = (start + row / heads % length) as f64;
                    let (sin, cos) = (position * 10_000f64.powf(-(pair as f64) / pairs as f64)).sin_cos();
                    (head[i], head[j]) = (head[i] * cos - head[j] * sin, head[j] * cos + head[i] * sin);
                }
            }
            let mut y = x.clone();
            rule.rotate(&mut y, [batch, length, heads, width], start, Turn::Forward);
            close("forward", &y, &expected, 1e-6);
            rule.rotate(&mut y, [batch, length, heads, width], start, Turn::Back);
            close("back", &y, &x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>(), 1e-6);
        }
    }

    #[test]
    fn a_far_position_keeps_its_angle() {
        let rotary = Rotary { base: 10_000.0, channels: 8, layout: RotaryLayout::HalfSplit };
        let table = rotary.table(1_000_000, 2);
        let angle = 1_000_001.0 * 10_000f64.powf(-2.0 / 8.0);
        assert!((table.cos[4 + 1] - angle.cos()).abs() < 1e-9);
        assert!((f64::from(table.sin_f32[4 + 1]) - angle.sin()).abs() < 1e-7);
    }

    #[test]
    fn the_same_table_is_shared_and_old_ones_are_forgotten() {
        let rotary = Rotary { base: 500.0, channels: 4, layout: RotaryLayout::Interleaved };
        let first = rotary.table(0, 16);
        assert_eq!(first.cos, rotary.table(0, 16).cos);
        for start in 1..20 {
            rotary.table(start, 16);
        }
        assert!(TABLES.lock().unwrap().len() <= REMEMBERED);
    }
}
