//! RMSNorm (arXiv 1910.07467) and LayerNorm (arXiv 1607.06450) over rows.

use crate::simd::{Arithmetic, LANES, lanes_sum, simd};
use rayon::prelude::*;

/// Which statistics a row is normalised by.
///
/// ```
/// use percept_kernels::{Norm, RowStatistics};
/// let (x, gamma) = ([3.0_f32, 4.0, 0.0, 0.0], [1.0; 4]);
/// let (mut y, mut rows) = ([0.0; 4], [RowStatistics::default()]);
/// Norm::Rms.forward(&x, (&gamma, None), 0.0, &mut y, &mut rows);
/// // The root of the mean square, 2.5, becomes 1.
/// assert_eq!((y, rows[0].inverse), ([1.2, 1.6, 0.0, 0.0], 0.4));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// `x / sqrt(mean(x^2) + eps)`.
    Rms,
    /// `(x - mean) / sqrt(variance + eps)`, the biased variance.
    Layer,
}

/// Rows per task. Fixed, so that sums over rows have the same order on any number of threads.
const ROWS: usize = 64;

/// Statistics of one row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RowStatistics {
    /// The mean; 0 for [`Norm::Rms`].
    pub mean: f32,
    /// Reciprocal of the root.
    pub inverse: f32,
}

impl Norm {
    /// `y = normalised x * gamma (+ beta)` for rows of `gamma.len()` elements.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn forward(
        self,
        x: &[f32],
        (gamma, beta): (&[f32], Option<&[f32]>),
        eps: f32,
        y: &mut [f32],
        statistics: &mut [RowStatistics],
    ) {
        let width = gamma.len();
        assert!(width > 0 && beta.is_none_or(|beta| beta.len() == width), "sizes of gamma and beta");
        assert_eq!((x.len(), y.len()), (statistics.len() * width, statistics.len() * width), "sizes of x and y");
        let rows = x.par_chunks(ROWS * width).zip(y.par_chunks_mut(ROWS * width)).zip(statistics.par_chunks_mut(ROWS));
        rows.for_each(|((x, y), statistics)| normalise(self, x, gamma, beta, eps, y, statistics));
    }

    /// [`Norm::forward`] on the calling thread, for the few rows of a decoding step.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn few_rows(self, x: &[f32], (gamma, beta): (&[f32], Option<&[f32]>), eps: f32, y: &mut [f32]) {
        let width = gamma.len();
        assert!(width > 0 && beta.is_none_or(|beta| beta.len() == width), "sizes of gamma and beta");
        assert!(x.len() == y.len() && x.len().is_multiple_of(width), "sizes of x and y");
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            normalise(self, x, gamma, beta, eps, y, &mut [RowStatistics::default()]);
        }
    }

    /// Turns `grad`, the gradient of the output, into that of `x`, and writes those of gamma and beta.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn backward(
        self,
        x: &[f32],
        gamma: &[f32],
        statistics: &[RowStatistics],
        grad: &mut [f32],
        (dgamma, dbeta): (&mut [f32], Option<&mut [f32]>),
    ) {
        let width = gamma.len();
        assert_eq!((x.len(), grad.len()), (statistics.len() * width, statistics.len() * width), "sizes of x and grad");
        assert!(dgamma.len() == width && dbeta.as_ref().is_none_or(|d| d.len() == width), "sizes of the gradients");
        let rows = grad.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).zip(statistics.par_chunks(ROWS));
        let partial: Vec<Vec<f32>> = rows
            .map(|((grad, x), statistics)| {
                let mut sums = vec![0f32; 2 * width];
                let (dgamma, dbeta) = sums.split_at_mut(width);
                gradients(self, x, gamma, statistics, grad, dgamma, dbeta);
                sums
            })
            .collect();
        dgamma.fill(0.0);
        partial.iter().for_each(|sums| crate::simd::add(dgamma, &sums[..width]));
        if let Some(dbeta) = dbeta {
            dbeta.fill(0.0);
            partial.iter().for_each(|sums| crate::simd::add(dbeta, &sums[width..]));
        }
    }
}

/// Sum of `f(x)` over a row, in lanes.
#[inline(always)]
fn sum_of<A: Arithmetic>(x: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(0.0, |sum, x| f(sum, *x));
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = f(lanes[i], chunk[i]);
        }
    }
    lanes_sum(lanes) + rest
}

#[inline(always)]
fn statistics_of<A: Arithmetic>(norm: Norm, x: &[f32], eps: f32) -> RowStatistics {
    let count = x.len() as f32;
    let mean = match norm {
        Norm::Rms => 0.0,
        Norm::Layer => sum_of::<A>(x, |sum, x| sum + x) / count,
    };
    let square = sum_of::<A>(x, |sum, x| A::fma(x - mean, x - mean, sum)) / count;
    RowStatistics { mean, inverse: 1.0 / (square + eps).sqrt() }
}

simd! {
    fn normalise(norm: Norm, x: &[f32], gamma: &[f32], beta: Option<&[f32]>, eps: f32, y: &mut [f32], statistics: &mut [RowStatistics]) {
        let width = gamma.len();
        for ((x, y), row) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(statistics) {
            let RowStatistics { mean, inverse } = statistics_of::<A>(norm, x, eps);
            *row = RowStatistics { mean, inverse };
            match beta {
                None => {
                    for ((y, x), g) in y.iter_mut().zip(x).zip(gamma) {
                        *y = (x - mean) * inverse * g;
                    }
                }
                Some(beta) => {
                    for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                        *y = A::fma((x - mean) * inverse, *g, *b);
                    }
                }
            }
        }
    }

    fn gradients(norm: Norm, x: &[f32], gamma: &[f32], statistics: &[RowStatistics], grad: &mut [f32], dgamma: &mut [f32], dbeta: &mut [f32]) {
        let width = gamma.len();
        let count = width as f32;
        for ((x, grad), row) in x.chunks_exact(width).zip(grad.chunks_exact_mut(width)).zip(statistics) {
            let RowStatistics { mean, inverse } = *row;
            let (mut plain, mut turned) = ([0f32; LANES], [0f32; LANES]);
            let whole = width / LANES * LANES;
            for at in (0..whole).step_by(LANES) {
                let (x, g, d) = (&x[at..at + LANES], &gamma[at..at + LANES], &grad[at..at + LANES]);
                let (dg, db) = (&mut dgamma[at..at + LANES], &mut dbeta[at..at + LANES]);
                for i in 0..LANES {
                    let unit = (x[i] - mean) * inverse;
                    dg[i] = A::fma(d[i], unit, dg[i]);
                    db[i] += d[i];
                    plain[i] = A::fma(d[i], g[i], plain[i]);
                    turned[i] = A::fma(d[i] * g[i], unit, turned[i]);
                }
            }
            let (mut plain, mut turned) = (lanes_sum(plain), lanes_sum(turned));
            for i in whole..width {
                let unit = (x[i] - mean) * inverse;
                dgamma[i] = A::fma(grad[i], unit, dgamma[i]);
                dbeta[i] += grad[i];
                plain = A::fma(grad[i], gamma[i], plain);
                turned = A::fma(grad[i] * gamma[i], unit, turned);
            }
            let plain = if norm == Norm::Layer { plain / count } else { 0.0 };
            let turned = turned / count;
            for ((d, x), g) in grad.iter_mut().zip(x).zip(gamma) {
                let unit = (x - mean) * inverse;
                *d = inverse * (A::fma(*d, *g, -plain) - unit * turned);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    /// The definition in f64.
    fn reference(norm: Norm, x: &[f64], gamma: &[f64], beta: &[f64], eps: f64) -> Vec<f64> {
        let width = gamma.len();
        let mut y = Vec::new();
        for row in x.chunks(width) {
            let mean = if norm == Norm::Layer { row.iter().sum::<f64>() / width as f64 } else { 0.0 };
            let square = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            y.extend((0..width).map(|i| (row[i] - mean) / (square + eps).sqrt() * gamma[i] + beta[i]));
        }
        y
    }

    fn wide(x: &[f32]) -> Vec<f64> {
        x.iter().map(|x| f64::from(*x)).collect()
    }

    /// Central differences of the reference's output, weighted by `grad`.
    fn differences(norm: Norm, inputs: [&[f32]; 3], grad: &[f32], eps: f64) -> [Vec<f64>; 3] {
        let inputs = inputs.map(wide);
        let value = |i: &[Vec<f64>; 3]| -> f64 {
            reference(norm, &i[0], &i[1], &i[2], eps).iter().zip(grad).map(|(y, g)| y * f64::from(*g)).sum()
        };
        std::array::from_fn(|which| {
            let moved = |index: usize, by: f64| {
                let mut inputs = inputs.clone();
                inputs[which][index] += by;
                value(&inputs)
            };
            (0..inputs[which].len()).map(|i| (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn both_norms_are_their_definition(rows in 1usize..5, width in 2usize..70, layer in any::<bool>(), biased in any::<bool>()) {
            let norm = if layer { Norm::Layer } else { Norm::Rms };
            let [x, gamma, grad] = [(rows * width, 1), (width, 2), (rows * width, 3)].map(|(n, seed)| random(n, seed));
            let beta = if biased { random(width, 4) } else { vec![0.0; width] };
            let (mut y, mut statistics) = (vec![f32::NAN; rows * width], vec![RowStatistics::default(); rows]);
            norm.forward(&x, (&gamma, biased.then_some(&beta)), 1e-2, &mut y, &mut statistics);
            close("y", &y, &reference(norm, &wide(&x), &wide(&gamma), &wide(&beta), 1e-2), 1e-5);
            let (mut dx, mut dgamma, mut dbeta) = (grad.clone(), vec![f32::NAN; width], vec![f32::NAN; width]);
            norm.backward(&x, &gamma, &statistics, &mut dx, (&mut dgamma, Some(&mut dbeta)));
            let [expected_x, expected_gamma, expected_beta] = differences(norm, [&x, &gamma, &beta], &grad, 1e-2);
            close("dx", &dx, &expected_x, 1e-5);
            close("dgamma", &dgamma, &expected_gamma, 1e-5);
            close("dbeta", &dbeta, &expected_beta, 1e-5);
        }
    }

    #[test]
    fn sums_over_many_rows() {
        let (rows, width) = (3 * ROWS + 7, 5);
        let (x, gamma) = (random(rows * width, 1), vec![1.0; width]);
        let (mut y, mut statistics) = (vec![0.0; rows * width], vec![RowStatistics::default(); rows]);
        Norm::Layer.forward(&x, (&gamma, None), 1e-5, &mut y, &mut statistics);
        let (mut dgamma, mut dbeta) = (vec![0.0; width], vec![0.0; width]);
        Norm::Layer.backward(&x, &gamma, &statistics, &mut vec![1.0; rows * width], (&mut dgamma, Some(&mut dbeta)));
        let expected: Vec<f64> = (0..width).map(|i| wide(&y).iter().skip(i).step_by(width).sum()).collect();
        close("dgamma", &dgamma, &expected, 1e-5);
        assert_eq!(dbeta, vec![rows as f32; width]);
    }
}
