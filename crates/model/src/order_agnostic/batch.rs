//! A batch of both kinds, from windows of text.

use std::collections::BTreeMap;

use percept_fault::Result;

use super::samples::Samples;
use super::{Lesson, Seeded, corrupt};
use crate::batch::Batch;
use crate::config::Offsets;

/// By how much more than the mean ratio segments are to be labelled, or the corruption gives way to samples of the model.
const MARGIN: f32 = 0.05;

/// Windows of text with what an order-agnostic objective needs to know of them.
#[derive(Debug, Clone, Copy)]
pub struct Windows<'a> {
    /// Each target is the token after the one in its place.
    pub batch: &'a Batch,
    /// The token that begins a document: nothing is asked across it.
    pub document: u32,
    /// The first row of a window that can be a source: where a model has a history, its first latent.
    pub first: usize,
}

/// What an order-agnostic model learns from at a time: clean text forward, and other text with errors backward.
///
/// ```
/// use percept_model::Batch;
/// use percept_model::config::Offsets;
/// use percept_model::order_agnostic::{OrderAgnosticBatch, Windows};
/// let batch = Batch { tokens: (1..33).collect(), targets: (2..34).collect(), rows: 1, length: 32 };
/// let windows = Windows { batch: &batch, document: 0, first: 0 };
/// let both = OrderAgnosticBatch::new(&windows, &windows, Offsets { forward: 2, backward: 3 }, 7);
/// // 32 targets one token on, 31 two on; backward, only what may be wrong is asked for.
/// assert_eq!((both.forward.pairs(), both.backward.asked.len()), (32 + 31, 4));
/// assert_ne!(both.backward.tokens, batch.tokens);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OrderAgnosticBatch {
    /// Offsets from 1 on.
    pub forward: Lesson,
    /// Offsets up to 0.
    pub backward: Lesson,
    /// Where errors are to be the model's own, how they come about.
    pub samples: Option<Samples>,
}

impl OrderAgnosticBatch {
    /// The batch of some windows of text forward and some backward. `seed` stands for all that is random.
    pub fn new(forward: &Windows<'_>, backward: &Windows<'_>, offsets: Offsets, seed: u64) -> Self {
        let Corruption { tokens, labelled, ratio, share } = Corruption::of(backward, seed);
        let samples = (share - MARGIN < ratio)
            .then(|| Samples::new(backward, &labelled, offsets.forward, percept_random::mix(seed)));
        Self {
            forward: Lesson::forward(forward, offsets.forward),
            backward: Lesson::backward(backward, tokens, &labelled, offsets.backward),
            samples,
        }
    }

    /// Checks the sizes, and that every token is below `vocab`.
    ///
    /// # Errors
    /// As [`Lesson::validate`].
    pub fn validate(&self, vocab: usize) -> Result<()> {
        self.forward.validate(vocab)?;
        self.backward.validate(vocab)
    }
}

/// Errors in all windows of a batch, over each document's scored tokens.
struct Corruption {
    tokens: Vec<u32>,
    labelled: Vec<bool>,
    /// The mean ratio that was drawn.
    ratio: f32,
    /// The mean share of labelled segments.
    share: f32,
}

impl Corruption {
    fn of(windows: &Windows<'_>, seed: u64) -> Self {
        let Batch { tokens, rows, length, .. } = windows.batch;
        let mut found = Self { tokens: tokens.clone(), labelled: vec![false; tokens.len()], ratio: 0.0, share: 0.0 };
        let mut answers = 0;
        for row in 0..*rows {
            for places in answers_of(windows, row) {
                let places: Vec<usize> = places.into_iter().map(|at| row * length + at).collect();
                let answer: Vec<u32> = places.iter().map(|&at| tokens[at]).collect();
                let corrupted = corrupt(&answer, &mut Seeded::new(percept_random::hash(&[seed, answers])));
                for (index, at) in places.into_iter().enumerate() {
                    (found.tokens[at], found.labelled[at]) = (corrupted.tokens[index], corrupted.labelled[index]);
                }
                found.ratio += corrupted.ratio;
                found.share += corrupted.share;
                answers += 1;
            }
        }
        let count = answers.max(1) as f32;
        Self { ratio: found.ratio / count, share: found.share / count, ..found }
    }
}

/// The scored positions of each document in a window.
fn answers_of(windows: &Windows<'_>, row: usize) -> Vec<Vec<usize>> {
    let mut answers = BTreeMap::<usize, Vec<usize>>::new();
    for (at, document) in windows.documents(row).into_iter().enumerate() {
        if windows.scored(row, at) {
            answers.entry(document).or_default().push(at);
        }
    }
    answers.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::Asked;
    use super::*;
    use crate::batch::IGNORED;

    const OFFSETS: Offsets = Offsets { forward: 3, backward: 4 };

    /// Two documents in a window of 16, each after the document token 0; the last target lies after the window.
    fn batch() -> Batch {
        let tokens: Vec<u32> = [0].into_iter().chain(1..8).chain([0]).chain(11..18).collect();
        let mut targets: Vec<u32> = tokens[1..].iter().copied().chain([18]).collect();
        targets[7] = IGNORED;
        Batch { tokens, targets, rows: 1, length: 16 }
    }

    #[test]
    fn nothing_is_asked_across_documents() {
        let batch = batch();
        for seed in 0..50 {
            let windows = Windows { batch: &batch, document: 0, first: 0 };
            let both = OrderAgnosticBatch::new(&windows, &windows, OFFSETS, seed);
            for lesson in [&both.forward, &both.backward] {
                let mut labels = lesson.labels.iter();
                for Asked { offset, sources } in &lesson.asked {
                    for &source in sources {
                        let target = source.strict_add_signed(*offset);
                        assert_eq!(source < 8, target < 8, "{source} asks for {target}");
                        let expected = if target == 16 { 18 } else { batch.tokens[target] };
                        assert_eq!(*labels.next().unwrap(), expected);
                        assert!(expected != 0, "a document token is a target");
                    }
                }
                assert!(labels.next().is_none());
            }
            // Documents are corrupted by their own tokens.
            let first = &both.backward.tokens[..8];
            assert!(first[1..].iter().all(|token| (1..8).contains(token)), "{first:?}");
            assert!(both.backward.tokens[8] == 0 && both.backward.tokens[9..].iter().all(|token| *token > 10));
        }
    }

    #[test]
    fn only_latents_are_sources() {
        let batch = batch();
        let windows = Windows { batch: &batch, document: 0, first: 10 };
        let both = OrderAgnosticBatch::new(&windows, &windows, OFFSETS, 3);
        let sources = both.forward.asked.iter().chain(&both.backward.asked).flat_map(|asked| &asked.sources);
        assert!(sources.copied().all(|source| source >= 10));
    }

    #[test]
    fn some_batches_take_the_models_own_errors() {
        let batch = Batch { tokens: (1..257).collect(), targets: (2..258).collect(), rows: 1, length: 256 };
        let windows = Windows { batch: &batch, document: 0, first: 0 };
        let of = |seed| OrderAgnosticBatch::new(&windows, &windows, OFFSETS, seed);
        let sampled = (0..200).filter(|&seed| of(seed).samples.is_some()).count();
        assert!((10..120).contains(&sampled), "{sampled} of 200");
        assert_eq!(of(5), of(5));
        assert_ne!(of(5).backward.tokens, of(6).backward.tokens);
    }
}
