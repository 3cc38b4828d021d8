//! The windows of one part of the text: which there are in an epoch, and what is in them.

use std::ops::Range;

use super::grid::Grid;
use crate::{Packing, Part};
use percept_random::Permutation;

/// Keep the uses of one seed apart.
const PHASE_KEY: u64 = 0x7068_6173;
const ORDER_KEY: u64 = 0x6f72_6472;

/// A token with whether it may be a target: document tokens and context may not.
pub(super) type Scored = (u32, bool);

/// Tokens of a window, one more than its length: each is the target of the one before.
#[derive(Debug, PartialEq)]
pub(super) struct TrainingWindow {
    pub(super) tokens: Vec<Scored>,
    /// Index in `tokens` of the first target of this window; those before are targets of other windows.
    pub(super) first: usize,
}

/// The windows of a part in one epoch. With documents kept apart, each document is a sequence of its own; else all
/// documents, in a seeded order, are one. A sequence is `document token, tokens...`, over and over.
#[derive(Debug)]
pub(super) enum Layout {
    /// Windows before each document, in order; one more for all.
    Documents { first_windows: Vec<u64>, seed: u64 },
    /// Where each document starts in the joined sequence; one more for its length.
    Joined { starts: Vec<u64>, order: Permutation, grid: Grid },
}

impl Layout {
    pub(super) fn new(part: &Part, packing: Packing, window: u64, seed: u64, epoch: u64) -> Self {
        let count = part.documents.len() as u64;
        match packing {
            Packing::Document => {
                let seed = percept_random::hash(&[PHASE_KEY, seed, epoch]);
                let windows = (0..part.documents.len()).map(|at| document_grid(part, at, window, seed).count());
                Layout::Documents { first_windows: sums(windows), seed }
            }
            Packing::Concatenate => {
                let order = Permutation::new(count, &[ORDER_KEY, seed]);
                let length = |rank| 1 + part.corpus.tokens(part.documents[order.apply(rank) as usize]).len() as u64;
                let starts = sums((0..count).map(length));
                let targets = starts.last().copied().unwrap_or(0).saturating_sub(1);
                let grid = Grid::new(targets, window, &[PHASE_KEY, seed, epoch]);
                Layout::Joined { starts, order, grid }
            }
        }
    }

    /// Windows in the epoch.
    pub(super) fn count(&self) -> u64 {
        match self {
            Layout::Documents { first_windows, .. } => first_windows.last().copied().unwrap_or(0),
            Layout::Joined { grid, .. } => grid.count(),
        }
    }

    /// TrainingWindow `index` of the epoch, of at most `window` targets. Where it has fewer, earlier tokens of the sequence fill it up.
    pub(super) fn window(&self, part: &Part, index: u64, window: u64) -> TrainingWindow {
        match self {
            Layout::Documents { first_windows, seed } => {
                let at = first_windows.partition_point(|&first| first <= index) - 1;
                let document = part.corpus.tokens(part.documents[at]);
                let context = document.scored_from() as u64;
                let span = document_grid(part, at, window, *seed).span(index - first_windows[at]);
                let span = span.start + context..span.end + context;
                let range = filled(&span, window);
                let first = (span.start - range.start) as usize;
                TrainingWindow { tokens: read(part, part.documents[at], range), first }
            }
            Layout::Joined { starts, order, grid } => {
                let span = grid.span(index);
                let range = filled(&span, window);
                let mut tokens = Vec::with_capacity(range.end as usize - range.start as usize);
                let mut rank = starts.partition_point(|&start| start <= range.start) - 1;
                while tokens.len() < (range.end - range.start) as usize {
                    let from = (range.start + tokens.len() as u64) - starts[rank];
                    let to = (range.end - starts[rank]).min(starts[rank + 1] - starts[rank]);
                    tokens.extend(read(part, part.documents[order.apply(rank as u64) as usize], from..to));
                    rank += 1;
                }
                TrainingWindow { tokens, first: (span.start - range.start) as usize }
            }
        }
    }
}

fn document_grid(part: &Part, at: usize, window: u64, seed: u64) -> Grid {
    let document = part.documents[at];
    let tokens = part.corpus.tokens(document);
    Grid::new(tokens.len().saturating_sub(tokens.scored_from()) as u64, window, &[seed, document as u64])
}

/// The tokens of a sequence that a window of target span `span` holds: target `t` is token `t + 1`, its input token `t`.
fn filled(span: &Range<u64>, window: u64) -> Range<u64> {
    span.end.saturating_sub(window).min(span.start)..span.end + 1
}

/// Tokens `range` of the sequence that is the document token and then the document.
fn read(part: &Part, document: usize, range: Range<u64>) -> Vec<Scored> {
    let tokens = part.corpus.tokens(document);
    let mut sequence = Vec::with_capacity((range.end - range.start) as usize);
    if range.start == 0 {
        sequence.push((part.corpus.document_token(), false));
    }
    let start = range.start.saturating_sub(1) as usize;
    let text = tokens.range(start..range.end.saturating_sub(1) as usize);
    sequence.extend(text.into_iter().zip(start..).map(|(token, at)| (token, tokens.marked().contains(at))));
    sequence
}

/// Running sums, from 0 to the sum of all.
fn sums(counts: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut sums = vec![0];
    let mut sum = 0;
    sums.extend(counts.map(|count| {
        sum += count;
        sum
    }));
    sums
}
