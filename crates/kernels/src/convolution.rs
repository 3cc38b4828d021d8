//! Depthwise causal convolution over the rows of sequences.

use crate::cost::{Cost, count_cost};
use crate::simd::simd;
use rayon::prelude::*;

/// Rows per task.
const ROWS: usize = 64;

/// `y[t, c] = sum over i of taps[i, c] x[t - i, c]`, with `x` zero before the first row of its sequence.
/// `x`, `y`: `[batch, rows, channels]`; `taps`: `[width, channels]`.
///
/// ```
/// use percept_kernels::Convolution;
/// let convolution = Convolution { batch: 1, rows: 4, channels: 1, width: 2 };
/// let mut y = [0.0; 4];
/// // Each row less the one before it.
/// convolution.forward(&[1.0, 4.0, 9.0, 16.0], &[1.0, -1.0], &mut y);
/// assert_eq!(y, [1.0, 3.0, 5.0, 7.0]);
/// // The first row has one neighbour less.
/// assert_eq!(convolution.cost().macs, 4 * 2 - 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Sequences.
    pub batch: usize,
    /// Rows per sequence.
    pub rows: usize,
    /// Channels per row.
    pub channels: usize,
    /// Rows that an output sees, its own included.
    pub width: usize,
}

impl Convolution {
    fn len(&self) -> usize {
        self.batch * self.rows * self.channels
    }

    fn check(&self, x: &[f32], taps: &[f32], y: &[f32]) {
        assert_eq!((x.len(), y.len()), (self.len(), self.len()), "sizes of a convolution's rows");
        assert_eq!(taps.len(), self.width * self.channels, "size of a convolution's taps");
    }

    /// What the forward pass executes; the backward pass executes two products that cost the same.
    pub fn cost(&self) -> Cost {
        let multiplied: usize = (0..self.rows).map(|row| (row + 1).min(self.width)).sum();
        Cost {
            macs: (self.batch * multiplied * self.channels) as u64,
            elements: (2 * self.len() + self.width * self.channels) as u64,
        }
    }

    /// Writes `y`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward(&self, x: &[f32], taps: &[f32], y: &mut [f32]) {
        self.check(x, taps, y);
        self.each_row(y, |t, at, y| {
            y.fill(0.0);
            for (back, taps) in taps.chunks_exact(self.channels).enumerate().take(t + 1) {
                multiply_add(taps, &x[at - back * self.channels..][..self.channels], y);
            }
        });
        count_cost(self.cost());
    }

    /// Writes `dx` and `dtaps`, the gradients of `x` and `taps`, from `grad`, that of `y`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward(&self, x: &[f32], taps: &[f32], grad: &[f32], dx: &mut [f32], dtaps: &mut [f32]) {
        self.check(x, taps, grad);
        assert_eq!((dx.len(), dtaps.len()), (x.len(), taps.len()), "sizes of a convolution's gradients");
        self.each_row(dx, |t, at, dx| {
            dx.fill(0.0);
            for (ahead, taps) in taps.chunks_exact(self.channels).enumerate().take(self.rows - t) {
                multiply_add(taps, &grad[at + ahead * self.channels..][..self.channels], dx);
            }
        });
        self.taps_gradient(x, grad, dtaps);
        count_cost(self.cost() + self.cost());
    }

    /// Sums of blocks of rows, which are then added in their order.
    fn taps_gradient(&self, x: &[f32], grad: &[f32], dtaps: &mut [f32]) {
        let channels = self.channels.max(1);
        let block = |(index, grad): (usize, &[f32])| {
            let mut sums = vec![0.0; dtaps.len()];
            for (row, grad) in grad.chunks_exact(channels).enumerate() {
                let row = index * ROWS + row;
                for (back, sums) in sums.chunks_exact_mut(channels).enumerate().take(row % self.rows + 1) {
                    multiply_add(grad, &x[(row - back) * channels..][..channels], sums);
                }
            }
            sums
        };
        let blocks: Vec<Vec<f32>> = grad.par_chunks(ROWS * channels).enumerate().map(block).collect();
        dtaps.fill(0.0);
        for sums in blocks {
            dtaps.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
    }

    /// Calls `write` for each row of `out` with its index within the sequence, where it begins, and itself.
    fn each_row(&self, out: &mut [f32], write: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let channels = self.channels.max(1);
        out.par_chunks_mut(ROWS * channels).enumerate().for_each(|(task, out)| {
            for (row, out) in out.chunks_exact_mut(channels).enumerate() {
                let row = task * ROWS + row;
                write(row % self.rows, row * channels, out);
            }
        });
    }
}

simd! {
    /// `y += a * b`, element by element.
    pub fn multiply_add(a: &[f32], b: &[f32], y: &mut [f32]) {
        for ((a, b), y) in a.iter().zip(b).zip(y) {
            *y = A::fma(*a, *b, *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    /// The definition, and its gradients, in f64.
    fn plain(shape: &Convolution, x: &[f32], taps: &[f32], grad: &[f32]) -> [Vec<f64>; 3] {
        let Convolution { batch, rows, channels, width } = *shape;
        let (mut y, mut dx, mut dtaps) = (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; taps.len()]);
        for (b, t, c, i) in (0..batch).flat_map(|b| {
            (0..rows)
                .flat_map(move |t| (0..channels).flat_map(move |c| (0..width.min(t + 1)).map(move |i| (b, t, c, i))))
        }) {
            let at = |t: usize| (b * rows + t) * channels + c;
            let tap = i * channels + c;
            y[at(t)] += f64::from(taps[tap]) * f64::from(x[at(t - i)]);
            dx[at(t - i)] += f64::from(taps[tap]) * f64::from(grad[at(t)]);
            dtaps[tap] += f64::from(x[at(t - i)]) * f64::from(grad[at(t)]);
        }
        [y, dx, dtaps]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_its_definition(batch in 1..4usize, rows in 1..150usize, channels in 1..40usize, width in 1..9usize) {
            let shape = Convolution { batch, rows, channels, width };
            let (x, grad) = (random(shape.len(), 1), random(shape.len(), 2));
            let taps = random(width * channels, 3);
            let (mut y, mut dx, mut dtaps) = (vec![9.0; x.len()], vec![9.0; x.len()], vec![9.0; taps.len()]);
            shape.forward(&x, &taps, &mut y);
            shape.backward(&x, &taps, &grad, &mut dx, &mut dtaps);
            let [plain_y, plain_dx, plain_dtaps] = plain(&shape, &x, &taps, &grad);
            close("y", &y, &plain_y, 1e-5);
            close("dx", &dx, &plain_dx, 1e-5);
            close("dtaps", &dtaps, &plain_dtaps, 1e-5);
        }
    }
}
