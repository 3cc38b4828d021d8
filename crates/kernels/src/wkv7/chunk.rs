//! One chunk of one head: what is read by the same products lies on top of each other, so that they are few.

use super::head::{self, Head};
use super::{CHUNK, Piece};
use crate::cost::{Cost, count_cost};
use crate::matmul::{Output, Threads, View, multiply};
use crate::simd::{exp, simd};

/// The factors of the rows of a chunk, and what they become, `[rows, width]` each where nothing else is said.
pub(super) struct Chunk {
    width: usize,
    rows: usize,
    /// Log decays, rates, a, and the keys that are written.
    pub(super) decay: Vec<f32>,
    pub(super) rate: Vec<f32>,
    pub(super) removal: Vec<f32>,
    pub(super) written: Vec<f32>,
    /// What [`head::removals`] has returned of each row.
    pub(super) inverse: [f32; CHUNK],
    /// e^G, e^(G before), e^-G.
    grown: Vec<f32>,
    before: Vec<f32>,
    shrunk: Vec<f32>,
    /// r~ on top of a~, `[2 rows, width]`.
    ra: Vec<f32>,
    /// k^ on top of b^.
    kb: Vec<f32>,
    /// V on top of U.
    vu: Vec<f32>,
    /// Of r~ and of a~ with k^ and with b^, `[2 rows, 2 rows]`: what is above the diagonal of each quarter is zero, below r~ the diagonal
    /// stays.
    lower: Vec<f32>,
    /// Sums of the log decays so far, `[width]`.
    sums: Vec<f32>,
}

/// `out [m, n] (+)= a b` on the calling thread, rows without gaps.
fn product(shape: (usize, usize, usize), out: &mut [f32], output: Output, a: View<'_>, b: View<'_>) {
    multiply(shape, (out, shape.1, output), a, b, Threads::One);
}

/// What [`Chunk::solve`] executes; the backward pass does so again.
fn again_cost(rows: usize, width: usize) -> Cost {
    let product = Cost::of_product;
    product(2 * rows, 2 * rows, width)
        + product(rows, width, width)
        + product(rows, width, rows)
        + solve_cost(rows, width)
}

/// Of a triangular solve.
fn solve_cost(rows: usize, width: usize) -> Cost {
    Cost { macs: (rows * (rows.max(1) - 1) / 2 * width) as u64, elements: (2 * rows * width) as u64 }
}

pub(super) fn forward_cost(rows: usize, width: usize) -> Cost {
    let product = Cost::of_product;
    again_cost(rows, width)
        + product(rows, width, width)
        + product(rows, width, 2 * rows)
        + product(width, width, 2 * rows)
}

pub(super) fn backward_cost(rows: usize, width: usize) -> Cost {
    let product = Cost::of_product;
    again_cost(rows, width)
        + product(2 * rows, width, width) * 3
        + product(2 * rows, width, rows)
        + product(rows, width, rows)
        + product(2 * rows, 2 * rows, width)
        + product(width, width, 2 * rows)
        + product(2 * rows, width, 2 * rows) * 2
        + solve_cost(rows, width)
}

impl Chunk {
    pub(super) fn new(width: usize) -> Self {
        let rows = |count: usize| vec![0.0; count * CHUNK * width];
        Self {
            width,
            rows: 0,
            decay: rows(1),
            rate: rows(1),
            removal: rows(1),
            written: rows(1),
            inverse: [0.0; CHUNK],
            grown: rows(1),
            before: rows(1),
            shrunk: rows(1),
            ra: rows(2),
            kb: rows(2),
            vu: rows(2),
            lower: vec![0.0; 4 * CHUNK * CHUNK],
            sums: vec![0.0; width],
        }
    }

    /// Reads its rows.
    pub(super) fn load(&mut self, piece: &Piece<'_>, head: &Head<'_>) {
        let width = self.width;
        self.rows = piece.count;
        self.sums.fill(0.0);
        let Self { decay, rate, removal, written, grown, before, shrunk, ra, kb, vu, sums, .. } = self;
        let ((r_out, a_out), (k_out, b_out)) = (ra.split_at_mut(self.rows * width), kb.split_at_mut(self.rows * width));
        for row in 0..self.rows {
            let here = row * width..(row + 1) * width;
            let [r, d, k, v, alpha, _] = piece.row(row);
            self.inverse[row] = head::removals(k, head.removal_key, &mut removal[here.clone()]);
            head::rates(alpha, k, head.rate_key, &mut rate[here.clone()], &mut written[here.clone()]);
            head::decays(d, &mut decay[here.clone()]);
            vu[here.clone()].copy_from_slice(v);
            let [grown, before, shrunk] = [&mut *grown, &mut *before, &mut *shrunk].map(|x| &mut x[here.clone()]);
            powers(&decay[here.clone()], sums, grown, before, shrunk);
            let [written, removal, rate] = [&*written, &*removal, &*rate].map(|x| &x[here.clone()]);
            times(r, grown, 1.0, &mut r_out[here.clone()]);
            times(removal, before, 1.0, &mut a_out[here.clone()]);
            times(written, shrunk, 1.0, &mut k_out[here.clone()]);
            // b is -scale rate a.
            times(removal, rate, -head.removal_scale, &mut b_out[here.clone()]);
            multiply_by(&mut b_out[here], shrunk);
        }
    }

    /// The lower matrices, and U of the state S at the start.
    fn solve(&mut self, state: &[f32]) {
        let (rows, width) = (self.rows, self.width);
        let Self { ra, kb, vu, lower, .. } = self;
        let both = 2 * rows;
        let turned = View::rows(kb, width).transposed();
        product((both, both, width), lower, Output::Overwrite, View::rows(ra, width), turned);
        keep_lower(&mut lower[..both * both], rows);
        let (v, u) = vu.split_at_mut(rows * width);
        let (a, state) = (View::rows(&ra[rows * width..], width), View::rows(state, width));
        product((rows, width, width), u, Output::Overwrite, a, state.transposed());
        let ak = View::rows(&lower[rows * both..], both);
        product((rows, width, rows), u, Output::Accumulate, ak, View::rows(v, width));
        solve_down(&lower[rows * both + rows..], both, &mut u[..rows * width], width);
        count_cost(solve_cost(rows, width));
    }

    /// Writes what is read, `y [rows, width]`; `state` becomes that after the chunk.
    pub(super) fn forward(&mut self, state: &mut [f32], y: &mut [f32]) {
        self.solve(state);
        let (rows, width) = (self.rows, self.width);
        let Self { ra, kb, vu, lower, grown, .. } = self;
        let both = 2 * rows;
        let turned = View::rows(state, width).transposed();
        product((rows, width, width), y, Output::Overwrite, View::rows(ra, width), turned);
        product((rows, width, both), y, Output::Accumulate, View::rows(lower, both), View::rows(vu, width));
        let written = View::rows(vu, width).transposed();
        product((width, width, both), state, Output::Accumulate, written, View::rows(kb, width));
        let last = &grown[(rows - 1) * width..][..width];
        state.chunks_exact_mut(width).for_each(|row| multiply_by(row, last));
    }
}

/// Gradients of what a chunk holds, by the same names, and of the state.
pub(super) struct Gradients {
    /// Of r~ and a~; then of r and a.
    ra: Vec<f32>,
    /// Of k^ and b^; then of the written keys and b.
    kb: Vec<f32>,
    vu: Vec<f32>,
    lower: Vec<f32>,
    /// Of what is read, on top of that of what the solve begins with.
    yu: Vec<f32>,
    /// Of the state after the chunk, then of that before it.
    state: Vec<f32>,
    /// Of the sum of the log decays up to a row, by all that it reaches; first by the state after the chunk.
    sums: Vec<f32>,
    /// Of the log decays of a row.
    pub(super) decay: Vec<f32>,
}

/// Gradients of a row.
pub(super) struct OfRow<'a> {
    pub(super) receptance: &'a mut [f32],
    pub(super) removal: &'a mut [f32],
    pub(super) written: &'a mut [f32],
    pub(super) replacement: &'a mut [f32],
    pub(super) value: &'a mut [f32],
    pub(super) decay: &'a [f32],
}

impl Gradients {
    pub(super) fn new(width: usize) -> Self {
        let rows = || vec![0.0; 2 * CHUNK * width];
        Self {
            ra: rows(),
            kb: rows(),
            vu: rows(),
            lower: vec![0.0; 4 * CHUNK * CHUNK],
            yu: rows(),
            state: vec![0.0; width * width],
            sums: vec![0.0; width],
            decay: vec![0.0; width],
        }
    }

    /// Where the gradient of what is read goes, `[rows, width]`.
    pub(super) fn output(&mut self) -> &mut [f32] {
        &mut self.yu
    }

    /// Takes the gradient of the state after a chunk, which it holds, and [`Gradients::output`] through it. `states`: before and after.
    pub(super) fn run(&mut self, chunk: &mut Chunk, (before, after): (&[f32], &[f32])) {
        chunk.solve(before);
        let (rows, width) = (chunk.rows, chunk.width);
        self.sums.fill(0.0);
        let grown = &chunk.grown[(rows - 1) * width..][..width];
        for (state, after) in self.state.chunks_exact_mut(width).zip(after.chunks_exact(width)) {
            fade(state, after, grown, &mut self.sums);
        }
        self.through_solve(chunk);
        let both = 2 * rows;
        let Self { ra, kb, lower, yu, state, .. } = self;
        let turned = View::rows(&chunk.vu, width).transposed();
        product((both, both, width), lower, Output::Overwrite, View::rows(yu, width), turned);
        keep_lower(&mut lower[..both * both], rows);
        product((both, width, width), ra, Output::Overwrite, View::rows(yu, width), View::rows(before, width));
        let read = View::rows(yu, width).transposed();
        product((width, width, both), state, Output::Accumulate, read, View::rows(&chunk.ra, width));
        let lower = View::rows(lower, both);
        product((both, width, both), ra, Output::Accumulate, lower, View::rows(&chunk.kb, width));
        product((both, width, both), kb, Output::Accumulate, lower.transposed(), View::rows(&chunk.ra, width));
    }

    /// Of V, and of k^ and b^ by the state; below the gradient of what is read that of what the solve begins with.
    fn through_solve(&mut self, chunk: &Chunk) {
        let (rows, width) = (chunk.rows, chunk.width);
        let both = 2 * rows;
        let Self { kb, vu, yu, state, .. } = self;
        let by_state = |x: &[f32], to: &mut [f32], state: View<'_>| {
            product((both, width, width), to, Output::Overwrite, View::rows(x, width), state);
        };
        by_state(&chunk.vu, kb, View::rows(state, width));
        by_state(&chunk.kb, vu, View::rows(state, width).transposed());
        let of_r = View::rows(&chunk.lower, both).transposed();
        product((both, width, rows), vu, Output::Accumulate, of_r, View::rows(yu, width));
        let (of_v, of_u) = vu.split_at_mut(rows * width);
        let start = &mut yu[rows * width..both * width];
        start.copy_from_slice(&of_u[..rows * width]);
        solve_up(&chunk.lower[rows * both + rows..], both, start, width);
        count_cost(solve_cost(rows, width));
        let ak = View::rows(&chunk.lower[rows * both..], both).transposed();
        product((rows, width, rows), of_v, Output::Accumulate, ak, View::rows(start, width));
    }

    /// The gradients of a row, once; the last row of the chunk comes first.
    pub(super) fn of_row(&mut self, chunk: &Chunk, row: usize) -> OfRow<'_> {
        let width = chunk.width;
        let (here, below) = (row * width..(row + 1) * width, chunk.rows * width);
        let ((r, a), (k, b)) = (self.ra.split_at_mut(below), self.kb.split_at_mut(below));
        let [r, a, k, b] = [r, a, k, b].map(|x| &mut x[here.clone()]);
        let (r_of, a_of) = chunk.ra.split_at(below);
        let (k_of, b_of) = chunk.kb.split_at(below);
        let of = [r_of, a_of, k_of, b_of].map(|x| &x[here.clone()]);
        unsum([&*r, &*a, &*k, &*b], of, &mut self.sums, &mut self.decay);
        let [grown, before, shrunk] = [&chunk.grown, &chunk.before, &chunk.shrunk].map(|x| &x[here.clone()]);
        multiply_by(r, grown);
        multiply_by(a, before);
        multiply_by(k, shrunk);
        multiply_by(b, shrunk);
        OfRow { receptance: r, removal: a, written: k, replacement: b, value: &mut self.vu[here], decay: &self.decay }
    }
}

/// Sets what is above the diagonals of the quarters to zero; in the lower ones, the diagonals too.
fn keep_lower(matrix: &mut [f32], rows: usize) {
    for (index, row) in matrix.chunks_exact_mut(2 * rows).enumerate() {
        let keeps = if index < rows { index + 1 } else { index - rows };
        row[keeps..rows].fill(0.0);
        row[rows + keeps..].fill(0.0);
    }
}

simd! {
    /// Of the log decays of a row, and `sums` of those before it, which become those with it: e^G, e^(G before), e^-G.
    fn powers(decay: &[f32], sums: &mut [f32], grown: &mut [f32], before: &mut [f32], shrunk: &mut [f32]) {
        let width = sums.len();
        let (decay, grown) = (&decay[..width], &mut grown[..width]);
        let (before, shrunk) = (&mut before[..width], &mut shrunk[..width]);
        for i in 0..width {
            before[i] = exp::<A>(sums[i]);
            sums[i] += decay[i];
            grown[i] = exp::<A>(sums[i]);
            shrunk[i] = 1.0 / grown[i];
        }
    }

    /// The gradients of the log decays of a row by those of r~, a~, k^, b^ and what these are; `sums` become those of the row before.
    fn unsum(grads: [&[f32]; 4], of: [&[f32]; 4], sums: &mut [f32], decay: &mut [f32]) {
        let width = sums.len();
        let ([r, a, k, b], [r_of, a_of, k_of, b_of]) = (grads.map(|x| &x[..width]), of.map(|x| &x[..width]));
        let decay = &mut decay[..width];
        for i in 0..width {
            decay[i] = sums[i] + r[i] * r_of[i] - k[i] * k_of[i] - b[i] * b_of[i];
            sums[i] = A::fma(a[i], a_of[i], decay[i]);
        }
    }

    /// `out = factor x y`.
    fn times(x: &[f32], y: &[f32], factor: f32, out: &mut [f32]) {
        for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
            *out = factor * x * y;
        }
    }

    /// Adds the products of `state`, a gradient, and `after` to `sums`, and turns it into that of what `factors` have multiplied.
    fn fade(state: &mut [f32], after: &[f32], factors: &[f32], sums: &mut [f32]) {
        for (((state, after), factor), sum) in state.iter_mut().zip(after).zip(factors).zip(sums) {
            *sum = A::fma(*state, *after, *sum);
            *state *= factor;
        }
    }

    fn multiply_by(x: &mut [f32], factors: &[f32]) {
        for (x, factor) in x.iter_mut().zip(factors) {
            *x *= factor;
        }
    }

    /// x_i += sum over j < i of factors_ij x_j, from the first row on; rows of `factors` are `stride` apart.
    fn solve_down(factors: &[f32], stride: usize, x: &mut [f32], width: usize) {
        for row in 1..x.len() / width {
            let (known, rest) = x.split_at_mut(row * width);
            for (known, factor) in known.chunks_exact(width).zip(&factors[row * stride..]) {
                for (x, known) in rest[..width].iter_mut().zip(known) {
                    *x = A::fma(*factor, *known, *x);
                }
            }
        }
    }

    /// The transpose: x_j += sum over i > j of factors_ij x_i, from the last row on.
    fn solve_up(factors: &[f32], stride: usize, x: &mut [f32], width: usize) {
        for row in (1..x.len() / width).rev() {
            let (earlier, own) = x.split_at_mut(row * width);
            for (earlier, factor) in earlier.chunks_exact_mut(width).zip(&factors[row * stride..]) {
                for (x, own) in earlier.iter_mut().zip(&own[..width]) {
                    *x = A::fma(*factor, *own, *x);
                }
            }
        }
    }
}
