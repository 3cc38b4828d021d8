//! The output head fused with softmax cross-entropy, in chunks of rows: logits of all rows are never held.

use crate::Cost;
use crate::matmul::{Output, View, product};
use crate::precision::Precision;
use crate::simd::{LANES, exp, lanes_sum, simd};
use rayon::prelude::*;

/// A target that is not scored.
pub const IGNORED: u32 = u32::MAX;
/// Logits held at a time, where the vocabulary is small.
const LOGITS: usize = 1 << 20;
/// Rows held at a time, where it is large.
const ROWS: usize = 512;

/// An output head `logits = hidden [rows, dim] * weight [vocab, dim]^T (+ bias [vocab])` with its targets.
///
/// ```
/// use percept_kernels::{Head, IGNORED, Precision};
/// let head = Head {
///     hidden: &[1.0, 0.0, 0.0, 1.0],
///     weight: &[0.0; 8],
///     bias: None,
///     targets: &[3, IGNORED],
///     dim: 2,
///     precision: Precision::F32,
/// };
/// // A head of zeros finds each of four tokens equally likely; one of the two rows is scored.
/// assert!((head.loss() - 4_f64.ln()).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `[rows, dim]`.
    pub hidden: &'a [f32],
    /// `[vocab, dim]`.
    pub weight: &'a [f32],
    /// `[vocab]`.
    pub bias: Option<&'a [f32]>,
    /// One per row; [`IGNORED`] is not scored.
    pub targets: &'a [u32],
    /// Channels.
    pub dim: usize,
    /// The format of the products' operands; anything but f32 must be [supported](Precision::is_supported).
    pub precision: Precision,
}

/// Where the gradients of a [`Head`] are written.
#[derive(Debug)]
pub struct HeadGradients<'a> {
    /// Of the hidden rows.
    pub hidden: &'a mut [f32],
    /// Of the weight.
    pub weight: &'a mut [f32],
    /// Of the bias.
    pub bias: Option<&'a mut [f32]>,
    /// Weight of `logsumexp^2` in the differentiated loss.
    pub z_loss: f32,
}

/// Rows whose logits are held at a time.
fn chunk_rows(vocab: usize, rows: usize) -> usize {
    (LOGITS / vocab).max(ROWS).min(rows.max(1))
}

impl Head<'_> {
    /// Products of [`Head::loss`] on so many rows; [`Head::loss_and_gradients`] executes three times as many.
    pub fn cost(rows: usize, vocab: usize, dim: usize) -> Cost {
        let chunk = chunk_rows(vocab, rows);
        let whole = Cost::of_product(chunk, vocab, dim) * (rows / chunk) as u64;
        match rows % chunk {
            0 => whole,
            rest => whole + Cost::of_product(rest, vocab, dim),
        }
    }

    fn vocab(&self) -> usize {
        self.weight.len() / self.dim.max(1)
    }

    /// Sum of `-ln p(target)` over the scored rows.
    ///
    /// # Panics
    /// If sizes do not fit, or a target is outside the vocabulary.
    pub fn loss(&self) -> f64 {
        self.chunks(|_, logits, targets| self.rows(logits, targets, score))
    }

    /// [`Head::loss`], and the gradient of `sum(-ln p + z_loss * logsumexp^2)`.
    ///
    /// # Panics
    /// As [`Head::loss`], and if a gradient has another size.
    pub fn loss_and_gradients(&self, gradients: HeadGradients<'_>) -> f64 {
        let HeadGradients { hidden, weight, mut bias, z_loss } = gradients;
        let (vocab, dim) = (self.vocab(), self.dim);
        assert_eq!((hidden.len(), weight.len()), (self.hidden.len(), self.weight.len()), "sizes of the gradients");
        if let Some(bias) = bias.as_deref_mut() {
            assert_eq!(bias.len(), vocab, "size of the bias gradient");
            bias.fill(0.0);
        }
        let mut sum = vec![0f32; vocab];
        let mut written = Output::Overwrite;
        if self.targets.is_empty() {
            weight.fill(0.0);
        }
        self.chunks(|start, logits, targets| {
            let rows = targets.len();
            let loss = self.rows(logits, targets, |row, target| differentiate(row, target, z_loss));
            let out = &mut hidden[start * dim..][..rows * dim];
            let grad = View::rows(logits, vocab);
            let own = View::rows(self.weight, dim);
            product(self.precision, (rows, dim, vocab), (out, dim, Output::Overwrite), grad, own);
            let read = View::rows(&self.hidden[start * dim..], dim);
            product(self.precision, (vocab, dim, rows), (&mut *weight, dim, written), grad.transposed(), read);
            written = Output::Accumulate;
            if let Some(bias) = bias.as_deref_mut() {
                crate::linear::sum_rows(logits, &mut sum);
                crate::simd::add(bias, &sum);
            }
            loss
        })
    }

    /// Calls `body(first row, logits, targets)` for every chunk of rows and adds up what it returns.
    fn chunks(&self, mut body: impl FnMut(usize, &mut [f32], &[u32]) -> f64) -> f64 {
        let (vocab, dim) = (self.vocab(), self.dim);
        assert!(vocab > 0 && self.weight.len() == vocab * dim, "size of the weight");
        assert_eq!(self.hidden.len(), self.targets.len() * dim, "size of the hidden rows");
        assert!(self.bias.is_none_or(|bias| bias.len() == vocab), "size of the bias");
        let inside = |target: &u32| *target == IGNORED || (*target as usize) < vocab;
        assert!(self.targets.iter().all(inside), "a target is outside the vocabulary");
        let rows = chunk_rows(vocab, self.targets.len());
        let mut logits = vec![0f32; rows * vocab];
        let mut loss = 0.0;
        for (index, targets) in self.targets.chunks(rows).enumerate() {
            let start = index * rows;
            let logits = &mut logits[..targets.len() * vocab];
            let mode = match self.bias {
                Some(bias) => {
                    logits.par_chunks_mut(vocab).for_each(|row| row.copy_from_slice(bias));
                    Output::Accumulate
                }
                None => Output::Overwrite,
            };
            let (read, weight) = (View::rows(&self.hidden[start * dim..], dim), View::rows(self.weight, dim));
            let sizes = (targets.len(), vocab, dim);
            product(self.precision, sizes, (&mut *logits, vocab, mode), read, weight.transposed());
            loss += body(start, logits, targets);
        }
        loss
    }

    /// Applies `body` to every row, in parallel, and adds up what it returns in the order of the rows.
    fn rows(&self, logits: &mut [f32], targets: &[u32], body: impl Fn(&mut [f32], u32) -> f64 + Sync) -> f64 {
        let rows = logits.par_chunks_mut(self.vocab()).zip(targets);
        let losses: Vec<f64> = rows.map(|(row, target)| body(row, *target)).collect();
        losses.iter().sum()
    }
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    lanes.iter().fold(rest, |m, x| if *x > m { *x } else { m })
}

/// `row = exp(row - max)`; the maximum and the sum.
#[inline(always)]
fn exponentials<A: crate::simd::Arithmetic>(row: &mut [f32]) -> (f32, f32) {
    let max = largest(row);
    let mut lanes = [0f32; LANES];
    let mut rest = 0.0;
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            chunk[i] = exp::<A>(chunk[i] - max);
            lanes[i] += chunk[i];
        }
    }
    for x in chunks.into_remainder() {
        *x = exp::<A>(*x - max);
        rest += *x;
    }
    (max, lanes_sum(lanes) + rest)
}

simd! {
    /// `-ln p` of the target; the row is used up.
    fn score(row: &mut [f32], target: u32) -> f64 {
        if target == IGNORED {
            return 0.0;
        }
        let logit = f64::from(row[target as usize]);
        let (max, sum) = exponentials::<A>(row);
        f64::from(max) + f64::from(sum).ln() - logit
    }

    /// [`score`], and the row becomes its gradient.
    fn differentiate(row: &mut [f32], target: u32, z_loss: f32) -> f64 {
        if target == IGNORED {
            row.fill(0.0);
            return 0.0;
        }
        let logit = f64::from(row[target as usize]);
        let (max, sum) = exponentials::<A>(row);
        let total = f64::from(max) + f64::from(sum).ln();
        let factor = (1.0 + 2.0 * z_loss * total as f32) / sum;
        for x in row.iter_mut() {
            *x *= factor;
        }
        row[target as usize] -= 1.0;
        total - logit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    /// Loss and, where `z_loss` counts, the differentiated loss, in f64.
    fn reference(hidden: &[f64], weight: &[f64], bias: &[f64], targets: &[u32], z_loss: f64) -> f64 {
        let dim = hidden.len() / targets.len();
        let mut loss = 0.0;
        for (hidden, target) in hidden.chunks(dim).zip(targets).filter(|(_, target)| **target != IGNORED) {
            let logit = |v: usize| hidden.iter().zip(&weight[v * dim..]).map(|(h, w)| h * w).sum::<f64>() + bias[v];
            let logits: Vec<f64> = (0..bias.len()).map(logit).collect();
            let total = logits.iter().map(|l| l.exp()).sum::<f64>().ln();
            loss += total - logits[*target as usize] + z_loss * total * total;
        }
        loss
    }

    fn wide(x: &[f32]) -> Vec<f64> {
        x.iter().map(|x| f64::from(*x)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn loss_and_gradients_are_those_of_the_definition(
            (rows, dim, vocab) in (1usize..6, 1usize..6, 2usize..40),
            z_loss in prop_oneof![Just(0.0f32), Just(0.1)],
            (biased, seed) in (any::<bool>(), any::<u32>()),
        ) {
            let targets: Vec<u32> = (0..rows as u32)
                .map(|i| if (seed >> i) & 3 == 0 { IGNORED } else { (seed >> i) % vocab as u32 }).collect();
            let [hidden, weight] = [rows * dim, vocab * dim].map(|n| random(n, u64::from(seed) + n as u64));
            let bias = if biased { random(vocab, 3) } else { vec![0.0; vocab] };
            let head = Head { hidden: &hidden, weight: &weight, bias: biased.then_some(&bias), targets: &targets, dim, precision: Precision::F32 };
            let inputs = [&hidden, &weight, &bias].map(|x| wide(x));
            let expected = reference(&inputs[0], &inputs[1], &inputs[2], &targets, 0.0);
            prop_assert!((head.loss() - expected).abs() < 1e-5 * (1.0 + expected));
            let [mut dhidden, mut dweight, mut dbias] = [rows * dim, vocab * dim, vocab].map(|n| vec![f32::NAN; n]);
            let gradients = HeadGradients { hidden: &mut dhidden, weight: &mut dweight, bias: Some(&mut dbias), z_loss };
            prop_assert_eq!(head.loss_and_gradients(gradients), head.loss());
            for (which, fast) in [&dhidden, &dweight, &dbias].into_iter().enumerate() {
                let moved = |index: usize, by: f64| {
                    let mut inputs = inputs.clone();
                    inputs[which][index] += by;
                    reference(&inputs[0], &inputs[1], &inputs[2], &targets, f64::from(z_loss))
                };
                let slopes: Vec<f64> = (0..fast.len()).map(|i| (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5).collect();
                close("gradient", fast, &slopes, 1e-5);
            }
        }
    }

    #[test]
    fn chunks_do_not_show() {
        let (rows, dim, vocab) = (ROWS * 2 + 9, 3, 5000);
        let targets: Vec<u32> =
            (0..rows as u32).map(|i| if i % 5 == 0 { IGNORED } else { i * 7 % vocab as u32 }).collect();
        let [hidden, weight] = [rows * dim, vocab * dim].map(|n| random(n, n as u64));
        let run = |range: std::ops::Range<usize>| {
            let (hidden, targets) = (&hidden[range.start * dim..range.end * dim], &targets[range]);
            let head = Head { hidden, weight: &weight, bias: None, targets, dim, precision: Precision::F32 };
            let (mut dhidden, mut dweight) = (vec![0.0; hidden.len()], vec![0.0; weight.len()]);
            let gradients = HeadGradients { hidden: &mut dhidden, weight: &mut dweight, bias: None, z_loss: 0.0 };
            (head.loss_and_gradients(gradients), dhidden, dweight)
        };
        let (loss, dhidden, dweight) = run(0..rows);
        let parts: Vec<_> = (0..rows).step_by(100).map(|start| run(start..(start + 100).min(rows))).collect();
        assert!((parts.iter().map(|p| p.0).sum::<f64>() - loss).abs() < 1e-3);
        close("hidden", &dhidden, &wide(&parts.iter().flat_map(|p| p.1.clone()).collect::<Vec<_>>()), 1e-5);
        let sum: Vec<f64> = (0..dweight.len()).map(|i| parts.iter().map(|p| f64::from(p.2[i])).sum()).collect();
        close("weight", &dweight, &sum, 1e-5);
    }
}
