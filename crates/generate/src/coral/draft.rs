//! What all sources together predict for each position.

use percept_fault::Result;
use percept_model::config::Offsets;

use super::oracle::{Oracle, Question};
use super::weights::DRAFT;

/// Weighted means of log-probabilities, `[V]` for each target: a geometric mean, whose probabilities sum to at most 1.
pub(super) type Ensemble = Vec<Vec<f64>>;

/// The ensemble of the question's sources. `ratios`: how far sources agreed with the tokens of the round before, aligned at their ends.
pub(super) fn ensemble(oracle: &mut dyn Oracle, text: &[u32], question: &Question, ratios: &[f64]) -> Result<Ensemble> {
    let (first, target) = (*question.sources.start(), *question.targets.start());
    let trust = trust(ratios, question.sources.clone().count());
    let Offsets { backward, .. } = question.offsets;
    let mut sums: Vec<(Vec<f64>, f64)> = vec![(Vec::new(), 0.0); question.targets.clone().count()];
    oracle.ask(&[text.to_vec()], question, &mut |_, pair, ln_p| {
        let weight = DRAFT.weight(pair.target as isize - pair.source as isize, backward) * trust[pair.source - first];
        let (sum, weights) = &mut sums[pair.target - target];
        sum.resize(ln_p.len(), 0.0);
        sum.iter_mut().zip(ln_p).for_each(|(sum, ln_p)| *sum += weight * f64::from(*ln_p));
        *weights += weight;
    })?;
    Ok(sums.into_iter().map(|(sum, weights)| sum.into_iter().map(|sum| sum / weights).collect()).collect())
}

/// 1 + the least ratio of a source and all before it.
fn trust(ratios: &[f64], sources: usize) -> Vec<f64> {
    let known = &ratios[ratios.len().saturating_sub(sources)..];
    let aligned = std::iter::repeat_n(1.0, sources - known.len()).chain(known.iter().copied());
    let least = aligned.scan(1.0_f64, |least, ratio| {
        *least = least.min(ratio);
        Some(1.0 + *least)
    });
    least.collect()
}

/// The likeliest token, and its number; the first of equals.
pub(super) fn likeliest(ln_p: &[f64]) -> (u32, f64) {
    let better = |best: (u32, f64), next: (u32, f64)| if next.1 > best.1 { next } else { best };
    (0..).zip(ln_p.iter().copied()).fold((0, f64::NEG_INFINITY), better)
}
