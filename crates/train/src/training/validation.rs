//! The fixed set of windows that every validation of a run scores.

use percept_data::{Dataset, Split};
use percept_fault::Result;
use percept_model::{Batch, IGNORED, Loss};
use percept_score::{Cut, LastWindow, ScoringWindow, Tokens};

use crate::config::TrainConfig;

/// A window of a validation document.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    part: usize,
    document: usize,
    window: ScoringWindow,
}

/// Windows of the validation documents, chosen once.
#[derive(Debug)]
pub(crate) struct Validation {
    windows: Vec<Place>,
    rows: usize,
    bytes_per_token: Option<f64>,
}

impl Validation {
    /// Cuts the validation documents into windows of at most `context` tokens that score each target once, and takes as
    /// many as hold about `validation_targets` of them (0: all), evenly spread.
    pub(crate) fn new(dataset: &Dataset, context: usize, train: &TrainConfig) -> Self {
        let mut windows = Vec::new();
        for (part, documents) in dataset.parts(Split::Validation).iter().enumerate() {
            for &document in &documents.documents {
                let length = documents.corpus.document(document).tokens.len();
                let cut = cut(context, train.validation_stride).windows(0..length);
                windows.extend(cut.map(|window| Place { part, document, window }));
            }
        }
        let mut windows = spread(windows, train.validation_targets);
        windows.sort_by_key(|place| std::cmp::Reverse(place.window.inputs.len()));
        Self { windows, rows: train.batch, bytes_per_token: bytes_per_token(dataset, Split::Validation) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Bytes of text per token of the validation documents, where the tokenizer is lossless.
    pub(crate) fn bytes_per_token(&self) -> Option<f64> {
        self.bytes_per_token
    }

    /// The sum of what `evaluate` says of all windows.
    pub(crate) fn score(&self, dataset: &Dataset, evaluate: impl Fn(&Batch) -> Result<Loss>) -> Result<Loss> {
        let mut sum = Loss::default();
        // Only windows of equal length share a batch: models with a history score the last rows of a window, so it must
        // not be filled up at its end.
        for equal in self.windows.chunk_by(|a, b| a.window.inputs.len() == b.window.inputs.len()) {
            for windows in equal.chunks(self.rows) {
                sum.add(evaluate(&batch(windows, dataset))?);
            }
        }
        Ok(sum)
    }
}

/// Every window but the first has `context - stride` tokens before its targets, the last one too; a stride of 0 is a context.
fn cut(context: usize, stride: usize) -> Cut {
    let stride = if stride == 0 { context } else { stride.min(context) };
    Cut { window: context, stride, first: stride, last: LastWindow::Short }
}

/// Every so many windows, so that those taken hold about `targets` targets.
fn spread(windows: Vec<Place>, targets: usize) -> Vec<Place> {
    let all: usize = windows.iter().map(|place| place.window.targets.len()).sum();
    if targets == 0 || all <= targets {
        return windows;
    }
    let count = (windows.len() as u128 * targets as u128 / all as u128).max(1) as usize;
    (0..count).map(|index| windows[(index as u128 * windows.len() as u128 / count as u128) as usize].clone()).collect()
}

/// Windows of equal length as a batch.
fn batch(places: &[Place], dataset: &Dataset) -> Batch {
    let length = places.first().map_or(0, |place| place.window.inputs.len());
    let mut batch = Batch { tokens: Vec::new(), targets: Vec::new(), rows: 0, length };
    for Place { part, document, window } in places {
        let tokens = dataset.parts(Split::Validation)[*part].corpus.document(*document).tokens;
        let marked = tokens.marked();
        window.append_to(&mut batch, &Tokens::Corpus(tokens), dataset.tokenizer().document_token());
        let targets = batch.targets.iter_mut().rev().zip(window.inputs.clone().rev());
        targets.filter(|(_, at)| !marked.contains(*at)).for_each(|(target, _)| *target = IGNORED);
    }
    batch
}

/// Bytes of text per target token of a split; `None` where the tokens do not give the text back.
pub(crate) fn bytes_per_token(dataset: &Dataset, split: Split) -> Option<f64> {
    let (mut bytes, mut tokens) = (0u64, 0u64);
    for document in dataset.evaluation(split) {
        bytes += document.bytes;
        tokens += document.tokens.targets() as u64;
    }
    (dataset.is_lossless() && tokens > 0).then(|| bytes as f64 / tokens as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(lengths: &[usize]) -> Vec<Place> {
        let place = |(start, &length): (usize, &usize)| {
            let range = start..start + length;
            Place { part: 0, document: 0, window: ScoringWindow { inputs: range.clone(), targets: range } }
        };
        (0..).zip(lengths).map(place).collect()
    }

    #[test]
    fn targets_are_those_that_are_marked() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = percept_data::DataConfig::from_paths(["synthetic:mqar?shortest=4&length=4&documents=20"]);
        (config.cache, config.split.validation) = (Some(folder.path().into()), 0.5);
        let dataset = Dataset::open(&config, None, &mut |_| {}).unwrap();
        let validation = Validation::new(&dataset, 6, &TrainConfig::default());
        let (documents, targets) = (dataset.parts(Split::Validation)[0].documents.len(), std::cell::Cell::new(0));
        let count = |batch: &Batch| {
            targets.set(targets.get() + batch.targets.iter().filter(|&&target| target != IGNORED).count());
            Ok(Loss::default())
        };
        validation.score(&dataset, count).unwrap();
        assert!(documents > 5);
        assert_eq!(targets.get(), 4 * documents);
        assert_eq!(validation.bytes_per_token(), Some(1.0));
    }

    #[test]
    fn a_stride_of_zero_or_too_long_is_a_context() {
        let starts = |stride| cut(4, stride).windows(0..10).map(|window| window.inputs.start).collect::<Vec<_>>();
        assert_eq!((starts(0), starts(9), starts(2)), (vec![0, 4, 8], vec![0, 4, 8], vec![0, 0, 2, 4, 6]));
    }

    #[test]
    fn few_targets_are_spread_over_all_windows() {
        let chosen = spread(places(&[8; 100]), 80);
        assert_eq!(
            chosen.iter().map(|place| place.window.inputs.start).collect::<Vec<_>>(),
            [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
        );
    }

    #[test]
    fn all_are_taken_where_they_fit_and_at_least_one_where_none_does() {
        assert_eq!(spread(places(&[8; 100]), 0).len(), 100);
        assert_eq!(spread(places(&[8; 100]), 800).len(), 100);
        assert_eq!(spread(places(&[8; 100]), 3).len(), 1);
    }
}
