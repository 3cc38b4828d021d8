//! Linear maps: products, bias, and their gradients.

mod few_rows;

use crate::matmul::{Output, View, product};
use crate::precision::Precision;
use crate::simd;
use rayon::prelude::*;

/// Rows per task of the sums over rows. Fixed, so that they have the same order on any number of threads.
const ROWS: usize = 256;

/// How the weight of a linear map lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightOrder {
    /// `[input, output]`.
    InputOutput,
    /// `[output, input]`.
    OutputInput,
}

/// Sizes of a linear map `y [rows, output] = x [rows, input] * weight`.
///
/// ```
/// use percept_kernels::{Linear, Precision, WeightOrder};
/// let linear = Linear { rows: 1, input: 2, output: 3, order: WeightOrder::InputOutput, precision: Precision::F32 };
/// let weight = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0];
/// let mut y = [0.0; 3];
/// linear.forward(&[1.0, 0.1], &weight, Some(&[0.0, 0.0, 1.0]), &mut y);
/// assert_eq!(y, [2.0, 4.0, 7.0]);
/// // The same weight as `[output, input]`.
/// let linear = Linear { order: WeightOrder::OutputInput, ..linear };
/// linear.forward(&[1.0, 0.1], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0], None, &mut y);
/// assert_eq!(y, [2.0, 4.0, 6.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Rows of x and y.
    pub rows: usize,
    /// Channels in.
    pub input: usize,
    /// Channels out.
    pub output: usize,
    /// The order of the weight and of its gradient.
    pub order: WeightOrder,
    /// The format of the products' operands; anything but f32 must be [supported](Precision::is_supported).
    pub precision: Precision,
}

impl Linear {
    /// The weight as `[input, output]`.
    fn weight<'a>(&self, weight: &'a [f32]) -> View<'a> {
        match self.order {
            WeightOrder::InputOutput => View::rows(weight, self.output),
            WeightOrder::OutputInput => View::rows(weight, self.input).transposed(),
        }
    }

    /// `y = x * weight (+ bias)`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        let Self { rows, input, output, precision, .. } = *self;
        assert_eq!(x.len(), rows * input, "size of x");
        assert_eq!((weight.len(), y.len()), (input * output, rows * output), "sizes of weight and y");
        assert!(bias.is_none_or(|bias| bias.len() == output), "size of bias");
        if precision == Precision::F32 && (1..=few_rows::LIMIT).contains(&rows) {
            return few_rows::forward(self, x, weight, bias, y);
        }
        let mode = match bias {
            Some(bias) if output > 0 => {
                y.par_chunks_mut(output).with_min_len(ROWS).for_each(|y| y.copy_from_slice(bias));
                Output::Accumulate
            }
            _ => Output::Overwrite,
        };
        let (x, weight) = (View::rows(x, input), self.weight(weight));
        product(precision, (rows, output, input), (y, output, mode), x, weight);
    }

    /// `y = residual + x * weight (+ bias)`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn forward_onto(&self, residual: &[f32], x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        let Self { rows, input, output, precision, .. } = *self;
        assert_eq!((residual.len(), y.len()), (rows * output, rows * output), "sizes of residual and y");
        if rows <= few_rows::LIMIT || output == 0 {
            self.forward(x, weight, bias, y);
            return simd::add(y, residual);
        }
        assert_eq!((x.len(), weight.len()), (rows * input, input * output), "sizes of x and weight");
        assert!(bias.is_none_or(|bias| bias.len() == output), "size of bias");
        let parts = y.par_chunks_mut(output).zip(residual.par_chunks(output)).with_min_len(ROWS);
        parts.for_each(|(y, residual)| {
            y.copy_from_slice(residual);
            simd::add(y, bias.unwrap_or_default());
        });
        let (x, weight) = (View::rows(x, input), self.weight(weight));
        product(precision, (rows, output, input), (y, output, Output::Accumulate), x, weight);
    }

    /// The gradient of x: `dx = grad * weight^T`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn input_gradient(&self, grad: &[f32], weight: &[f32], dx: &mut [f32]) {
        self.input_gradient_into(grad, weight, (dx, Output::Overwrite));
    }

    /// [`Linear::input_gradient`], added to `dx`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn add_input_gradient(&self, grad: &[f32], weight: &[f32], dx: &mut [f32]) {
        self.input_gradient_into(grad, weight, (dx, Output::Accumulate));
    }

    fn input_gradient_into(&self, grad: &[f32], weight: &[f32], (dx, written): (&mut [f32], Output)) {
        let Self { rows, input, output, precision, .. } = *self;
        assert_eq!((grad.len(), dx.len()), (rows * output, rows * input), "sizes of grad and dx");
        let (grad, weight) = (View::rows(grad, output), self.weight(weight).transposed());
        product(precision, (rows, input, output), (dx, input, written), grad, weight);
    }

    /// The gradient of the weight: `dweight = x^T * grad`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn weight_gradient(&self, x: &[f32], grad: &[f32], dweight: &mut [f32]) {
        self.weight_gradient_into(x, grad, (dweight, Output::Overwrite));
    }

    /// [`Linear::weight_gradient`], added to `dweight`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn add_weight_gradient(&self, x: &[f32], grad: &[f32], dweight: &mut [f32]) {
        self.weight_gradient_into(x, grad, (dweight, Output::Accumulate));
    }

    fn weight_gradient_into(&self, x: &[f32], grad: &[f32], (dweight, written): (&mut [f32], Output)) {
        let Self { rows, input, output, precision, .. } = *self;
        assert_eq!((x.len(), grad.len()), (rows * input, rows * output), "sizes of x and grad");
        assert_eq!(dweight.len(), input * output, "size of dweight");
        let (x, grad) = (View::rows(x, input), View::rows(grad, output));
        match self.order {
            WeightOrder::InputOutput => {
                let out = (dweight, output, written);
                product(precision, (input, output, rows), out, x.transposed(), grad);
            }
            WeightOrder::OutputInput => {
                let out = (dweight, input, written);
                product(precision, (output, input, rows), out, grad.transposed(), x);
            }
        }
    }

    /// The gradient of the bias: the sum of the rows of `grad`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn bias_gradient(&self, grad: &[f32], dbias: &mut [f32]) {
        assert_eq!((grad.len(), dbias.len()), (self.rows * self.output, self.output), "sizes of grad and dbias");
        sum_rows(grad, dbias);
    }
}

/// `x += y`.
///
/// # Panics
/// If the lengths differ.
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len());
    x.par_chunks_mut(16_384).zip(y.par_chunks(16_384)).for_each(|(x, y)| simd::add(x, y));
}

/// `x *= factor`, where it changes anything.
pub fn scale(x: &mut [f32], factor: f32) {
    if factor != 1.0 {
        x.par_chunks_mut(16_384).for_each(|x| simd::scale(x, factor));
    }
}

/// `sum = ` the sum of the rows, `sum.len()` long each, of `rows`, in a fixed order.
pub(crate) fn sum_rows(rows: &[f32], sum: &mut [f32]) {
    let width = sum.len();
    sum.fill(0.0);
    if width == 0 {
        return;
    }
    let partial: Vec<Vec<f32>> = rows
        .par_chunks(ROWS * width)
        .map(|rows| {
            let mut sum = vec![0f32; width];
            rows.chunks_exact(width).for_each(|row| simd::add(&mut sum, row));
            sum
        })
        .collect();
    partial.iter().for_each(|part| simd::add(sum, part));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    /// `a [m, k] * b [k, n]` in f64.
    fn product(
        (m, n, k): (usize, usize, usize),
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
    ) -> Vec<f64> {
        let entry = |i: usize| (0..k).map(|c| f64::from(a(i / n, c)) * f64::from(b(c, i % n))).sum();
        (0..m * n).map(entry).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn products_and_sums(
            (rows, input, output) in (prop_oneof![1usize..6, 1usize..600], 1usize..40, 1usize..300),
            (biased, turned) in (any::<bool>(), any::<bool>()),
        ) {
            let order = if turned { WeightOrder::OutputInput } else { WeightOrder::InputOutput };
            let linear = Linear { rows, input, output, order, precision: Precision::F32 };
            let [x, weight, grad] = [(rows * input, 1), (input * output, 2), (rows * output, 3)].map(|(n, s)| random(n, s));
            let at = |i: usize, o: usize| if turned { o * input + i } else { i * output + o };
            let bias = if biased { random(output, 4) } else { vec![0.0; output] };
            let mut y = vec![f32::NAN; rows * output];
            linear.forward(&x, &weight, biased.then_some(&bias), &mut y);
            let mut expected = product((rows, output, input), |i, c| x[i * input + c], |c, j| weight[at(c, j)]);
            expected.iter_mut().enumerate().for_each(|(i, e)| *e += f64::from(bias[i % output]));
            close("y", &y, &expected, 1e-5);
            linear.forward_onto(&grad, &x, &weight, biased.then_some(&bias), &mut y);
            expected.iter_mut().zip(&grad).for_each(|(e, g)| *e += f64::from(*g));
            close("y on a residual", &y, &expected, 1e-5);
            let mut dx = vec![f32::NAN; rows * input];
            linear.input_gradient(&grad, &weight, &mut dx);
            let mut expected = product((rows, input, output), |i, c| grad[i * output + c], |c, j| weight[at(j, c)]);
            close("dx", &dx, &expected, 1e-5);
            linear.add_input_gradient(&grad, &weight, &mut dx);
            add(&mut dx, &x);
            expected.iter_mut().zip(&x).for_each(|(e, x)| *e = 2.0 * *e + f64::from(*x));
            close("dx twice and x", &dx, &expected, 1e-5);
            let mut dweight = vec![f32::NAN; input * output];
            linear.weight_gradient(&x, &grad, &mut dweight);
            let product_at = product((input, output, rows), |i, c| x[c * input + i], |c, j| grad[c * output + j]);
            let mut expected = vec![0.0; input * output];
            (0..input * output).for_each(|i| expected[at(i / output, i % output)] = product_at[i]);
            close("dweight", &dweight, &expected, 1e-5);
            linear.add_weight_gradient(&x, &grad, &mut dweight);
            expected.iter_mut().for_each(|e| *e *= 2.0);
            close("dweight twice", &dweight, &expected, 1e-5);
            let mut dbias = vec![f32::NAN; output];
            linear.bias_gradient(&grad, &mut dbias);
            close("dbias", &dbias, &product((1, output, rows), |_, _| 1.0, |c, j| grad[c * output + j]), 1e-5);
        }
    }
}
