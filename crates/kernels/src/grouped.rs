//! Causal convolution, or a linear map, whose channels fall into groups that do not mix.

use crate::cost::Cost;
use crate::matmul::{Output, View, product};
use crate::precision::Precision;
use crate::simd;
use rayon::prelude::*;

/// Rows per task.
const ROWS: usize = 64;

/// `y[t, g] = sum over i < width of x[t - i, g] taps[i, g]`, a product per group g, with `x` zero before the first row of its
/// sequence. With a width of 1 it is a linear map whose matrix is block-diagonal.
///
/// `x`: `[batch, rows, groups, input]`; `y`: `[batch, rows, groups, output]`; `taps`: `[width, input, groups, output]`.
///
/// ```
/// use percept_kernels::{Grouped, Precision};
/// let map = Grouped { batch: 1, rows: 2, groups: 2, input: 1, output: 1, width: 2, precision: Precision::F32 };
/// let mut y = [0.0; 4];
/// // The first group is doubled; the second one takes the row before.
/// map.forward(&[1.0, 5.0, 3.0, 7.0], &[2.0, 0.0, 0.0, 1.0], &mut y);
/// assert_eq!(y, [2.0, 0.0, 6.0, 5.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouped {
    /// Sequences.
    pub batch: usize,
    /// Rows per sequence.
    pub rows: usize,
    /// Groups.
    pub groups: usize,
    /// Channels of a group of x.
    pub input: usize,
    /// Channels of a group of y.
    pub output: usize,
    /// Rows that an output sees, its own included.
    pub width: usize,
    /// The format of the products' operands.
    pub precision: Precision,
}

impl Grouped {
    fn all_rows(&self) -> usize {
        self.batch * self.rows
    }

    fn inputs(&self) -> usize {
        self.groups * self.input
    }

    fn outputs(&self) -> usize {
        self.groups * self.output
    }

    /// What a group's output is a product of, per row.
    fn depth(&self) -> usize {
        self.width * self.input
    }

    fn check(&self, x: &[f32], taps: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.all_rows() * self.inputs(), "size of x");
        assert_eq!(y.len(), self.all_rows() * self.outputs(), "size of y");
        assert_eq!(taps.len(), self.depth() * self.outputs(), "size of the taps");
    }

    /// What the forward pass executes; the backward pass executes two that cost the same.
    pub fn cost(&self) -> Cost {
        Cost::of_product(self.batch.saturating_mul(self.rows), self.output, self.depth()) * self.groups as u64
    }

    /// Writes `y`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward(&self, x: &[f32], taps: &[f32], y: &mut [f32]) {
        self.check(x, taps, y);
        let outputs = self.outputs();
        let mut patches = self.patches();
        for group in 0..self.groups {
            let sizes = (self.all_rows(), self.output, self.depth());
            let weight = View::rows(&taps[group * self.output..], outputs);
            let input = self.gather(x, group, &mut patches);
            product(self.precision, sizes, (&mut y[group * self.output..], outputs, Output::Overwrite), input, weight);
        }
    }

    /// Writes the gradients of x and taps from `grad`, that of y.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward(&self, x: &[f32], taps: &[f32], grad: &[f32], dx: &mut [f32], dtaps: &mut [f32]) {
        self.check(x, taps, grad);
        assert_eq!((dx.len(), dtaps.len()), (x.len(), taps.len()), "sizes of the gradients");
        let (rows, outputs) = (self.all_rows(), self.outputs());
        let mut patches = self.patches();
        for group in 0..self.groups {
            let first = group * self.output;
            let grad = View::rows(&grad[first..], outputs);
            let input = self.gather(x, group, &mut patches).transposed();
            let sizes = (self.depth(), self.output, rows);
            product(self.precision, sizes, (&mut dtaps[first..], outputs, Output::Overwrite), input, grad);
            let weight = View::rows(&taps[first..], outputs).transposed();
            let sizes = (rows, self.depth(), self.output);
            match self.width {
                1 => {
                    let out = (&mut dx[group * self.input..], self.inputs(), Output::Overwrite);
                    product(self.precision, sizes, out, grad, weight);
                }
                _ => {
                    product(self.precision, sizes, (&mut patches, self.depth(), Output::Overwrite), grad, weight);
                    self.scatter(&patches, group, dx);
                }
            }
        }
    }

    /// Room for the rows that each row of one group sees; none is needed where it sees its own alone.
    fn patches(&self) -> Vec<f32> {
        vec![0.0; if self.width == 1 { 0 } else { self.all_rows() * self.depth() }]
    }

    /// The rows that each row of a group sees, `[rows, width input]`.
    fn gather<'a>(&self, x: &'a [f32], group: usize, patches: &'a mut [f32]) -> View<'a> {
        let first = group * self.input;
        if self.width == 1 {
            return View::rows(&x[first..], self.inputs());
        }
        patches.par_chunks_mut(self.depth()).with_min_len(ROWS).enumerate().for_each(|(row, patch)| {
            for (back, part) in patch.chunks_exact_mut(self.input).enumerate() {
                match back <= row % self.rows {
                    true => part.copy_from_slice(&x[(row - back) * self.inputs() + first..][..self.input]),
                    false => part.fill(0.0),
                }
            }
        });
        View::rows(patches, self.depth())
    }

    /// Adds up what each row of a group gets from the rows that see it.
    fn scatter(&self, patches: &[f32], group: usize, dx: &mut [f32]) {
        dx.par_chunks_mut(self.inputs()).with_min_len(ROWS).enumerate().for_each(|(row, dx)| {
            let dx = &mut dx[group * self.input..][..self.input];
            dx.fill(0.0);
            for ahead in 0..self.width.min(self.rows - row % self.rows) {
                simd::add(dx, &patches[(row + ahead) * self.depth() + ahead * self.input..][..self.input]);
            }
        });
    }

    /// One new row, `y [groups, output]`, of rows `row(i) [groups, input]` that lie i < `seen` back; adds to what stands in y.
    pub fn step<'a>(&self, seen: usize, row: impl Fn(usize) -> &'a [f32], taps: &[f32], y: &mut [f32]) {
        let outputs = self.outputs();
        for (back, taps) in taps.chunks_exact(self.input * outputs).enumerate().take(seen) {
            let row = row(back);
            for (channel, taps) in taps.chunks_exact(outputs).enumerate() {
                add_weighted((row, channel, self.input), (taps, self.output), y);
            }
        }
    }
}

simd::simd! {
    /// Adds to each group of y its taps times one channel of the same group of x.
    fn add_weighted(x: (&[f32], usize, usize), taps: (&[f32], usize), y: &mut [f32]) {
        let ((x, channel, input), (taps, output)) = (x, taps);
        let groups = x.chunks_exact(input).zip(taps.chunks_exact(output)).zip(y.chunks_exact_mut(output));
        for ((x, taps), y) in groups {
            let x = x[channel];
            for (y, tap) in y.iter_mut().zip(taps) {
                *y = A::fma(x, *tap, *y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    /// The definition, and its gradients, in f64.
    fn plain(map: &Grouped, x: &[f32], taps: &[f32], grad: &[f32]) -> [Vec<f64>; 3] {
        let Grouped { batch, rows, groups, input, output, width, .. } = *map;
        let (mut y, mut dx, mut dtaps) = (vec![0.0; grad.len()], vec![0.0; x.len()], vec![0.0; taps.len()]);
        for (b, t, g) in (0..batch).flat_map(|b| (0..rows * groups).map(move |at| (b, at / groups, at % groups))) {
            for (back, c, o) in (0..width.min(t + 1) * input * output)
                .map(|at| (at / (input * output), at / output % input, at % output))
            {
                let from = ((b * rows + t - back) * groups + g) * input + c;
                let to = ((b * rows + t) * groups + g) * output + o;
                let tap = ((back * input + c) * groups + g) * output + o;
                y[to] += f64::from(x[from]) * f64::from(taps[tap]);
                dx[from] += f64::from(grad[to]) * f64::from(taps[tap]);
                dtaps[tap] += f64::from(grad[to]) * f64::from(x[from]);
            }
        }
        [y, dx, dtaps]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_its_definition(
            batch in 1..3usize, rows in 1..100usize, groups in 1..5usize, input in 1..20usize, output in 1..20usize,
            width in 1..9usize,
        ) {
            let map = Grouped { batch, rows, groups, input, output, width, precision: Precision::F32 };
            let x = random(batch * rows * groups * input, 1);
            let taps = random(width * input * groups * output, 2);
            let grad = random(batch * rows * groups * output, 3);
            let [plain_y, plain_dx, plain_dtaps] = plain(&map, &x, &taps, &grad);
            let mut y = vec![9.0; grad.len()];
            map.forward(&x, &taps, &mut y);
            close("y", &y, &plain_y, 1e-5);
            let (mut dx, mut dtaps) = (vec![9.0; x.len()], vec![9.0; taps.len()]);
            map.backward(&x, &taps, &grad, &mut dx, &mut dtaps);
            close("dx", &dx, &plain_dx, 1e-5);
            close("dtaps", &dtaps, &plain_dtaps, 1e-5);
            // The last row of the first sequence, alone.
            let (inputs, outputs) = (groups * input, groups * output);
            let mut single = vec![0.0; outputs];
            map.step(width.min(rows), |back| &x[(rows - 1 - back) * inputs..][..inputs], &taps, &mut single);
            close("a step", &single, &plain_y[(rows - 1) * outputs..rows * outputs], 1e-5);
        }
    }
}
