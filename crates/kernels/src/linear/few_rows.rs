//! Linear maps of a few rows, as in decoding: one pass over the weight, bound by memory, on all threads.

use super::{Linear, WeightOrder};
use crate::cost;
use crate::matmul::Shared;
use crate::simd::{self, simd};
use rayon::prelude::*;

/// Most rows that are taken here.
pub(super) const LIMIT: usize = 4;
/// Output channels per task.
const TILE: usize = 128;
/// Weights below which waking other threads costs more than it gains.
const ALONE: usize = 1 << 16;

/// `y = x * weight (+ bias)`; the sizes have been checked.
pub(super) fn forward(linear: &Linear, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let output = linear.output;
    cost::count(linear.rows, output, linear.input);
    let y = Shared::new(y);
    let tile = |index: usize| {
        let columns = index * TILE..((index + 1) * TILE).min(output);
        let mut sums = [[0f32; TILE]; LIMIT];
        match linear.order {
            WeightOrder::InputOutput => down_columns(linear, x, weight, columns.start, columns.len(), &mut sums),
            WeightOrder::OutputInput => along_rows(linear, x, weight, columns.start, columns.len(), &mut sums),
        }
        for (row, sums) in sums[..linear.rows].iter_mut().enumerate() {
            if let Some(bias) = bias {
                simd::add(&mut sums[..columns.len()], &bias[columns.clone()]);
            }
            // SAFETY: each task owns its columns of every row of y, which has `rows * output` elements.
            let y = unsafe { std::slice::from_raw_parts_mut(y.at(row * output + columns.start), columns.len()) };
            y.copy_from_slice(&sums[..columns.len()]);
        }
    };
    let tiles = output.div_ceil(TILE);
    match weight.len() < ALONE {
        true => (0..tiles).for_each(tile),
        false => (0..tiles).into_par_iter().for_each(tile),
    }
}

simd! {
    /// Columns of a weight `[input, output]`.
    fn down_columns(linear: &Linear, x: &[f32], weight: &[f32], start: usize, count: usize, sums: &mut [[f32; TILE]; LIMIT]) {
        for (row, sums) in sums[..linear.rows].iter_mut().enumerate() {
            let x = &x[row * linear.input..][..linear.input];
            let weights = weight.chunks_exact(linear.output);
            if count == TILE {
                // The accumulators stay in registers.
                let mut own = [0f32; TILE];
                for (x, weights) in x.iter().zip(weights) {
                    let weights = &weights[start..start + TILE];
                    for i in 0..TILE {
                        own[i] = A::fma(*x, weights[i], own[i]);
                    }
                }
                *sums = own;
            } else {
                for (x, weights) in x.iter().zip(weights) {
                    for (sum, weight) in sums.iter_mut().zip(&weights[start..start + count]) {
                        *sum = A::fma(*x, *weight, *sum);
                    }
                }
            }
        }
    }

    /// Rows of a weight `[output, input]`.
    fn along_rows(linear: &Linear, x: &[f32], weight: &[f32], start: usize, count: usize, sums: &mut [[f32; TILE]; LIMIT]) {
        let input = linear.input;
        for (column, weight) in weight[start * input..].chunks_exact(input).take(count).enumerate() {
            for (row, sums) in sums[..linear.rows].iter_mut().enumerate() {
                let x = &x[row * input..][..input];
                let mut lanes = [[0f32; simd::LANES]; 4];
                let (mut xs, mut ws) = (x.chunks_exact(4 * simd::LANES), weight.chunks_exact(4 * simd::LANES));
                for (x, w) in (&mut xs).zip(&mut ws) {
                    let parts = x.chunks_exact(simd::LANES).zip(w.chunks_exact(simd::LANES));
                    for (lanes, (x, w)) in lanes.iter_mut().zip(parts) {
                        for ((lane, x), w) in lanes.iter_mut().zip(x).zip(w) {
                            *lane = A::fma(*x, *w, *lane);
                        }
                    }
                }
                let rest = xs.remainder().iter().zip(ws.remainder()).fold(0.0, |sum, (x, w)| A::fma(*x, *w, sum));
                sums[column] = lanes.map(simd::lanes_sum).iter().sum::<f32>() + rest;
            }
        }
    }
}
