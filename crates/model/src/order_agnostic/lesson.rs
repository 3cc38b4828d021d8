//! Which sources of a batch are asked for which targets.

use std::ops::RangeInclusive;

use percept_fault::{Fault, Result};

use super::Windows;
use crate::batch::{IGNORED, check_tokens};

/// Sources that ask at one offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The target's position, counted from the source's.
    pub offset: isize,
    /// The sources, as row-major indices into the batch.
    pub sources: Vec<usize>,
}

/// Text, and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// `[rows * length]` input tokens.
    pub tokens: Vec<u32>,
    /// Number of windows.
    pub rows: usize,
    /// Tokens per window.
    pub length: usize,
    /// The pairs of sources and targets, offset by offset.
    pub asked: Vec<Asked>,
    /// The token at the target of each pair, in the order of `asked`.
    pub labels: Vec<u32>,
}

impl Lesson {
    /// Clean text: offsets 1 ..= f, targets that are scored.
    ///
    /// ```
    /// use percept_model::order_agnostic::{Lesson, Windows};
    /// use percept_model::{Batch, IGNORED};
    /// // A prompt of two tokens, and an answer of three: 7, 8 and 9.
    /// let batch = Batch { tokens: vec![5, 6, 7, 8], targets: vec![IGNORED, 7, 8, 9], rows: 1, length: 4 };
    /// let lesson = Lesson::forward(&Windows { batch: &batch, document: 0, first: 0 }, 2);
    /// assert_eq!((lesson.asked[0].offset, &lesson.asked[0].sources[..]), (1, &[1, 2, 3][..]));
    /// // Two tokens on, the first token of the prompt is a source too.
    /// assert_eq!((lesson.asked[1].offset, &lesson.asked[1].sources[..]), (2, &[0, 1, 2][..]));
    /// assert_eq!(lesson.labels, [7, 8, 9, 7, 8, 9]);
    /// ```
    pub fn forward(windows: &Windows<'_>, forward: usize) -> Self {
        Self::new(windows, windows.batch.tokens.clone(), 1..=forward as isize, |row, target| {
            (windows.scored(row, target), windows.label(row, target))
        })
    }

    /// Text with errors, `tokens`: offsets -b ..= 0, targets that are `labelled` (an entry per token of the batch); what is to be
    /// predicted is the original.
    pub fn backward(windows: &Windows<'_>, tokens: Vec<u32>, labelled: &[bool], backward: usize) -> Self {
        let length = windows.batch.length;
        Self::new(windows, tokens, -(backward as isize)..=0, |row, target| {
            (labelled[row * length + target], windows.batch.tokens[row * length + target])
        })
    }

    /// `target(row, position)`: whether a position is asked for, and the token there.
    fn new(
        windows: &Windows<'_>,
        tokens: Vec<u32>,
        offsets: RangeInclusive<isize>,
        target: impl Fn(usize, usize) -> (bool, u32),
    ) -> Self {
        let (rows, length) = (windows.batch.rows, windows.batch.length);
        let documents: Vec<Vec<usize>> = (0..rows).map(|row| windows.documents(row)).collect();
        let (mut asked, mut labels) = (Vec::new(), Vec::new());
        for offset in offsets {
            let mut sources = Vec::new();
            for (row, documents) in documents.iter().enumerate() {
                for source in windows.first..length {
                    let Some(at) = source.checked_add_signed(offset).filter(|at| *at <= length) else { continue };
                    // The target after the window belongs to the document that the window ends with, or is not scored.
                    if documents[source] != documents[at.min(length - 1)] {
                        continue;
                    }
                    let (wanted, label) = target(row, at);
                    if wanted {
                        sources.push(row * length + source);
                        labels.push(label);
                    }
                }
            }
            asked.push(Asked { offset, sources });
        }
        Self { tokens, rows, length, asked, labels }
    }

    /// Pairs whose label is asked for.
    pub fn pairs(&self) -> usize {
        self.labels.len()
    }

    /// Checks the sizes, and that every token is below `vocab`.
    ///
    /// # Errors
    /// Usage: a token outside the vocabulary. Internal: sizes that do not fit each other.
    pub fn validate(&self, vocab: usize) -> Result<()> {
        let size = self.rows * self.length;
        let sources = || self.asked.iter().flat_map(|asked| &asked.sources);
        if size == 0
            || self.tokens.len() != size
            || sources().count() != self.labels.len()
            || sources().any(|at| *at >= size)
        {
            return Err(Fault::internal(format!(
                "a lesson of {} x {} has {} tokens and {} labels",
                self.rows,
                self.length,
                self.tokens.len(),
                self.labels.len()
            )));
        }
        check_tokens(&self.tokens, vocab)?;
        check_tokens(&self.labels, vocab)
    }
}

impl Windows<'_> {
    /// Whether the token at a position of a window is scored; the last position is the one after the window.
    pub(super) fn scored(&self, row: usize, position: usize) -> bool {
        position > 0 && self.label(row, position) != IGNORED
    }

    /// The token at a position above 0, where it is scored.
    fn label(&self, row: usize, position: usize) -> u32 {
        self.batch.targets[row * self.batch.length + position - 1]
    }

    /// For each position of a window how many documents have begun up to there.
    pub(super) fn documents(&self, row: usize) -> Vec<usize> {
        let tokens = &self.batch.tokens[row * self.batch.length..][..self.batch.length];
        let begun = tokens.iter().scan(0, |begun, &token| {
            *begun += usize::from(token == self.document);
            Some(*begun)
        });
        begun.collect()
    }
}
