//! What happens to one query.

use super::Run;
use crate::simd::{Arithmetic, exp, inner_product, simd};

/// Channels that are summed together.
const PART: usize = 64;

/// Adds `weight * row` over rows to N channels, which stay in registers.
#[inline(always)]
fn add_rows<A: Arithmetic, const N: usize>(weights: &[f32], table: &[f32], at: usize, stride: usize, sums: &mut [f32]) {
    let mut own = [0.0; N];
    own.copy_from_slice(sums);
    for (row, weight) in weights.iter().enumerate() {
        let row = &table[at + row * stride..][..N];
        for i in 0..N {
            own[i] = A::fma(*weight, row[i], own[i]);
        }
    }
    sums.copy_from_slice(&own);
}

simd! {
    /// `out[i] = scale * (x . row i)` of the rows from `at` on, `stride` apart.
    pub(super) fn products(x: &[f32], table: &[f32], at: usize, stride: usize, scale: f32, out: &mut [f32]) {
        for (row, out) in out.iter_mut().enumerate() {
            *out = scale * inner_product::<A>(x, &table[at + row * stride..][..x.len()]);
        }
    }

    /// `sums += sum of weights[i] * row i`.
    pub(super) fn add_weighted(weights: &[f32], table: &[f32], at: usize, stride: usize, sums: &mut [f32]) {
        let mut at = at;
        let mut parts = sums.chunks_exact_mut(PART);
        for part in &mut parts {
            add_rows::<A, PART>(weights, table, at, stride, part);
            at += PART;
        }
        let mut parts = parts.into_remainder().chunks_exact_mut(8);
        for part in &mut parts {
            add_rows::<A, 8>(weights, table, at, stride, part);
            at += 8;
        }
        for sum in parts.into_remainder() {
            add_rows::<A, 1>(weights, table, at, stride, std::slice::from_mut(sum));
            at += 1;
        }
    }

    /// Turns scores into their softmax; returns the log-sum-exp. 0 of nothing.
    pub(super) fn softmax(scores: &mut [f32]) -> f32 {
        if scores.is_empty() {
            return 0.0;
        }
        let max = scores.iter().fold(f32::NEG_INFINITY, |max, score| if *score > max { *score } else { max });
        let mut sum = 0.0;
        for score in scores.iter_mut() {
            *score = exp::<A>(*score - max);
            sum += *score;
        }
        for score in scores.iter_mut() {
            *score /= sum;
        }
        max + sum.ln()
    }

    /// `scores = exp(scores - lse)`, and `dscores = p (dscores - delta) scale`.
    pub(super) fn score_gradients(scores: &mut [f32], dscores: &mut [f32], lse: f32, delta: f32, scale: f32) {
        for (p, dp) in scores.iter_mut().zip(dscores) {
            *p = exp::<A>(*p - lse);
            *dp = *p * (*dp - delta) * scale;
        }
    }

    /// Adds `weights[i] * x` to channels from `at` on of row i of a run.
    pub(super) fn spread(weights: &[f32], x: &[f32], rows: &mut [&mut [f32]], run: Run, at: usize) {
        for (weight, row) in weights.iter().zip(rows.iter_mut().skip(run.first).step_by(run.stride)) {
            for (y, x) in row[at..at + x.len()].iter_mut().zip(x) {
                *y = A::fma(*weight, *x, *y);
            }
        }
    }
}
