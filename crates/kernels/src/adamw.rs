//! AdamW (arXiv 1711.05101) and the norm of a gradient.

use crate::simd::simd;
use rayon::prelude::*;

/// Elements per task. Fixed, so that sums have the same order on any number of threads.
const CHUNK: usize = 16_384;

/// One step's constants of AdamW for one parameter.
///
/// ```
/// use percept_kernels::{AdamW, squared_norm};
/// let (mut weight, grad) = ([1.0_f32, -1.0], [30.0_f32, -40.0]);
/// let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
/// // Gradients longer than 1 are clipped to 1.
/// let clip = (1.0 / squared_norm(&grad).sqrt()).min(1.0);
/// let adamw = AdamW {
///     lr: 0.1,
///     beta1: 0.9,
///     beta2: 0.95,
///     eps: 1e-8,
///     weight_decay: 0.0,
///     correction1: 1.0,
///     correction2: 1.0,
///     grad_scale: clip,
/// };
/// adamw.at_step(1).update(&mut weight, &grad, &mut m, &mut v);
/// // The first step goes as far as the learning rate, whatever the size of the gradient.
/// assert!((weight[0] - 0.9).abs() < 1e-5 && (weight[1] + 0.9).abs() < 1e-5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the corrected second moment.
    pub eps: f64,
    /// Decoupled decay: the parameter first shrinks by `lr * weight_decay`.
    pub weight_decay: f64,
    /// `1 - beta1^t`, where t counts steps from 1.
    pub correction1: f64,
    /// `1 - beta2^t`.
    pub correction2: f64,
    /// Factor of the gradient, for clipping by the global norm and for averaging.
    pub grad_scale: f64,
}

/// The constants as the inner loop uses them.
#[derive(Clone, Copy)]
struct Constants {
    beta1: f32,
    new1: f32,
    beta2: f32,
    new2: f32,
    keep: f32,
    step: f32,
    root: f32,
    eps: f32,
    grad_scale: f32,
}

impl AdamW {
    /// Sets both bias corrections for step `t`, counted from 1.
    pub fn at_step(mut self, t: u64) -> Self {
        self.correction1 = 1.0 - self.beta1.powf(t as f64);
        self.correction2 = 1.0 - self.beta2.powf(t as f64);
        self
    }

    /// Updates a parameter and its moments in place, in one pass.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn update(&self, param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
        let count = param.len();
        assert_eq!((grad.len(), m.len(), v.len()), (count, count, count), "sizes of gradient and moments");
        let constants = Constants {
            beta1: self.beta1 as f32,
            new1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            new2: (1.0 - self.beta2) as f32,
            keep: (1.0 - self.lr * self.weight_decay) as f32,
            step: (self.lr / self.correction1) as f32,
            root: (1.0 / self.correction2.sqrt()) as f32,
            eps: self.eps as f32,
            grad_scale: self.grad_scale as f32,
        };
        let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        let chunks = param.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK)).zip(moments);
        chunks.for_each(|((param, grad), (m, v))| update_part(constants, param, grad, m, v));
    }
}

/// Sum of squares in f64, in a fixed order.
pub fn squared_norm(x: &[f32]) -> f64 {
    let parts: Vec<f64> = x.par_chunks(CHUNK).map(squares).collect();
    parts.iter().sum()
}

simd! {
    fn update_part(c: Constants, param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((p, g), m), v) in param.iter_mut().zip(grad).zip(m).zip(v) {
            let g = g * c.grad_scale;
            *m = A::fma(c.new1, g, c.beta1 * *m);
            *v = A::fma(c.new2, g * g, c.beta2 * *v);
            *p = A::fma(*p, c.keep, -c.step * *m / A::fma(v.sqrt(), c.root, c.eps));
        }
    }

    fn squares(x: &[f32]) -> f64 {
        let mut lanes = [0f64; 16];
        let chunks = x.chunks_exact(16);
        let rest: f64 = chunks.remainder().iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        for chunk in chunks {
            for i in 0..16 {
                lanes[i] += f64::from(chunk[i]) * f64::from(chunk[i]);
            }
        }
        lanes.iter().sum::<f64>() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn three_steps_are_those_of_the_paper(count in 0usize..40_000, decay in 0.0f64..0.5, grad_scale in 0.1f64..2.0) {
            let hyper = AdamW {
                lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: decay, correction1: 0.0, correction2: 0.0, grad_scale,
            };
            let start = random(count, 1);
            let (mut param, mut m, mut v) = (start.clone(), vec![0.0; count], vec![0.0; count]);
            let mut expected: Vec<[f64; 3]> = start.iter().map(|p| [f64::from(*p), 0.0, 0.0]).collect();
            for t in 1..4 {
                let grad = random(count, 10 + t);
                hyper.at_step(t).update(&mut param, &grad, &mut m, &mut v);
                for ([p, m, v], g) in expected.iter_mut().zip(&grad) {
                    let g = f64::from(*g) * grad_scale;
                    *m = 0.9 * *m + 0.1 * g;
                    *v = 0.95 * *v + 0.05 * g * g;
                    let (m, v) = (*m / (1.0 - 0.9f64.powf(t as f64)), *v / (1.0 - 0.95f64.powf(t as f64)));
                    *p = *p - 1e-2 * decay * *p - 1e-2 * m / (v.sqrt() + 1e-8);
                }
            }
            for (fast, which) in [(&param, 0), (&m, 1), (&v, 2)] {
                close("state", fast, &expected.iter().map(|e| e[which]).collect::<Vec<_>>(), 1e-6);
            }
        }

        #[test]
        fn the_norm_is_the_sum_of_squares(count in 0usize..50_000) {
            let x = random(count, 5);
            let expected: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            prop_assert!((squared_norm(&x) - expected).abs() <= 1e-12 * expected);
        }
    }
}
