//! Sums over the rows that a row sees, group by group, without writing down what each row sees.
//!
//! Outputs are taken [`LANES`] at a time and a few rows at a time, so that each vector of taps is read once for all of these rows.

use crate::simd::{Arithmetic, LANES, simd};
use rayon::prelude::*;

/// Rows of a task.
const BLOCK: usize = 64;
/// Rows that share what is read of the taps.
const ROWS: usize = 6;
/// Channels of x that share what is read of the gradient.
const CHANNELS: usize = 4;

/// In which direction the rows lie that a row sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sees {
    /// Its own and those before it.
    Back,
    /// Its own and those after it.
    Ahead,
}

/// Sequences of rows in groups of channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Rows per sequence.
    pub(super) rows: usize,
    pub(super) groups: usize,
    /// Channels of a group that are read.
    pub(super) input: usize,
    /// Channels of a group that are written.
    pub(super) output: usize,
    /// Rows that a row sees.
    pub(super) width: usize,
    pub(super) sees: Sees,
}

/// Taps of one group for [`LANES`] of its outputs, the last ones of which may be zeros: `[width, input, LANES]`.
type Panel = Vec<f32>;

impl Shape {
    /// Panels of a group.
    fn panels(&self) -> usize {
        self.output.div_ceil(LANES)
    }

    fn inputs(&self) -> usize {
        self.groups * self.input
    }

    fn outputs(&self) -> usize {
        self.groups * self.output
    }

    /// The panels of all groups; `tap(i, c, g, o)` is what output o of group g takes of its channel c, i rows away.
    fn pack(&self, tap: impl Fn(usize, usize, usize, usize) -> f32) -> Vec<Panel> {
        let panel = |panel: usize| {
            let (group, first) = (panel / self.panels(), panel % self.panels() * LANES);
            let at = |at: usize| (at / (self.input * LANES), at / LANES % self.input, first + at % LANES);
            let elements = (0..self.width * self.input * LANES).map(at);
            elements.map(|(row, channel, o)| if o < self.output { tap(row, channel, group, o) } else { 0.0 }).collect()
        };
        (0..self.groups * self.panels()).map(panel).collect()
    }

    /// Writes `y [sequences, rows, groups, output]` from `x [sequences, rows, groups, input]`.
    pub(super) fn apply(&self, x: &[f32], tap: impl Fn(usize, usize, usize, usize) -> f32, y: &mut [f32]) {
        let (outputs, panels) = (self.outputs(), self.pack(tap));
        let sequences = x.chunks_exact(self.rows * self.inputs()).zip(y.chunks_exact_mut(self.rows * outputs));
        let blocks: Vec<_> = sequences
            .flat_map(|(x, y)| y.chunks_mut(BLOCK * outputs).enumerate().map(move |(block, y)| (x, block * BLOCK, y)))
            .collect();
        blocks.into_par_iter().for_each(|(x, first, y)| {
            let mut sums = vec![[0.0; LANES]; y.len() / outputs];
            for (at, panel) in panels.iter().enumerate() {
                let (group, lane) = (at / self.panels(), at % self.panels() * LANES);
                add_up(self, &x[group * self.input..], first, panel, &mut sums);
                let (start, count) = (group * self.output + lane, LANES.min(self.output - lane));
                for (y, sums) in y.chunks_exact_mut(outputs).zip(&sums) {
                    y[start..start + count].copy_from_slice(&sums[..count]);
                }
            }
        });
    }

    /// Writes the gradient of the taps, `[width, input, groups, output]`, from that of y, for rows that see back.
    pub(super) fn taps_gradient(&self, x: &[f32], grad: &[f32], dtaps: &mut [f32]) {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let panels = (0..self.groups * self.panels()).into_par_iter().map(|at| {
            let (group, lane) = (at / self.panels(), at % self.panels() * LANES);
            let (start, count) = (group * self.output + lane, LANES.min(self.output - lane));
            let mut sums = vec![[0.0; LANES]; self.width * self.input];
            let mut rows = vec![[0.0; LANES]; BLOCK];
            for (x, grad) in x.chunks_exact(self.rows * inputs).zip(grad.chunks_exact(self.rows * outputs)) {
                for (block, grad) in grad.chunks(BLOCK * outputs).enumerate() {
                    let rows = &mut rows[..grad.len() / outputs];
                    for (row, grad) in rows.iter_mut().zip(grad.chunks_exact(outputs)) {
                        row[..count].copy_from_slice(&grad[start..start + count]);
                    }
                    add_products(self, &x[group * self.input..], block * BLOCK, rows, &mut sums);
                }
            }
            (start, count, sums)
        });
        for (start, count, sums) in panels.collect::<Vec<_>>() {
            for (dtaps, sums) in dtaps.chunks_exact_mut(outputs).zip(&sums) {
                dtaps[start..start + count].copy_from_slice(&sums[..count]);
            }
        }
    }

    /// How many rows the one at a place within its sequence sees.
    fn seen(&self, at: usize) -> usize {
        match self.sees {
            Sees::Back => self.width.min(at + 1),
            Sees::Ahead => self.width.min(self.rows - at),
        }
    }
}

simd! {
    /// Writes the sums of the rows from `first` on; `x` is one sequence, from a group's first channel on.
    fn add_up(shape: &Shape, x: &[f32], first: usize, panel: &[f32], sums: &mut [[f32; LANES]]) {
        let mut at = 0;
        while at < sums.len() {
            let row = first + at;
            let many = at + ROWS <= sums.len() && [row, row + ROWS - 1].map(|row| shape.seen(row)) == [shape.width; 2];
            at += if many {
                tile::<A, ROWS>(shape, x, row, panel, &mut sums[at..])
            } else {
                tile::<A, 1>(shape, x, row, panel, &mut sums[at..])
            };
        }
    }

    /// Adds the products of the rows of x that lie back and the gradients of the rows from `first` on.
    fn add_products(shape: &Shape, x: &[f32], first: usize, grad: &[[f32; LANES]], sums: &mut [[f32; LANES]]) {
        for (back, sums) in sums.chunks_exact_mut(shape.input).enumerate() {
            let mut channel = 0;
            while channel < shape.input {
                let many = channel + CHANNELS <= shape.input;
                channel += if many {
                    products::<A, CHANNELS>(shape, x, (first, back, channel), grad, &mut sums[channel..])
                } else {
                    products::<A, 1>(shape, x, (first, back, channel), grad, &mut sums[channel..])
                };
            }
        }
    }
}

/// Writes the sums of `N` rows that see as many rows as the first one; returns `N`.
#[inline(always)]
fn tile<A: Arithmetic, const N: usize>(
    shape: &Shape,
    x: &[f32],
    row: usize,
    panel: &[f32],
    out: &mut [[f32; LANES]],
) -> usize {
    let mut sums = [[0.0; LANES]; N];
    for (step, taps) in panel.chunks_exact(shape.input * LANES).enumerate().take(shape.seen(row)) {
        let from = if shape.sees == Sees::Back { row - step } else { row + step };
        let rows: [&[f32]; N] = std::array::from_fn(|at| &x[(from + at) * shape.inputs()..][..shape.input]);
        for channel in 0..shape.input {
            let taps = &taps[channel * LANES..][..LANES];
            for (sums, row) in sums.iter_mut().zip(rows) {
                let x = row[channel];
                sums.iter_mut().zip(taps).for_each(|(sum, tap)| *sum = A::fma(x, *tap, *sum));
            }
        }
    }
    out[..N].copy_from_slice(&sums);
    N
}

/// Adds the products of `N` channels of the rows that lie `back` from those of `grad`; returns `N`.
#[inline(always)]
fn products<A: Arithmetic, const N: usize>(
    shape: &Shape,
    x: &[f32],
    (first, back, channel): (usize, usize, usize),
    grad: &[[f32; LANES]],
    out: &mut [[f32; LANES]],
) -> usize {
    let mut sums = [[0.0; LANES]; N];
    sums.copy_from_slice(&out[..N]);
    // Rows that are nearer to the start of their sequence see none so far back.
    for (row, grad) in grad.iter().enumerate().skip(back.saturating_sub(first)) {
        let x = &x[(first + row - back) * shape.inputs() + channel..][..N];
        for (sums, x) in sums.iter_mut().zip(x) {
            sums.iter_mut().zip(grad).for_each(|(sum, grad)| *sum = A::fma(*x, *grad, *sum));
        }
    }
    out[..N].copy_from_slice(&sums);
    N
}
