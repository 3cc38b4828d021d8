//! Softmax attention of queries to intervals of keys, forward and backward.
//!
//! In the manner of FlashAttention (arXiv 2205.14135): a block of query rows meets the keys it can see tile by tile,
//! tiles that no row of the block sees are never touched, and the backward pass recomputes the probabilities from the
//! saved log-sum-exp. No buffer grows with `queries x keys`.

mod backward;
mod cost;
mod forward;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod rounding;
mod rows;

use crate::matmul::{Operand, View};
use crate::{Dropout, Precision, Product, Visibility};
use std::ops::Range;

/// Query rows that are processed together.
const ROWS: usize = 64;
/// Most keys that are processed together.
const TILE: usize = 512;

/// Sizes of one call. Queries and outputs are `[batch, queries, heads, width]`, keys and values
/// `[batch, keys, groups, width]`, all contiguous; query head `i` reads key head `i / (heads / groups)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Sequences.
    pub batch: usize,
    /// Query rows per sequence.
    pub queries: usize,
    /// Key rows per sequence.
    pub keys: usize,
    /// Query heads, a multiple of `groups`.
    pub heads: usize,
    /// Key heads.
    pub groups: usize,
    /// Channels per head.
    pub width: usize,
}

/// `softmax(scale * q k^T, over the visible keys) v`, with dropout on the probabilities.
///
/// ```
/// use percept_kernels::{Attention, AttentionShape, Pattern, Precision, Visibility};
/// let shape = AttentionShape { batch: 1, queries: 2, keys: 2, heads: 1, groups: 1, width: 2 };
/// let (visibility, scale) = (Visibility::new(Pattern::Causal), 0.5_f32.sqrt());
/// let attention = Attention { shape, visibility, scale, dropout: None, precision: Precision::F32 };
/// let (q, k, v) = ([0.0; 4], [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0]);
/// let (mut output, mut lse) = (vec![0.0; shape.query_len()], vec![0.0; shape.lse_len()]);
/// attention.forward(&q, &k, &v, &mut output, &mut lse);
/// // The first query sees one value; the second one, all of whose scores are 0, the mean of two.
/// assert_eq!(output, [1.0, 0.0, 0.5, 0.5]);
/// assert!((lse[1] - 2_f32.ln()).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// The sizes.
    pub shape: AttentionShape,
    /// Who sees whom. A query that sees nothing gives zero.
    pub visibility: Visibility,
    /// Factor of the scores, positive.
    pub scale: f32,
    /// Its mask is a function of the flat index into `[batch, heads, queries, keys]`.
    pub dropout: Option<Dropout>,
    /// The format of the operands of all products: of queries, keys and values, and of probabilities and gradients. Anything
    /// but f32 must be [supported](Precision::is_supported). Softmax, its statistics and all sums are f32.
    pub precision: Precision,
}

/// What the backward pass reads.
#[derive(Debug, Clone, Copy)]
pub struct AttentionSaved<'a> {
    /// The queries.
    pub q: &'a [f32],
    /// The keys.
    pub k: &'a [f32],
    /// The values.
    pub v: &'a [f32],
    /// The output of the forward pass.
    pub output: &'a [f32],
    /// The log-sum-exp `[batch, heads, queries]` of the forward pass.
    pub lse: &'a [f32],
}

impl AttentionShape {
    /// Elements of the queries, and of the output.
    pub fn query_len(&self) -> usize {
        self.batch * self.queries * self.heads * self.width
    }

    /// Elements of the keys, and of the values.
    pub fn key_len(&self) -> usize {
        self.batch * self.keys * self.groups * self.width
    }

    /// Elements of the log-sum-exp.
    pub fn lse_len(&self) -> usize {
        self.batch * self.heads * self.queries
    }

    fn query_stride(&self) -> usize {
        self.heads * self.width
    }

    fn key_stride(&self) -> usize {
        self.groups * self.width
    }

    /// Where row `row` of head `head` of sequence `entry` begins in the queries.
    fn query_at(&self, entry: usize, row: usize, head: usize) -> usize {
        ((entry * self.queries + row) * self.heads + head) * self.width
    }

    /// The same in the keys.
    fn key_at(&self, entry: usize, row: usize, group: usize) -> usize {
        ((entry * self.keys + row) * self.groups + group) * self.width
    }
}

impl Attention {
    fn check(&self, q: usize, k: usize, v: usize) {
        let shape = &self.shape;
        assert!(shape.groups > 0 && shape.heads.is_multiple_of(shape.groups), "heads must be a multiple of groups");
        assert!(self.scale > 0.0, "the scale must be positive");
        assert_eq!((q, k, v), (shape.query_len(), shape.key_len(), shape.key_len()), "sizes of q, k, v");
    }

    /// The key rows that some row of the block sees, and those up to where parts of the operands begin and end.
    fn span(&self, rows: &Range<usize>) -> Range<usize> {
        let (keys, step) = (self.shape.keys, Operand::step(self.precision));
        let first = self.visibility.range(rows.start, keys).start / step * step;
        first..self.visibility.range(rows.end.saturating_sub(1), keys).end.next_multiple_of(step).min(keys).max(first)
    }

    /// These rows of the keys, or of the values, of one group.
    fn key_rows<'a>(&self, data: &'a [f32], (entry, group): (usize, usize), rows: &Range<usize>) -> View<'a> {
        let at = self.shape.key_at(entry, rows.start, group);
        // No rows may begin behind the end.
        View::rows(data.get(at..).unwrap_or_default(), self.shape.key_stride())
    }

    /// `rows` as an operand `[rows, width]`.
    fn across<'a>(&self, product: Product, rows: View<'a>, count: usize) -> Operand<'a> {
        Operand::new(product, rows, (count, self.shape.width))
    }

    /// `rows` as an operand `[width, rows]`.
    fn along<'a>(&self, product: Product, rows: View<'a>, count: usize) -> Operand<'a> {
        Operand::new(product, rows.transposed(), (self.shape.width, count))
    }

    /// The part of the key tile `tile` that query row `row` sees, relative to the tile.
    fn visible(&self, row: usize, tile: &Range<usize>) -> Range<usize> {
        let seen = self.visibility.range(row, self.shape.keys);
        let start = seen.start.clamp(tile.start, tile.end) - tile.start;
        let end = seen.end.clamp(tile.start, tile.end) - tile.start;
        start..end.max(start)
    }

    /// Index of the first key's entry of a row of scores, for the dropout mask.
    fn flat(&self, entry: usize, head: usize, row: usize) -> u64 {
        let shape = &self.shape;
        ((entry * shape.heads + head) * shape.queries + row) as u64 * shape.keys as u64
    }
}

/// `range` cut into pieces of `size`.
fn pieces(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(size).map(move |start| start..(start + size).min(end))
}
