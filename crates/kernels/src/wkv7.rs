//! RWKV-7's time mix between its maps (arXiv 2503.14456): the recurrence, head by head, in chunks, and what stands around it.
//!
//! Within a chunk everything is products of small matrices. With G_i the sum of the log decays of its rows up to i, r~ = r e^G, a~ = a
//! e^(G before i), k^ = k e^-G, b^ = b e^-G, and S the state at its start:
//!
//! - U = (I - lower(a~ b^T))^-1 (lower(a~ k^T) V + a~ S^T), lower without the diagonal;
//! - Y = Lower(r~ k^T) V + Lower(r~ b^T) U + r~ S^T, Lower with it;
//! - S after it = (S + V^T k^ + U^T b^) diag(e^G of its last row).
//!
//! That is the form of fla's `dplr`, with factored decays: a decay is at least 0.545, so that over [`CHUNK`] rows e^-G is below 3e8.

mod chunk;
mod head;
mod row;

use std::ops::Range;

use rayon::prelude::*;

use crate::columns::columns;
use crate::cost::Cost;
use crate::simd::add;
use chunk::{Chunk, Gradients};
use head::{Bonus, Head};
pub use row::wkv7_row;

/// Rows of a chunk.
pub(crate) const CHUNK: usize = 32;
/// Vectors that a time mix reads.
const VECTORS: usize = 5;

/// Of rows r, d, k, v, alpha and g and vectors k_k, k_a, r_k, gamma and beta. For each head, with w = -e^-0.5 sigmoid(d), rate =
/// sigmoid(alpha), kappa = k k_k of length 1, a = -kappa, b = `removal_scale` kappa rate, and written keys c = k (1 + (rate - 1) k_a), from an
/// empty state S `[width, width]`, row = channel of the value, column = channel of the key:
///
/// S_t = S_(t - 1) diag(e^w) + (S_(t - 1) a) b^T + v c^T and y_t = S_t r.
///
/// The output is y normalised, times gamma, plus beta, plus (sum r c r_k) v, and all that times g.
///
/// ```
/// use percept_kernels::{TimeMix, TimeMixInputs};
/// let mix = TimeMix { batch: 1, rows: 2, heads: 1, width: 2, removal_scale: 1.0, eps: 0.0 };
/// let (zero, one) = ([0.0; 4], [1.0; 4]);
/// // The first channel is written, without decay (e^w = 1 for d far below 0) and removal (no k_k), and then read.
/// let (key, value) = ([1.0, 0.0, 0.0, 0.0], [5.0, 3.0, 0.0, 0.0]);
/// let rows = [&one, &[-99.0; 4], &key, &value, &zero, &one].map(|row| &row[..]);
/// // k_k, k_a, r_k, gamma, beta: what is read, 5 and 3 in both rows, becomes 1 and -1.
/// let vectors = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
/// let (mut state, mut y) = ([0.0; 4], [0.0; 4]);
/// mix.forward(&TimeMixInputs { rows, vectors: &vectors }, &mut state, &mut y);
/// assert_eq!((y, state), ([1.0, -1.0, 1.0, -1.0], [5.0, 0.0, 3.0, 0.0]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeMix {
    /// Sequences.
    pub batch: usize,
    /// Rows per sequence.
    pub rows: usize,
    /// Heads.
    pub heads: usize,
    /// Channels per head.
    pub width: usize,
    /// 1 as published, or 2.
    pub removal_scale: f32,
    /// What is added to the variance in a head.
    pub eps: f32,
}

/// What a time mix reads.
#[derive(Debug, Clone, Copy)]
pub struct TimeMixInputs<'a> {
    /// r, d, k, v, alpha and g, each `[batch, rows, heads, width]`.
    pub rows: [&'a [f32]; 6],
    /// k_k, k_a, r_k, gamma and beta, `[5, heads, width]`.
    pub vectors: &'a [f32],
}

/// The gradients of [`TimeMixInputs`], by the same names and of the same shapes.
#[derive(Debug)]
pub struct TimeMixGradients<'a> {
    /// Of the rows.
    pub rows: [&'a mut [f32]; 6],
    /// Of the vectors.
    pub vectors: &'a mut [f32],
}

/// The rows of a chunk of one head.
struct Piece<'a> {
    rows: [&'a [f32]; 6],
    /// Elements before the first row, from one to the next, and of one.
    first: usize,
    stride: usize,
    width: usize,
    /// How many rows.
    count: usize,
}

impl<'a> Piece<'a> {
    /// r, d, k, v, alpha and g of a row.
    fn row(&self, row: usize) -> [&'a [f32]; 6] {
        self.rows.map(|rows| self.of(rows, row))
    }

    /// The part of `rows` that is this row.
    fn of<'b>(&self, rows: &'b [f32], row: usize) -> &'b [f32] {
        &rows[self.first + row * self.stride..][..self.width]
    }
}

impl TimeMix {
    fn channels(&self) -> usize {
        self.heads * self.width
    }

    fn len(&self) -> usize {
        self.batch * self.rows * self.channels()
    }

    /// Elements of the states: `[batch, heads, width, width]`.
    pub fn state_len(&self) -> usize {
        self.batch * self.channels() * self.width
    }

    /// Elements that the backward pass reads: of each head the states before each chunk and after the last one, and what was read.
    pub fn saved_len(&self) -> usize {
        self.batch * self.heads * self.saved_of_head()
    }

    fn states_of_head(&self) -> usize {
        self.width * self.width * (self.rows.div_ceil(CHUNK) + 1)
    }

    fn saved_of_head(&self) -> usize {
        self.states_of_head() + self.rows * self.width
    }

    fn check(&self, inputs: &TimeMixInputs<'_>, out: &[f32]) {
        assert_eq!((inputs.rows.map(<[f32]>::len), out.len()), ([self.len(); 6], self.len()), "sizes of the rows");
        assert_eq!(inputs.vectors.len(), VECTORS * self.channels(), "size of the vectors");
    }

    /// The rows of the chunks.
    fn chunks(&self) -> impl DoubleEndedIterator<Item = Range<usize>> + ExactSizeIterator + use<> {
        let rows = self.rows;
        (0..rows.div_ceil(CHUNK)).map(move |chunk| chunk * CHUNK..((chunk + 1) * CHUNK).min(rows))
    }

    /// The products of the forward pass.
    pub fn cost(&self) -> Cost {
        self.cost_of(chunk::forward_cost)
    }

    /// Those of the backward pass.
    pub fn backward_cost(&self) -> Cost {
        self.cost_of(chunk::backward_cost)
    }

    /// Of all chunks, by the cost of one of so many rows.
    fn cost_of(&self, chunk: impl Fn(usize, usize) -> Cost) -> Cost {
        let whole = chunk(CHUNK, self.width) * (self.rows / CHUNK) as u64;
        let rest = self.rows % CHUNK;
        let last = if rest == 0 { Cost::default() } else { chunk(rest, self.width) };
        (whole + last) * (self.batch * self.heads) as u64
    }

    /// Some rows of a head of a sequence.
    fn piece<'a>(&self, rows_of: [&'a [f32]; 6], head: usize, rows: Range<usize>) -> Piece<'a> {
        let first = (head / self.heads * self.rows + rows.start) * self.channels() + head % self.heads * self.width;
        Piece { rows: rows_of, first, stride: self.channels(), width: self.width, count: rows.len() }
    }

    fn head<'a>(&self, vectors: &'a [f32], head: usize) -> Head<'a> {
        let of = |which: usize| &vectors[which * self.channels() + head % self.heads * self.width..][..self.width];
        Head {
            removal_key: of(0),
            rate_key: of(1),
            bonus: of(2),
            gamma: of(3),
            beta: of(4),
            removal_scale: self.removal_scale,
            eps: self.eps,
        }
    }

    /// Writes `out`, from `state` on, which becomes that after the last row.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward(&self, inputs: &TimeMixInputs<'_>, state: &mut [f32], out: &mut [f32]) {
        self.check(inputs, out);
        assert_eq!(state.len(), self.state_len(), "size of the state");
        let states = state.par_chunks_mut((self.width * self.width).max(1));
        states.zip(self.by_head(out)).enumerate().for_each(|(head, (state, mut out))| {
            let (mut chunk, mut y) = (Chunk::new(self.width), vec![0.0; CHUNK * self.width]);
            for rows in self.chunks() {
                self.forward_chunk(inputs, (head, rows.clone()), &mut chunk, (state, &mut y), &mut out[rows]);
            }
        });
    }

    /// [`TimeMix::forward`] from the empty state, which keeps what [`TimeMix::backward`] reads: [`TimeMix::saved_len`] elements.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward_saving(&self, inputs: &TimeMixInputs<'_>, saved: &mut [f32], out: &mut [f32]) {
        self.check(inputs, out);
        assert_eq!(saved.len(), self.saved_len(), "size of what is saved");
        let (size, saved) = (self.width * self.width, saved.par_chunks_mut(self.saved_of_head().max(1)));
        saved.zip(self.by_head(out)).enumerate().for_each(|(head, (saved, mut out))| {
            let (states, read) = saved.split_at_mut(self.states_of_head());
            let mut chunk = Chunk::new(self.width);
            states[..size].fill(0.0);
            for (at, rows) in self.chunks().enumerate() {
                states.copy_within(at * size..(at + 1) * size, (at + 1) * size);
                let state = &mut states[(at + 1) * size..][..size];
                let y = &mut read[rows.start * self.width..];
                self.forward_chunk(inputs, (head, rows.clone()), &mut chunk, (state, y), &mut out[rows]);
            }
        });
    }

    /// The rows of each head.
    fn by_head<'a>(&self, rows: &'a mut [f32]) -> Vec<Vec<&'a mut [f32]>> {
        columns(rows, (self.rows, self.channels()), self.width)
    }

    /// Some rows of a head, from `state` on, which becomes that after them; `y` becomes what is read.
    fn forward_chunk(
        &self,
        inputs: &TimeMixInputs<'_>,
        (head, rows): (usize, Range<usize>),
        chunk: &mut Chunk,
        (state, y): (&mut [f32], &mut [f32]),
        out: &mut [&mut [f32]],
    ) {
        let (piece, head) = (self.piece(inputs.rows, head, rows), self.head(inputs.vectors, head));
        chunk.load(&piece, &head);
        chunk.forward(state, y);
        let read = y.chunks_exact(self.width).zip(chunk.written.chunks_exact(self.width));
        for (row, (out, (y, written))) in out.iter_mut().zip(read).enumerate() {
            let [r, _, _, v, _, gate] = piece.row(row);
            head::after([r, written, v, gate], &head, y, out);
        }
    }

    /// Writes the gradients of the inputs from `grad`, that of the output of [`TimeMix::forward_saving`].
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward(&self, inputs: &TimeMixInputs<'_>, saved: &[f32], grad: &[f32], gradients: TimeMixGradients<'_>) {
        self.check(inputs, grad);
        assert_eq!(saved.len(), self.saved_len(), "size of what is saved");
        let TimeMixGradients { rows, vectors } = gradients;
        let sizes = (rows.each_ref().map(|rows| rows.len()), vectors.len());
        assert_eq!(sizes, ([self.len(); 6], inputs.vectors.len()), "sizes of the gradients");
        let mut parts = rows.map(|rows| self.by_head(rows).into_iter());
        let tasks: Vec<[Vec<&mut [f32]>; 6]> = (0..self.batch * self.heads)
            .map(|_| parts.each_mut().map(|part| part.next().unwrap_or_default()))
            .collect();
        let tasks = tasks.into_par_iter().zip(saved.par_chunks(self.saved_of_head().max(1))).enumerate();
        let sums: Vec<[Vec<f32>; VECTORS]> =
            tasks.map(|(head, (rows, saved))| self.backward_head(inputs, head, saved, grad, rows)).collect();
        vectors.fill(0.0);
        // Sequences are added in their order.
        for (head, sums) in sums.iter().enumerate() {
            for (which, sum) in sums.iter().enumerate() {
                add(&mut vectors[which * self.channels() + head % self.heads * self.width..][..self.width], sum);
            }
        }
    }

    /// Of one head of one sequence; returns the gradients of its parts of the vectors.
    fn backward_head(
        &self,
        inputs: &TimeMixInputs<'_>,
        head: usize,
        saved: &[f32],
        grad: &[f32],
        mut out: [Vec<&mut [f32]>; 6],
    ) -> [Vec<f32>; VECTORS] {
        let (width, size) = (self.width, self.width * self.width);
        let (states, read) = saved.split_at(self.states_of_head());
        let of_head = self.head(inputs.vectors, head);
        let mut back = Back::new(width);
        for (at, rows) in self.chunks().enumerate().rev() {
            let piece = self.piece(inputs.rows, head, rows.clone());
            let mut out = out.each_mut().map(|out| &mut out[rows.clone()]);
            back.chunk.load(&piece, &of_head);
            back.after(&piece, &of_head, (&read[rows.start * width..][..rows.len() * width], grad), out[5]);
            back.gradients.run(&mut back.chunk, states[at * size..][..2 * size].split_at(size));
            for row in (0..rows.len()).rev() {
                back.before(&piece, &of_head, row, out.each_mut().map(|out| &mut *out[row]));
            }
        }
        back.sums
    }
}

/// What the way back through a head works with.
struct Back {
    width: usize,
    chunk: Chunk,
    gradients: Gradients,
    /// Gradients of what the gate multiplies, `[rows, width]`.
    inner: Vec<f32>,
    bonus: [Bonus; CHUNK],
    /// Gradients of the vectors so far.
    sums: [Vec<f32>; VECTORS],
}

impl Back {
    fn new(width: usize) -> Self {
        Self {
            width,
            chunk: Chunk::new(width),
            gradients: Gradients::new(width),
            inner: vec![0.0; CHUNK * width],
            bonus: [Bonus::default(); CHUNK],
            sums: std::array::from_fn(|_| vec![0.0; width]),
        }
    }

    /// Through what follows the recurrence, from what was read and the gradient of the output.
    fn after(&mut self, piece: &Piece<'_>, head: &Head<'_>, (read, grad): (&[f32], &[f32]), dgate: &mut [&mut [f32]]) {
        let output = self.gradients.output();
        output[..read.len()].copy_from_slice(read);
        let [_, _, _, dgamma, dbeta] = &mut self.sums;
        let rows = output.chunks_exact_mut(self.width).zip(self.inner.chunks_exact_mut(self.width));
        for (row, (dgate, (y, inner))) in dgate.iter_mut().zip(rows).enumerate() {
            let [r, _, _, v, _, gate] = piece.row(row);
            let of = [r, &self.chunk.written[row * self.width..][..self.width], v, gate];
            let dnorm = [&mut dgamma[..], &mut dbeta[..]];
            self.bonus[row] = head::after_backward(of, head, piece.of(grad, row), y, inner, dgate, dnorm);
        }
    }

    /// Through the bonus and what precedes the recurrence, of one row.
    fn before(&mut self, piece: &Piece<'_>, head: &Head<'_>, row: usize, out: [&mut [f32]; 6]) {
        let [r, _, k, ..] = piece.row(row);
        let [dr, dd, dk, dv, dalpha, _] = out;
        let [dremoval_key, drate_key, dbonus, ..] = &mut self.sums;
        let of = self.gradients.of_row(&self.chunk, row);
        let here = row * self.width..(row + 1) * self.width;
        let inner = &self.inner[here.clone()];
        let [written, rate, a, decay] = [&self.chunk.written, &self.chunk.rate, &self.chunk.removal, &self.chunk.decay]
            .map(|rows| &rows[here.clone()]);
        let (read, bonus) = ([r, written, inner], self.bonus[row]);
        head::bonus_backward(read, head.bonus, bonus, of.receptance, of.written, of.value, dbonus);
        dr.copy_from_slice(of.receptance);
        dv.copy_from_slice(of.value);
        head::decays_backward(decay, of.decay, dd);
        let key = [k, rate, a];
        head::rates_backward(key, head, [&*of.written, &*of.replacement], of.removal, dalpha, drate_key);
        let inverse = self.chunk.inverse[row];
        head::removals_backward(key, head, inverse, [&*of.written, &*of.removal], dk, dremoval_key);
    }
}

#[cfg(test)]
mod tests;
