//! Causal convolution, or a linear map, whose channels fall into groups that do not mix.

mod taps;

use crate::cost::{Cost, count_cost};
use crate::matmul::{Output, View, product};
use crate::precision::Precision;
use crate::simd;
use taps::{Sees, Shape};

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
    /// The format of a linear map's operands; a convolution is computed in f32.
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
        let one = Cost::of_product(self.batch.saturating_mul(self.rows), self.output, self.input) * self.groups as u64;
        let more = (self.width as u64).saturating_sub(1).saturating_mul((self.input * self.outputs()) as u64);
        Cost { macs: one.macs.saturating_mul(self.width as u64), elements: one.elements.saturating_add(more) }
    }

    /// Writes `y`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward(&self, x: &[f32], taps: &[f32], y: &mut [f32]) {
        self.check(x, taps, y);
        if self.width > 1 {
            self.shape(Sees::Back).apply(x, |row, channel, group, o| taps[self.tap(row, channel, group, o)], y);
            return count_cost(self.cost());
        }
        let (outputs, sizes) = (self.outputs(), (self.all_rows(), self.output, self.input));
        for group in 0..self.groups {
            let (input, first) = (View::rows(&x[group * self.input..], self.inputs()), group * self.output);
            let weight = View::rows(&taps[first..], outputs);
            product(self.precision, sizes, (&mut y[first..], outputs, Output::Overwrite), input, weight);
        }
    }

    /// Writes the gradients of x and taps from `grad`, that of y.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward(&self, x: &[f32], taps: &[f32], grad: &[f32], dx: &mut [f32], dtaps: &mut [f32]) {
        self.check(x, taps, grad);
        assert_eq!((dx.len(), dtaps.len()), (x.len(), taps.len()), "sizes of the gradients");
        if self.width > 1 {
            self.shape(Sees::Back).taps_gradient(x, grad, dtaps);
            // A row of x gets back from those ahead that see it.
            let ahead = Shape { input: self.output, output: self.input, ..self.shape(Sees::Ahead) };
            ahead.apply(grad, |row, o, group, channel| taps[self.tap(row, channel, group, o)], dx);
            return count_cost(self.cost() * 2);
        }
        let (rows, inputs, outputs) = (self.all_rows(), self.inputs(), self.outputs());
        for group in 0..self.groups {
            let (first, first_input) = (group * self.output, group * self.input);
            let grad = View::rows(&grad[first..], outputs);
            let (input, weight) = (View::rows(&x[first_input..], inputs), View::rows(&taps[first..], outputs));
            let out = (&mut dtaps[first..], outputs, Output::Overwrite);
            product(self.precision, (self.input, self.output, rows), out, input.transposed(), grad);
            let out = (&mut dx[first_input..], inputs, Output::Overwrite);
            product(self.precision, (rows, self.input, self.output), out, grad, weight.transposed());
        }
    }

    fn shape(&self, sees: Sees) -> Shape {
        let Self { rows, groups, input, output, width, .. } = *self;
        Shape { rows, groups, input, output, width, sees }
    }

    /// Where a tap lies.
    fn tap(&self, row: usize, channel: usize, group: usize, output: usize) -> usize {
        ((row * self.input + channel) * self.groups + group) * self.output + output
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
