//! One chunk of one head.

use super::{CHUNK, Wkv7Inputs};
use crate::convolution::multiply_add;
use crate::cost::{Cost, count_cost};
use crate::matmul::{Output, Threads, View, multiply};
use crate::simd::{exp, simd};

/// Where the rows of a chunk lie in the inputs.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// First element.
    pub(super) first: usize,
    /// Elements from one row to the next.
    pub(super) stride: usize,
    /// How many.
    pub(super) rows: usize,
}

/// What a chunk's products are made of: `[rows, width]` each, but `[rows, rows]` for the four lower matrices.
pub(super) struct Chunk {
    width: usize,
    rows: usize,
    /// e^G, e^(G before), e^-G.
    grown: Vec<f32>,
    before: Vec<f32>,
    shrunk: Vec<f32>,
    /// r~, k^, a~, b^.
    r: Vec<f32>,
    k: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    v: Vec<f32>,
    u: Vec<f32>,
    /// Rows of the output.
    out: Vec<f32>,
    /// lower(r~ k^T), lower(r~ b^T), and without the diagonal lower(a~ k^T), lower(a~ b^T).
    rk: Vec<f32>,
    rb: Vec<f32>,
    ak: Vec<f32>,
    ab: Vec<f32>,
}

/// Which elements of a square matrix stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lower {
    WithDiagonal,
    Strict,
}

/// `out [m, n] (+)= a b` on the calling thread, rows without gaps.
fn product(shape: (usize, usize, usize), out: &mut [f32], output: Output, a: View<'_>, b: View<'_>) {
    multiply(shape, (out, shape.1, output), a, b, Threads::One);
}

/// Sets what is above to zero.
fn lower(matrix: &mut [f32], size: usize, keeps: Lower) {
    for (index, row) in matrix.chunks_exact_mut(size).enumerate() {
        row[index + usize::from(keeps == Lower::WithDiagonal)..].fill(0.0);
    }
}

/// What [`Chunk::solve`] executes; the backward pass does so again.
fn again_cost(rows: usize, width: usize) -> Cost {
    let product = Cost::of_product;
    product(rows, rows, width) * 4 + product(rows, width, rows) + product(rows, width, width) + solve_cost(rows, width)
}

/// Of a triangular solve.
fn solve_cost(rows: usize, width: usize) -> Cost {
    Cost { macs: (rows * (rows.max(1) - 1) / 2 * width) as u64, elements: (2 * rows * width) as u64 }
}

pub(super) fn forward_cost(rows: usize, width: usize) -> Cost {
    let product = Cost::of_product;
    again_cost(rows, width)
        + product(rows, width, rows) * 2
        + product(rows, width, width)
        + product(width, width, rows) * 2
}

pub(super) fn backward_cost(rows: usize, width: usize) -> Cost {
    let product = Cost::of_product;
    again_cost(rows, width)
        + product(rows, width, width) * 6
        + product(rows, rows, width) * 4
        + product(rows, width, rows) * 11
        + product(width, width, rows) * 2
        + solve_cost(rows, width)
}

impl Chunk {
    pub(super) fn new(width: usize) -> Self {
        let rows = || vec![0.0; CHUNK * width];
        let square = || vec![0.0; CHUNK * CHUNK];
        Self {
            width,
            rows: 0,
            grown: rows(),
            before: rows(),
            shrunk: rows(),
            r: rows(),
            k: rows(),
            a: rows(),
            b: rows(),
            v: rows(),
            u: rows(),
            out: rows(),
            rk: square(),
            rb: square(),
            ak: square(),
            ab: square(),
        }
    }

    /// Reads its rows.
    pub(super) fn load(&mut self, inputs: &Wkv7Inputs<'_>, place: &Place) {
        let width = self.width;
        self.rows = place.rows;
        let mut sums = vec![0.0; width];
        for row in 0..place.rows {
            let from = place.first + row * place.stride;
            let of_row = inputs.all().map(|input| &input[from..][..width]);
            let Self { grown, before, shrunk, r, k, a, b, v, .. } = self;
            let here = [grown, before, shrunk, r, k, a, b, v].map(|rows| &mut rows[row * width..][..width]);
            factor(of_row, &mut sums, here);
        }
    }

    /// The four lower matrices, and U of the state S at the start.
    fn solve(&mut self, state: &[f32]) {
        let (rows, width) = (self.rows, self.width);
        let Self { r, k, a, b, v, u, rk, rb, ak, ab, .. } = self;
        let kept = |left: &[f32], right: &[f32], out: &mut [f32], keeps: Lower| {
            product(
                (rows, rows, width),
                out,
                Output::Overwrite,
                View::rows(left, width),
                View::rows(right, width).transposed(),
            );
            lower(&mut out[..rows * rows], rows, keeps);
        };
        kept(r, k, rk, Lower::WithDiagonal);
        kept(r, b, rb, Lower::WithDiagonal);
        kept(a, k, ak, Lower::Strict);
        kept(a, b, ab, Lower::Strict);
        product((rows, width, rows), u, Output::Overwrite, View::rows(ak, rows), View::rows(v, width));
        product(
            (rows, width, width),
            u,
            Output::Accumulate,
            View::rows(a, width),
            View::rows(state, width).transposed(),
        );
        // U_i += sum over j < i of ab_ij U_j.
        for row in 1..rows {
            let (known, rest) = u.split_at_mut(row * width);
            for (known, factor) in known.chunks_exact(width).zip(&ab[row * rows..]) {
                add_scaled(known, *factor, &mut rest[..width]);
            }
        }
        count_cost(solve_cost(rows, width));
    }

    /// Writes the rows of the output; `state` becomes that after the chunk.
    pub(super) fn forward(&mut self, state: &mut [f32], y: &mut [&mut [f32]]) {
        self.solve(state);
        let (rows, width) = (self.rows, self.width);
        let Self { r, k, b, v, u, rk, rb, grown, out, .. } = self;
        product((rows, width, rows), out, Output::Overwrite, View::rows(rk, rows), View::rows(v, width));
        product((rows, width, rows), out, Output::Accumulate, View::rows(rb, rows), View::rows(u, width));
        product(
            (rows, width, width),
            out,
            Output::Accumulate,
            View::rows(r, width),
            View::rows(state, width).transposed(),
        );
        y.iter_mut().zip(out.chunks_exact(width)).for_each(|(y, row)| y.copy_from_slice(row));
        product(
            (width, width, rows),
            state,
            Output::Accumulate,
            View::rows(v, width).transposed(),
            View::rows(k, width),
        );
        product(
            (width, width, rows),
            state,
            Output::Accumulate,
            View::rows(u, width).transposed(),
            View::rows(b, width),
        );
        let last = &grown[(rows - 1) * width..][..width];
        state.chunks_exact_mut(width).for_each(|row| multiply_by(row, last));
    }
}

/// Gradients of what a chunk holds, by the same names, and of the state.
pub(super) struct Gradients {
    r: Vec<f32>,
    k: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    v: Vec<f32>,
    u: Vec<f32>,
    rk: Vec<f32>,
    rb: Vec<f32>,
    ak: Vec<f32>,
    ab: Vec<f32>,
    /// Of the output.
    y: Vec<f32>,
    /// Of the state after the chunk, then of that before it.
    state: Vec<f32>,
    /// Of the last G, by the state after.
    last: Vec<f32>,
}

impl Gradients {
    pub(super) fn new(width: usize) -> Self {
        let rows = || vec![0.0; CHUNK * width];
        let square = || vec![0.0; CHUNK * CHUNK];
        Self {
            r: rows(),
            k: rows(),
            a: rows(),
            b: rows(),
            v: rows(),
            u: rows(),
            rk: square(),
            rb: square(),
            ak: square(),
            ab: square(),
            y: rows(),
            state: vec![0.0; width * width],
            last: vec![0.0; width],
        }
    }

    /// Takes the gradient of the state after a chunk, which it holds, and that of the output through it. `states`: before and after.
    pub(super) fn run(&mut self, chunk: &mut Chunk, states: (&[f32], &[f32]), (grad, place): (&[f32], &Place)) {
        let (before, after) = states;
        chunk.solve(before);
        let (rows, width) = (chunk.rows, chunk.width);
        for (row, y) in self.y.chunks_exact_mut(width).take(rows).enumerate() {
            y.copy_from_slice(&grad[place.first + row * place.stride..][..width]);
        }
        self.last.fill(0.0);
        let grown = &chunk.grown[(rows - 1) * width..][..width];
        for (state, after) in self.state.chunks_exact_mut(width).zip(after.chunks_exact(width)) {
            multiply_add(state, after, &mut self.last);
            multiply_by(state, grown);
        }
        self.through_state_and_output(chunk, before);
        self.through_solve(chunk, before);
        self.through_lowers(chunk);
    }

    fn through_state_and_output(&mut self, chunk: &Chunk, before: &[f32]) {
        let (rows, width) = (chunk.rows, chunk.width);
        let Self { r, k, b, v, u, rk, rb, y, state, .. } = self;
        let by_state = |left: &[f32], state: View<'_>, out: &mut [f32]| {
            product((rows, width, width), out, Output::Overwrite, View::rows(left, width), state);
        };
        by_state(&chunk.v, View::rows(state, width), k);
        by_state(&chunk.k, View::rows(state, width).transposed(), v);
        by_state(&chunk.u, View::rows(state, width), b);
        by_state(&chunk.b, View::rows(state, width).transposed(), u);
        by_state(y, View::rows(before, width), r);
        for (matrix, of_matrix, (right, of_right)) in [(&chunk.rk, rk, (&chunk.v, v)), (&chunk.rb, rb, (&chunk.u, u))] {
            product(
                (rows, rows, width),
                of_matrix,
                Output::Overwrite,
                View::rows(y, width),
                View::rows(right, width).transposed(),
            );
            lower(&mut of_matrix[..rows * rows], rows, Lower::WithDiagonal);
            product(
                (rows, width, rows),
                of_right,
                Output::Accumulate,
                View::rows(matrix, rows).transposed(),
                View::rows(y, width),
            );
        }
        product(
            (width, width, rows),
            state,
            Output::Accumulate,
            View::rows(y, width).transposed(),
            View::rows(&chunk.r, width),
        );
    }

    /// From the gradient of U to that of what the solve begins with, which takes its place.
    fn through_solve(&mut self, chunk: &Chunk, before: &[f32]) {
        let (rows, width) = (chunk.rows, chunk.width);
        let Self { a, v, u, ak, ab, state, .. } = self;
        for row in (1..rows).rev() {
            let (earlier, own) = u.split_at_mut(row * width);
            for (earlier, factor) in earlier.chunks_exact_mut(width).zip(&chunk.ab[row * rows..]) {
                add_scaled(&own[..width], *factor, earlier);
            }
        }
        count_cost(solve_cost(rows, width));
        for (of_matrix, right) in [(ak, &chunk.v), (ab, &chunk.u)] {
            product(
                (rows, rows, width),
                of_matrix,
                Output::Overwrite,
                View::rows(u, width),
                View::rows(right, width).transposed(),
            );
            lower(&mut of_matrix[..rows * rows], rows, Lower::Strict);
        }
        let ak = View::rows(&chunk.ak, rows);
        product((rows, width, rows), v, Output::Accumulate, ak.transposed(), View::rows(u, width));
        product((rows, width, width), a, Output::Overwrite, View::rows(u, width), View::rows(before, width));
        product(
            (width, width, rows),
            state,
            Output::Accumulate,
            View::rows(u, width).transposed(),
            View::rows(&chunk.a, width),
        );
    }

    fn through_lowers(&mut self, chunk: &Chunk) {
        let (rows, width) = (chunk.rows, chunk.width);
        let Self { r, k, a, b, rk, rb, ak, ab, .. } = self;
        let lowers =
            [(rk, &chunk.r, &chunk.k), (rb, &chunk.r, &chunk.b), (ak, &chunk.a, &chunk.k), (ab, &chunk.a, &chunk.b)];
        for (index, (matrix, left, right)) in lowers.into_iter().enumerate() {
            let of_left = if index < 2 { &mut *r } else { &mut *a };
            let of_right = if index % 2 == 0 { &mut *k } else { &mut *b };
            let matrix = View::rows(matrix, rows);
            product((rows, width, rows), of_left, Output::Accumulate, matrix, View::rows(right, width));
            product((rows, width, rows), of_right, Output::Accumulate, matrix.transposed(), View::rows(left, width));
        }
    }

    /// Writes the gradients of r, w, k, v, a, b, rows of each.
    pub(super) fn write(&self, chunk: &Chunk, rows: [&mut [&mut [f32]]; 6]) {
        let [dr, dw, dk, dv, da, db] = rows;
        // Of the sum of the log decays up to a row, by all that it reaches.
        let mut sums = self.last.clone();
        for row in (0..chunk.rows).rev() {
            dv[row].copy_from_slice(&self.v[row * chunk.width..][..chunk.width]);
            for (channel, sum) in sums.iter_mut().enumerate() {
                let at = row * chunk.width + channel;
                let (r, k, a, b) = (self.r[at], self.k[at], self.a[at], self.b[at]);
                *sum += r * chunk.r[at] - k * chunk.k[at] - b * chunk.b[at];
                dw[row][channel] = *sum;
                *sum += a * chunk.a[at];
                dr[row][channel] = r * chunk.grown[at];
                dk[row][channel] = k * chunk.shrunk[at];
                da[row][channel] = a * chunk.before[at];
                db[row][channel] = b * chunk.shrunk[at];
            }
        }
    }
}

simd! {
    /// A row of r, w, k, v, a, b; `sums` are of the log decays before it, and then with its own. Writes e^G, e^(G before), e^-G, r~, k^,
    /// a~, b^ and v.
    fn factor(of_row: [&[f32]; 6], sums: &mut [f32], out: [&mut [f32]; 8]) {
        let width = sums.len();
        let [r, w, k, v, a, b] = of_row.map(|part| &part[..width]);
        let [grown, before, shrunk, r_out, k_out, a_out, b_out, v_out] = out.map(|part| &mut part[..width]);
        for i in 0..width {
            before[i] = exp::<A>(sums[i]);
            sums[i] += w[i];
            grown[i] = exp::<A>(sums[i]);
            shrunk[i] = exp::<A>(-sums[i]);
            r_out[i] = r[i] * grown[i];
            k_out[i] = k[i] * shrunk[i];
            a_out[i] = a[i] * before[i];
            b_out[i] = b[i] * shrunk[i];
            v_out[i] = v[i];
        }
    }

    fn add_scaled(x: &[f32], factor: f32, y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = A::fma(*x, factor, *y);
        }
    }

    fn multiply_by(x: &mut [f32], factors: &[f32]) {
        for (x, factor) in x.iter_mut().zip(factors) {
            *x *= factor;
        }
    }
}
