//! The fixed set of windows that every validation of a run scores.

use percept_data::{Dataset, IGNORED, Split, TokenBatch};
use percept_fault::Result;
use percept_model::Loss;

use crate::config::TrainConfig;

/// A window of a validation document: `length` tokens from `start` on, of which the last `scored` are targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    part: usize,
    document: usize,
    start: usize,
    length: usize,
    scored: usize,
}

/// Windows of the validation documents, chosen once.
#[derive(Debug)]
pub(crate) struct Validation {
    windows: Vec<Window>,
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
                let cut = cut(length, context, train.validation_stride);
                windows.extend(cut.map(|(start, length, scored)| Window { part, document, start, length, scored }));
            }
        }
        let mut windows = spread(windows, train.validation_targets);
        windows.sort_by_key(|window| std::cmp::Reverse(window.length));
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
    pub(crate) fn score(&self, dataset: &Dataset, evaluate: impl Fn(TokenBatch) -> Result<Loss>) -> Result<Loss> {
        let mut sum = Loss::default();
        // Only windows of equal length share a batch: models with a history score the last rows of a window, so it must
        // not be filled up at its end.
        for equal in self.windows.chunk_by(|a, b| a.length == b.length) {
            for windows in equal.chunks(self.rows) {
                sum.add(evaluate(batch(windows, dataset))?);
            }
        }
        Ok(sum)
    }
}

/// Start, length and number of targets of the windows of a document of `length` tokens.
fn cut(length: usize, context: usize, stride: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let stride = if stride == 0 { context } else { stride.min(context) };
    (0..length).step_by(stride).map(move |from| {
        let (start, end) = (from.saturating_sub(context - stride), (from + stride).min(length));
        (start, end - start, end - from)
    })
}

/// Every so many windows, so that those taken hold about `targets` targets.
fn spread(windows: Vec<Window>, targets: usize) -> Vec<Window> {
    let all: usize = windows.iter().map(|window| window.scored).sum();
    if targets == 0 || all <= targets {
        return windows;
    }
    let count = (windows.len() as u128 * targets as u128 / all as u128).max(1) as usize;
    (0..count).map(|index| windows[(index as u128 * windows.len() as u128 / count as u128) as usize]).collect()
}

/// Windows of equal length as a batch.
fn batch(windows: &[Window], dataset: &Dataset) -> TokenBatch {
    let length = windows.first().map_or(0, |window| window.length);
    let document_token = dataset.tokenizer().document_token();
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for window in windows {
        let document = dataset.parts(Split::Validation)[window.part].corpus.document(window.document).tokens;
        let end = window.start + window.length;
        match window.start.checked_sub(1) {
            Some(before) => tokens.extend(document.range(before..end - 1)),
            None => {
                tokens.push(document_token);
                tokens.extend(document.range(0..end - 1));
            }
        }
        let first = document.scored_from().max(end - window.scored);
        let scored = (window.start..).zip(document.range(window.start..end));
        targets.extend(scored.map(|(at, token)| if at < first { IGNORED } else { token }));
    }
    TokenBatch { tokens, targets, rows: windows.len(), length }
}

/// Bytes of text per target token of a split; `None` where the tokens do not give the text back.
pub(crate) fn bytes_per_token(dataset: &Dataset, split: Split) -> Option<f64> {
    let (mut bytes, mut tokens) = (0u64, 0u64);
    for document in dataset.evaluation(split) {
        bytes += document.bytes;
        tokens += (document.tokens.len() - document.tokens.scored_from()) as u64;
    }
    (dataset.is_lossless() && tokens > 0).then(|| bytes as f64 / tokens as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(lengths: &[usize]) -> Vec<Window> {
        let window = |(start, &length)| Window { part: 0, document: 0, start, length, scored: length };
        (0..).zip(lengths).map(window).collect()
    }

    #[test]
    fn windows_score_every_target_once_with_their_context_before() {
        assert_eq!(cut(10, 4, 0).collect::<Vec<_>>(), [(0, 4, 4), (4, 4, 4), (8, 2, 2)]);
        assert_eq!(cut(9, 4, 2).collect::<Vec<_>>(), [(0, 2, 2), (0, 4, 2), (2, 4, 2), (4, 4, 2), (6, 3, 1)]);
        assert_eq!(cut(3, 4, 9).collect::<Vec<_>>(), [(0, 3, 3)]);
    }

    #[test]
    fn few_targets_are_spread_over_all_windows() {
        let chosen = spread(windows(&[8; 100]), 80);
        assert_eq!(
            chosen.iter().map(|window| window.start).collect::<Vec<_>>(),
            [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
        );
    }

    #[test]
    fn all_are_taken_where_they_fit_and_at_least_one_where_none_does() {
        assert_eq!(spread(windows(&[8; 100]), 0).len(), 100);
        assert_eq!(spread(windows(&[8; 100]), 800).len(), 100);
        assert_eq!(spread(windows(&[8; 100]), 3).len(), 1);
    }
}
