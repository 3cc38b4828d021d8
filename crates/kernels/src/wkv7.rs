//! The recurrence of RWKV-7 (arXiv 2503.14456), head by head, in chunks.
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
mod row;

use rayon::prelude::*;

use crate::columns::columns;
use crate::cost::Cost;
use chunk::{Chunk, Gradients};
pub use row::wkv7_row;

/// Rows of a chunk.
pub(crate) const CHUNK: usize = 32;

/// For each head, from an empty state S `[width, width]`, row = channel of the value, column = channel of the key:
/// S_t = S_(t - 1) diag(e^w) + (S_(t - 1) a) b^T + v k^T and y_t = S_t r.
///
/// ```
/// use percept_kernels::{Wkv7, Wkv7Inputs};
/// let wkv = Wkv7 { batch: 1, rows: 2, heads: 1, width: 1 };
/// // Half of what is there stays; nothing is removed.
/// let inputs = Wkv7Inputs {
///     receptance: &[1.0, 1.0], decay: &[0.5f32.ln(); 2], key: &[1.0, 1.0], value: &[8.0, 1.0], removal: &[0.0; 2], replacement: &[0.0; 2],
/// };
/// let (mut state, mut y) = ([0.0], [0.0; 2]);
/// wkv.forward(&inputs, &mut state, &mut y);
/// assert_eq!((y, state), ([8.0, 5.0], [5.0]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wkv7 {
    /// Sequences.
    pub batch: usize,
    /// Rows per sequence.
    pub rows: usize,
    /// Heads.
    pub heads: usize,
    /// Channels per head.
    pub width: usize,
}

/// What the recurrence reads, each `[batch, rows, heads, width]`.
#[derive(Debug, Clone, Copy)]
pub struct Wkv7Inputs<'a> {
    /// r.
    pub receptance: &'a [f32],
    /// w, the logarithm of the decay, from -0.607 to 0.
    pub decay: &'a [f32],
    /// k.
    pub key: &'a [f32],
    /// v.
    pub value: &'a [f32],
    /// a.
    pub removal: &'a [f32],
    /// b.
    pub replacement: &'a [f32],
}

/// The gradients of [`Wkv7Inputs`], each of its shape.
#[derive(Debug)]
pub struct Wkv7Gradients<'a> {
    /// Of r.
    pub receptance: &'a mut [f32],
    /// Of w.
    pub decay: &'a mut [f32],
    /// Of k.
    pub key: &'a mut [f32],
    /// Of v.
    pub value: &'a mut [f32],
    /// Of a.
    pub removal: &'a mut [f32],
    /// Of b.
    pub replacement: &'a mut [f32],
}

impl Wkv7Inputs<'_> {
    fn all(&self) -> [&[f32]; 6] {
        [self.receptance, self.decay, self.key, self.value, self.removal, self.replacement]
    }
}

impl Wkv7 {
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

    /// Elements of the states before each chunk and after the last one, which the backward pass reads.
    pub fn saved_len(&self) -> usize {
        self.state_len() * (self.rows.div_ceil(CHUNK) + 1)
    }

    fn check(&self, inputs: &Wkv7Inputs<'_>, y: &[f32]) {
        assert_eq!(inputs.all().map(<[f32]>::len), [self.len(); 6], "sizes of the rows");
        assert_eq!(y.len(), self.len(), "size of the output");
    }

    /// The rows of the chunks.
    fn chunks(&self) -> impl DoubleEndedIterator<Item = std::ops::Range<usize>> + ExactSizeIterator + use<> {
        let rows = self.rows;
        (0..rows.div_ceil(CHUNK)).map(move |chunk| chunk * CHUNK..((chunk + 1) * CHUNK).min(rows))
    }

    /// What the forward pass executes.
    pub fn cost(&self) -> Cost {
        self.cost_of(chunk::forward_cost)
    }

    /// What the backward pass executes.
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

    /// Writes `y`, from `state` on, which becomes that after the last row.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward(&self, inputs: &Wkv7Inputs<'_>, state: &mut [f32], y: &mut [f32]) {
        assert_eq!(state.len(), self.state_len(), "size of the state");
        self.each_head(inputs, state, y, |_, _| ());
    }

    /// [`Wkv7::forward`] from the empty state, which keeps what [`Wkv7::backward`] reads: [`Wkv7::saved_len`] elements.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward_saving(&self, inputs: &Wkv7Inputs<'_>, saved: &mut [f32], y: &mut [f32]) {
        assert_eq!(saved.len(), self.saved_len(), "size of the saved states");
        self.each_head(inputs, saved, y, |states, at| {
            let size = self.width * self.width;
            states.copy_within(at * size..(at + 1) * size, (at + 1) * size);
        });
    }

    /// Runs the chunks of each head on its part of `states`; `next` gets the part and the index of a chunk before it runs. With
    /// `states` of one state per head, a chunk changes it; with more, chunk i begins with state i and changes state i + 1.
    fn each_head(
        &self,
        inputs: &Wkv7Inputs<'_>,
        states: &mut [f32],
        y: &mut [f32],
        next: impl Fn(&mut [f32], usize) + Sync,
    ) {
        self.check(inputs, y);
        let (size, heads) = (self.width * self.width, (self.batch * self.heads).max(1));
        let own = (states.len() / heads).max(1);
        let saves = own > size;
        let tasks = states.par_chunks_mut(own).zip(columns(y, (self.rows, self.channels()), self.width)).enumerate();
        tasks.for_each(|(head, (states, mut y))| {
            if saves {
                states[..size].fill(0.0);
            }
            let mut chunk = Chunk::new(self.width);
            for (at, rows) in self.chunks().enumerate() {
                next(states, at);
                let state = if saves { &mut states[(at + 1) * size..][..size] } else { &mut *states };
                chunk.load(inputs, &self.place(head, rows.clone()));
                chunk.forward(state, &mut y[rows]);
            }
        });
    }

    /// Writes the gradients of the inputs from `grad`, that of the output of [`Wkv7::forward_saving`].
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward(&self, inputs: &Wkv7Inputs<'_>, saved: &[f32], grad: &[f32], gradients: Wkv7Gradients<'_>) {
        self.check(inputs, grad);
        assert_eq!(saved.len(), self.saved_len(), "size of the saved states");
        let Wkv7Gradients { receptance, decay, key, value, removal, replacement } = gradients;
        let all = [receptance, decay, key, value, removal, replacement];
        assert_eq!(all.each_ref().map(|gradient| gradient.len()), [self.len(); 6], "sizes of the gradients");
        let cut = all.map(|gradient| columns(gradient, (self.rows, self.channels()), self.width).into_iter());
        let [mut r, mut w, mut k, mut v, mut a, mut b] = cut;
        let mut tasks = Vec::with_capacity(self.batch * self.heads);
        while let (Some(r), Some(w), Some(k), Some(v), Some(a), Some(b)) =
            (r.next(), w.next(), k.next(), v.next(), a.next(), b.next())
        {
            tasks.push([r, w, k, v, a, b]);
        }
        let size = self.width * self.width;
        let own = saved.len() / tasks.len().max(1);
        tasks.into_par_iter().enumerate().for_each(|(head, mut rows_of)| {
            let saved = &saved[head * own..][..own];
            let (mut chunk, mut gradients) = (Chunk::new(self.width), Gradients::new(self.width));
            for (at, rows) in self.chunks().enumerate().rev() {
                let place = self.place(head, rows.clone());
                chunk.load(inputs, &place);
                let states = saved[at * size..][..2 * size].split_at(size);
                gradients.run(&mut chunk, states, (grad, &place));
                gradients.write(&chunk, rows_of.each_mut().map(|all| &mut all[rows.clone()]));
            }
        });
    }

    /// Where the rows of a head begin, by the elements of each row.
    fn place(&self, head: usize, rows: std::ops::Range<usize>) -> chunk::Place {
        let first = (head / self.heads * self.rows + rows.start) * self.channels() + head % self.heads * self.width;
        chunk::Place { first, stride: self.channels(), rows: rows.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};

    /// r, w, k, v, a, b, one after the other: decays over their whole range, removals of length 1.
    fn inputs(shape: &Wkv7) -> Vec<f32> {
        let len = shape.len();
        let mut all: Vec<f32> = (1..7).flat_map(|seed| random(len, seed)).collect();
        all[len..2 * len].iter_mut().for_each(|w| *w = -0.303 * (*w + 1.0));
        for (kappa, rate) in [(4, 0.0), (5, 1.0)] {
            for row in all[kappa * len..(kappa + 1) * len].chunks_exact_mut(shape.width) {
                let size = row.iter().map(|x| x * x).sum::<f32>().sqrt() + rate;
                row.iter_mut().for_each(|x| *x /= size);
            }
        }
        all
    }

    fn of<'a>(shape: &Wkv7, all: &'a [f32]) -> Wkv7Inputs<'a> {
        let part = |index: usize| &all[index * shape.len()..][..shape.len()];
        Wkv7Inputs {
            receptance: part(0),
            decay: part(1),
            key: part(2),
            value: part(3),
            removal: part(4),
            replacement: part(5),
        }
    }

    /// The definition of a row of a head, w, k, v, a and b, in f64.
    fn advance(state: &mut [f64], [w, k, v, a, b]: [&[f64]; 5]) {
        for (state, v) in state.chunks_exact_mut(w.len()).zip(v) {
            let removed: f64 = state.iter().zip(a).map(|(s, a)| s * a).sum();
            for i in 0..w.len() {
                state[i] = state[i] * w[i].exp() + removed * b[i] + v * k[i];
            }
        }
    }

    /// The definition, row by row in f64; the outputs, and the states after.
    fn plain(shape: &Wkv7, all: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let Wkv7 { batch, rows, heads, width } = *shape;
        let (mut y, mut states) = (vec![0.0; shape.len()], Vec::new());
        for (sequence, head) in (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))) {
            let mut state = vec![0.0; width * width];
            for t in 0..rows {
                let at = ((sequence * rows + t) * heads + head) * width;
                let [r, w, k, v, a, b] = [0, 1, 2, 3, 4, 5].map(|part| &all[part * shape.len() + at..][..width]);
                advance(&mut state, [w, k, v, a, b]);
                for (row, state) in state.chunks_exact(width).enumerate() {
                    y[at + row] = state.iter().zip(r).map(|(s, r)| s * r).sum();
                }
            }
            states.extend(state);
        }
        (y, states)
    }

    fn wide(all: &[f32]) -> Vec<f64> {
        all.iter().map(|x| f64::from(*x)).collect()
    }

    fn gradients(shape: &Wkv7, all: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut y, mut saved) = (vec![9.0; shape.len()], vec![9.0; shape.saved_len()]);
        shape.forward_saving(&of(shape, all), &mut saved, &mut y);
        let mut parts = [(); 6].map(|()| vec![9.0; shape.len()]);
        let [receptance, decay, key, value, removal, replacement] = parts.each_mut().map(Vec::as_mut_slice);
        let out = Wkv7Gradients { receptance, decay, key, value, removal, replacement };
        shape.backward(&of(shape, all), &saved, grad, out);
        (y, parts.concat())
    }

    #[test]
    fn it_is_its_definition() {
        for (batch, rows, heads, width) in
            [(1, 1, 1, 1), (2, 7, 3, 4), (1, CHUNK, 2, 5), (1, CHUNK + 1, 1, 3), (1, 3 * CHUNK - 5, 1, 2)]
        {
            let shape = Wkv7 { batch, rows, heads, width };
            let (all, grad) = (inputs(&shape), random(shape.len(), 9));
            let (y, found) = gradients(&shape, &all, &grad);
            let mut moved = wide(&all);
            close("y", &y, &plain(&shape, &moved).0, 1e-5);
            let mut slope = |index: usize| {
                let at = moved[index];
                let [above, below] = [1e-5, -1e-5].map(|by| {
                    moved[index] = at + by;
                    plain(&shape, &moved).0.iter().zip(&grad).map(|(y, g)| y * f64::from(*g)).sum::<f64>()
                });
                moved[index] = at;
                (above - below) / 2e-5
            };
            let slopes: Vec<f64> = (0..all.len()).map(&mut slope).collect();
            close("gradients", &found, &slopes, 1e-5);
        }
    }

    #[test]
    fn the_strongest_decay_stays_in_range() {
        let shape = Wkv7 { batch: 1, rows: 3 * CHUNK + 5, heads: 1, width: 64 };
        let mut all = inputs(&shape);
        let len = shape.len();
        all[len..2 * len].fill(-0.606_530_66);
        let (y, found) = gradients(&shape, &all, &random(len, 9));
        close("y", &y, &plain(&shape, &wide(&all)).0, 1e-5);
        assert!(found.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn a_stream_goes_on_from_its_state() {
        let whole = Wkv7 { batch: 1, rows: CHUNK + 20, heads: 2, width: 8 };
        let all = inputs(&whole);
        let (y, states) = plain(&whole, &wide(&all));
        let mut state = vec![0.0; whole.state_len()];
        let mut at = 0;
        for rows in [1, 5, CHUNK, 14] {
            let part = Wkv7 { rows, ..whole };
            let cut: Vec<f32> = (0..6)
                .flat_map(|input| &all[input * whole.len() + at * whole.channels()..][..part.len()])
                .copied()
                .collect();
            let mut out = vec![0.0; part.len()];
            part.forward(&of(&part, &cut), &mut state, &mut out);
            close("y", &out, &y[at * whole.channels()..][..part.len()], 1e-5);
            at += rows;
        }
        close("state", &state, &states, 1e-5);
    }

    #[test]
    fn a_million_rows_do_not_drift() {
        let shape = Wkv7 { batch: 1, rows: 10_000, heads: 1, width: 4 };
        let mut all = inputs(&shape);
        let len = shape.len();
        // Two channels hardly forget, and half of what a key stands for is removed.
        all[len..2 * len].chunks_exact_mut(4).for_each(|w| w[..2].fill(-1e-4));
        let (removal, replacement) = all[4 * len..].split_at_mut(len);
        replacement.iter_mut().zip(removal).for_each(|(b, a)| *b = -0.5 * *a);
        let exact = wide(&all);
        let (mut state, mut y, mut expected) = (vec![0.0; shape.state_len()], vec![0.0; len], vec![0.0; 16]);
        for _ in 0..100 {
            shape.forward(&of(&shape, &all), &mut state, &mut y);
            for row in 0..shape.rows {
                advance(&mut expected, [1, 2, 3, 4, 5].map(|part| &exact[part * len + row * 4..][..4]));
            }
        }
        close("state", &state, &expected, 1e-4);
    }

    #[test]
    fn single_rows_are_the_recurrence_too() {
        for width in [3, 16, 20] {
            let shape = Wkv7 { batch: 1, rows: 9, heads: 1, width };
            let all = inputs(&shape);
            let (expected, states) = plain(&shape, &wide(&all));
            let (mut state, mut y) = (vec![0.0; width * width], vec![0.0; shape.len()]);
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                let of = |part: usize| &all[part * shape.len() + row * width..][..width];
                let decay: Vec<f32> = of(1).iter().map(|w| w.exp()).collect();
                wkv7_row([of(0), &decay, of(2), of(3), of(4), of(5)], &mut state, y);
            }
            close("y", &y, &expected, 1e-5);
            close("state", &state, &states, 1e-5);
        }
    }
}
