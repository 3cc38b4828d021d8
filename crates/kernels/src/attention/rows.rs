//! What happens to one row of scores.

use crate::dropout::{Keys, apply_part};
use crate::simd::{LANES, exp, lanes_sum, largest, simd};
use crate::{Dropout, simd::Arithmetic};

/// The running softmax of one query row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    /// Largest scaled score so far.
    pub(super) max: f32,
    /// Sum of `exp(score - max)` so far.
    pub(super) sum: f32,
}

impl Running {
    pub(super) const START: Self = Self { max: f32::NEG_INFINITY, sum: 0.0 };
}

/// `row = exp(row * scale - offset)`, and its sum.
#[inline(always)]
fn exponentials<A: Arithmetic>(row: &mut [f32], scale: f32, offset: f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let mut rest = 0.0;
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            chunk[i] = exp::<A>(A::fma(chunk[i], scale, -offset));
            lanes[i] += chunk[i];
        }
    }
    for x in chunks.into_remainder() {
        *x = exp::<A>(A::fma(*x, scale, -offset));
        rest += *x;
    }
    lanes_sum(lanes) + rest
}

simd! {
    /// Turns the visible scores `start..end` of a tile into `exp(score - max)` and everything else into zero; returns the
    /// new state and the factor by which earlier results of this row shrink. A NaN score makes the row NaN.
    pub(super) fn softmax_tile(row: &mut [f32], start: usize, end: usize, scale: f32, state: Running) -> (Running, f32) {
        let (before, rest) = row.split_at_mut(start);
        let (seen, after) = rest.split_at_mut(end - start);
        before.fill(0.0);
        after.fill(0.0);
        if seen.is_empty() {
            return (state, 1.0);
        }
        let max = state.max.max(largest(seen) * scale);
        // All scores -inf or NaN: exp below gives NaN where a score is NaN.
        let max = if max == f32::NEG_INFINITY { 0.0 } else { max };
        let sum = exponentials::<A>(seen, scale, max);
        let factor = if state.sum == 0.0 { 0.0 } else { exp::<A>(state.max - max) };
        (Running { max, sum: A::fma(state.sum, factor, sum) }, factor)
    }

    /// Recomputes probabilities from scores and the row's log-sum-exp; zero outside `start..end`.
    pub(super) fn probabilities(row: &mut [f32], start: usize, end: usize, scale: f32, lse: f32) {
        row[..start].fill(0.0);
        row[end..].fill(0.0);
        for x in &mut row[start..end] {
            *x = exp::<A>(A::fma(*x, scale, -lse));
        }
    }

    /// `dp = p * (dp - delta) * scale`: the gradient of the scores.
    pub(super) fn score_gradient(p: &[f32], dp: &mut [f32], delta: f32, scale: f32) {
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - delta) * scale;
        }
    }

    /// The score gradient under dropout; `p` is dropped on the way.
    fn drop_gradient_part(p: &mut [f32], dp: &mut [f32], delta: f32, scale: f32, lower: u32, keys: Keys) {
        for (i, (p, dp)) in p.iter_mut().zip(dp).enumerate() {
            let factor = keys.factor(lower.wrapping_add(i as u32));
            *dp = *p * A::fma(*dp, factor, -delta) * scale;
            *p *= factor;
        }
    }
}

/// Applies the mask of the entries from flat index `first` on.
pub(super) fn drop(p: &mut [f32], first: u64, dropout: &Dropout) {
    let split = until_wrap(first, p.len());
    let (low, high) = p.split_at_mut(split);
    apply_part(low, first as u32, dropout.keys(first >> 32));
    apply_part(high, 0, dropout.keys((first >> 32) + 1));
}

/// [`score_gradient`] with dropout; afterwards `p` holds the dropped probabilities.
pub(super) fn drop_gradient(p: &mut [f32], dp: &mut [f32], delta: f32, scale: f32, (first, dropout): (u64, &Dropout)) {
    let split = until_wrap(first, p.len());
    let ((p_low, p_high), (dp_low, dp_high)) = (p.split_at_mut(split), dp.split_at_mut(split));
    drop_gradient_part(p_low, dp_low, delta, scale, first as u32, dropout.keys(first >> 32));
    drop_gradient_part(p_high, dp_high, delta, scale, 0, dropout.keys((first >> 32) + 1));
}

/// How many of `count` entries come before the lower half of the index wraps.
fn until_wrap(first: u64, count: usize) -> usize {
    (((1u64 << 32) - (first & 0xffff_ffff)) as usize).min(count)
}
