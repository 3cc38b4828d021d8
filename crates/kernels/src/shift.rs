//! RWKV's token shift (arXiv 2305.13048, equations 11 to 13): each row mixed with the one before it.

use crate::simd::{add, simd};
use rayon::prelude::*;

/// Elements per task, about.
const CHUNK: usize = 16_384;

/// `y[t, c] = mix[c] x[t, c] + (1 - mix[c]) x[t - 1, c]`, where the row before the first of a sequence is given.
/// `x`, `y`: `[batch, rows, channels]`; `first`: `[batch, channels]`; `mix`: `[channels]`.
///
/// ```
/// use percept_kernels::Shift;
/// let shift = Shift { batch: 1, rows: 3, channels: 1 };
/// let mut y = [0.0; 3];
/// shift.forward(&[2.0, 4.0, 8.0], &[0.0], &[0.75], &mut y);
/// assert_eq!(y, [1.5, 3.5, 7.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// Sequences.
    pub batch: usize,
    /// Rows per sequence.
    pub rows: usize,
    /// Channels per row.
    pub channels: usize,
}

impl Shift {
    fn len(&self) -> usize {
        self.batch * self.rows * self.channels
    }

    fn check(&self, x: &[f32], first: &[f32], mix: &[f32], y: &[f32]) {
        assert_eq!([x.len(), y.len()], [self.len(); 2], "sizes of a shift's rows");
        assert_eq!(
            [first.len(), mix.len()],
            [self.batch * self.channels, self.channels],
            "sizes of what they are mixed by"
        );
    }

    /// Writes `y`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward(&self, x: &[f32], first: &[f32], mix: &[f32], y: &mut [f32]) {
        self.check(x, first, mix, y);
        let parts = y.par_chunks_mut(self.part()).enumerate();
        parts.for_each(|(part, y)| {
            for (row, y) in self.rows_of(part, y) {
                shift_row(self.row(x, row), self.before(x, first, row), mix, y);
            }
        });
    }

    /// Writes `dx` and `dmix`, the gradients of `x` and `mix`, from `grad`, that of `y`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward(
        &self,
        (x, first): (&[f32], &[f32]),
        mix: &[f32],
        grad: &[f32],
        (dx, dmix): (&mut [f32], &mut [f32]),
    ) {
        self.check(x, first, mix, grad);
        assert_eq!([dx.len(), dmix.len()], [x.len(), mix.len()], "sizes of a shift's gradients");
        let last = vec![0.0; self.channels];
        let parts = dx.par_chunks_mut(self.part()).enumerate();
        let sums = parts.map(|(part, dx)| {
            let mut sum = vec![0.0; self.channels];
            for (row, dx) in self.rows_of(part, dx) {
                let after = if (row + 1).is_multiple_of(self.rows) { &last } else { self.row(grad, row + 1) };
                let grad = self.row(grad, row);
                shift_row(grad, after, mix, dx);
                add_products(self.row(x, row), self.before(x, first, row), grad, &mut sum);
            }
            sum
        });
        dmix.fill(0.0);
        // Parts are added in their order.
        sums.collect::<Vec<_>>().iter().for_each(|sum| add(dmix, sum));
    }

    /// Elements of a task: whole rows.
    fn part(&self) -> usize {
        (CHUNK / self.channels.max(1)).max(1) * self.channels.max(1)
    }

    /// The rows of a task, with their number in all.
    fn rows_of<'a>(&self, part: usize, rows: &'a mut [f32]) -> impl Iterator<Item = (usize, &'a mut [f32])> {
        let first = part * self.part() / self.channels.max(1);
        rows.chunks_exact_mut(self.channels.max(1)).enumerate().map(move |(row, data)| (first + row, data))
    }

    fn row<'a>(&self, rows: &'a [f32], row: usize) -> &'a [f32] {
        &rows[row * self.channels..][..self.channels]
    }

    fn before<'a>(&self, x: &'a [f32], first: &'a [f32], row: usize) -> &'a [f32] {
        match row.is_multiple_of(self.rows) {
            true => self.row(first, row / self.rows),
            false => self.row(x, row - 1),
        }
    }
}

simd! {
    /// A row of [`Shift::forward`], on the calling thread.
    pub fn shift_row(now: &[f32], before: &[f32], mix: &[f32], out: &mut [f32]) {
        for (((out, now), before), mix) in out.iter_mut().zip(now).zip(before).zip(mix) {
            *out = A::fma(now - before, *mix, *before);
        }
    }

    fn add_products(now: &[f32], before: &[f32], grad: &[f32], sum: &mut [f32]) {
        for (((sum, now), before), grad) in sum.iter_mut().zip(now).zip(before).zip(grad) {
            *sum = A::fma(now - before, *grad, *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    /// The definition in f64.
    fn plain(shape: &Shift, x: &[f32], first: &[f32], mix: &[f32]) -> Vec<f64> {
        let Shift { rows, channels, .. } = *shape;
        let value = |at: usize| {
            let (row, c) = (at / channels, at % channels);
            let before = if row.is_multiple_of(rows) { first[row / rows * channels + c] } else { x[at - channels] };
            let mix = f64::from(mix[c]);
            mix * f64::from(x[at]) + (1.0 - mix) * f64::from(before)
        };
        (0..x.len()).map(value).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        /// It is linear in x and in the mix, so that a product with any direction tells the gradients.
        #[test]
        fn it_is_its_definition(batch in 1..4usize, rows in 1..9usize, channels in 1..40usize) {
            let shape = Shift { batch, rows, channels };
            let [x, grad, along] = [1, 2, 3].map(|seed| random(shape.len(), seed));
            let (first, mix, turn) = (random(batch * channels, 4), random(channels, 5), random(channels, 6));
            let mut y = vec![9.0; shape.len()];
            shape.forward(&x, &first, &mix, &mut y);
            close("y", &y, &plain(&shape, &x, &first, &mix), 1e-6);
            let (mut dx, mut dmix) = (vec![9.0; x.len()], vec![9.0; channels]);
            shape.backward((&x, &first), &mix, &grad, (&mut dx, &mut dmix));
            let dot = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
            let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
            let zeros = vec![0.0; first.len()];
            let change = dot(&plain(&shape, &along, &zeros, &mix), &grad);
            prop_assert!((change - dot(&wide(&dx), &along)).abs() < 1e-4, "{change}");
            let sides = [1.0, 0.0].map(|by| mix.iter().zip(&turn).map(|(m, t)| m + by * t).collect::<Vec<f32>>());
            let [moved, there] = sides.map(|mix| dot(&plain(&shape, &x, &first, &mix), &grad));
            prop_assert!((moved - there - dot(&wide(&dmix), &turn)).abs() < 1e-3);
        }
    }

    #[test]
    fn many_rows_are_cut_into_tasks() {
        let shape = Shift { batch: 2, rows: 70, channels: 600 };
        let (x, first, mix) = (random(shape.len(), 1), random(1200, 2), random(600, 3));
        let mut y = vec![9.0; shape.len()];
        shape.forward(&x, &first, &mix, &mut y);
        close("y", &y, &plain(&shape, &x, &first, &mix), 1e-6);
        let (mut dx, mut dmix) = (vec![9.0; x.len()], vec![9.0; 600]);
        shape.backward((&x, &first), &mix, &y, (&mut dx, &mut dmix));
        let sums = (0..600).map(|c| {
            let of = |at: usize| {
                let row = at / 600;
                let before = if row.is_multiple_of(70) { first[row / 70 * 600 + c] } else { x[at - 600] };
                f64::from(x[at] - before) * f64::from(y[at])
            };
            (0..140).map(|row| of(row * 600 + c)).sum::<f64>()
        });
        close("dmix", &dmix, &sums.collect::<Vec<_>>(), 1e-5);
    }
}
