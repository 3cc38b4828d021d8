//! The fixed set of windows that every validation of a run scores.

use percept_data::{Dataset, Split};
use percept_fault::Result;
use percept_model::{Batch, IGNORED, LanguageModel, Loss};

/// A window of a validation document: its `length` targets from token `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    part: usize,
    document: usize,
    start: usize,
    length: usize,
}

/// Windows of the validation documents, chosen once.
#[derive(Debug)]
pub(crate) struct Validation {
    windows: Vec<Window>,
    rows: usize,
    bytes_per_token: Option<f64>,
}

impl Validation {
    /// Cuts the validation documents into windows of `context` targets that do not overlap, and takes as many as hold
    /// about `targets` targets (0: all), evenly spread. `rows`: windows scored at a time.
    pub(crate) fn new(dataset: &Dataset, context: usize, rows: usize, targets: usize) -> Self {
        let mut windows = Vec::new();
        for (part, documents) in dataset.parts(Split::Validation).iter().enumerate() {
            for &document in &documents.documents {
                let length = documents.corpus.document(document).tokens.len();
                windows.extend((0..length).step_by(context).map(|start| Window {
                    part,
                    document,
                    start,
                    length: context.min(length - start),
                }));
            }
        }
        let mut windows = spread(windows, targets);
        // Windows of like length share a batch, so that there is little padding.
        windows.sort_by_key(|window| std::cmp::Reverse(window.length));
        Self { windows, rows, bytes_per_token: bytes_per_token(dataset, Split::Validation) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Bytes of text per token of the validation documents, where the tokenizer is lossless.
    pub(crate) fn bytes_per_token(&self) -> Option<f64> {
        self.bytes_per_token
    }

    /// The sum over all windows.
    pub(crate) fn score(&self, model: &LanguageModel, dataset: &Dataset) -> Result<Loss> {
        let mut sum = Loss::default();
        for windows in self.windows.chunks(self.rows) {
            sum.add(model.evaluate(&batch(windows, dataset))?);
        }
        Ok(sum)
    }
}

/// Every so many windows, so that those taken hold about `targets` targets.
fn spread(windows: Vec<Window>, targets: usize) -> Vec<Window> {
    let all: usize = windows.iter().map(|window| window.length).sum();
    if targets == 0 || all <= targets {
        return windows;
    }
    let count = (windows.len() as u128 * targets as u128 / all as u128).max(1) as usize;
    (0..count).map(|index| windows[(index as u128 * windows.len() as u128 / count as u128) as usize]).collect()
}

/// Windows as a batch of the length of the longest; the first must be the longest.
fn batch(windows: &[Window], dataset: &Dataset) -> Batch {
    let length = windows.first().map_or(0, |window| window.length);
    let document_token = dataset.tokenizer().document_token();
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for window in windows {
        let document = dataset.parts(Split::Validation)[window.part].corpus.document(window.document).tokens;
        let end = window.start + window.length;
        let row = tokens.len();
        match window.start.checked_sub(1) {
            Some(before) => tokens.extend(document.range(before..end - 1)),
            None => {
                tokens.push(document_token);
                tokens.extend(document.range(0..end - 1));
            }
        }
        tokens.resize(row + length, document_token);
        let scored = (window.start..).zip(document.range(window.start..end));
        targets.extend(scored.map(|(at, token)| if at < document.scored_from() { IGNORED } else { token }));
        targets.resize(row + length, IGNORED);
    }
    Batch { tokens, targets, rows: windows.len(), length }
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
        (0..).zip(lengths).map(|(start, &length)| Window { part: 0, document: 0, start, length }).collect()
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
