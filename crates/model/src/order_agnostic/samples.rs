//! Errors that the model makes itself.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::{Asked, Lesson, Windows};
use crate::language_model::LanguageModel;
use crate::layer::Mode;
use crate::ops::elements;

/// The most probable tokens that are sampled from.
const LIKELIEST: usize = 16;
/// What the summed logits are divided by.
const TEMPERATURE: f64 = 4.0;
/// Pairs whose logits are held at a time.
const ROWS: usize = 256;

/// How the errors of a text come from the model: the labelled tokens are drawn from what it predicts of them from clean text, at all
/// forward offsets together.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    clean: Vec<u32>,
    rows: usize,
    asked: Vec<Asked>,
    seed: u64,
}

impl Samples {
    /// Of the tokens that are `labelled`.
    pub(super) fn new(windows: &Windows<'_>, labelled: &[bool], forward: usize, seed: u64) -> Self {
        let Lesson { tokens, rows, length, mut asked, .. } = Lesson::forward(windows, forward);
        for Asked { offset, sources } in &mut asked {
            sources.retain(|&source| {
                let inside = (source % length).strict_add_signed(*offset) < length;
                inside && labelled[source.strict_add_signed(*offset)]
            });
        }
        Self { clean: tokens, rows, asked, seed }
    }

    /// The text with the model's errors; the model is without autodiff.
    pub(super) fn tokens(&self, model: &LanguageModel) -> Vec<u32> {
        let mut tokens = self.clean.clone();
        let targets: Vec<usize> = self
            .asked
            .iter()
            .flat_map(|asked| asked.sources.iter().map(|source| source.strict_add_signed(asked.offset)))
            .collect();
        if targets.is_empty() {
            return tokens;
        }
        let (x, rows) = model.before_last(&self.clean, self.rows, Mode::Evaluation);
        let length = self.clean.len() / self.rows;
        let hidden = model.answers(x, None, (&self.asked, length), (rows, Mode::Evaluation));
        for (target, logits) in summed(model, hidden, &targets) {
            tokens[target] = draw(&logits, percept_random::uniform(self.seed, target as u64));
        }
        tokens
    }
}

/// The sums of the logits of all pairs of a target.
fn summed(model: &LanguageModel, hidden: Tensor<3>, targets: &[usize]) -> BTreeMap<usize, Vec<f32>> {
    let mut sums = BTreeMap::<usize, Vec<f32>>::new();
    let vocab = model.config().vocab;
    for (chunk, targets) in targets.chunks(ROWS).enumerate() {
        let rows = elements(model.logits(hidden.clone().narrow(1, chunk * ROWS, targets.len())));
        for (target, row) in targets.iter().zip(rows.chunks_exact(vocab)) {
            let sum = sums.entry(*target).or_insert_with(|| vec![0.0; vocab]);
            sum.iter_mut().zip(row).for_each(|(sum, logit)| *sum += logit);
        }
    }
    sums
}

/// A token of the likeliest ones, at `at` of their probability.
fn draw(logits: &[f32], at: f64) -> u32 {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let better = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if order.len() > LIKELIEST {
        order.select_nth_unstable_by(LIKELIEST, better);
        order.truncate(LIKELIEST);
    }
    order.sort_unstable_by(better);
    let most = logits[order[0] as usize];
    let weights: Vec<f64> =
        order.iter().map(|&token| (f64::from(logits[token as usize] - most) / TEMPERATURE).exp()).collect();
    let mut left = at * weights.iter().sum::<f64>();
    let drawn = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    order[drawn.unwrap_or(order.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_tokens_are_drawn_by_their_probability() {
        let logits: Vec<f32> = (0..40).map(|token| if token < 16 { 8.0 - token as f32 / 2.0 } else { -1.0 }).collect();
        let mut counts = [0.0_f64; 40];
        (0..4000).for_each(|i| counts[draw(&logits, (f64::from(i) + 0.5) / 4000.0) as usize] += 1.0);
        assert!(counts[16..].iter().all(|count| *count == 0.0));
        // Half a logit, a temperature of 4.
        for pair in counts[..16].windows(2) {
            assert!((pair[1] / pair[0] - (-0.125_f64).exp()).abs() < 0.02, "{pair:?}");
        }
        assert_eq!((draw(&logits, 0.0), draw(&logits, 1.0)), (0, 15));
    }
}
