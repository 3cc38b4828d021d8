//! Attention of queries to listed rows of one or several tables in one softmax, and maxima over listed rows: the parts of Combiner.

mod axes;
mod backward;
mod forward;
mod listing;
mod maximum;
#[cfg(test)]
mod reference;
mod row;

pub use axes::{Axes, AxesTable, Sides};
pub use backward::ListedGradients;
pub use listing::{Listing, Run};
pub use maximum::ListedMaximum;

use crate::Cost;

/// Sizes of a call: `softmax(scale * q k^T) v` over all rows that the [`Listing`]s of its parts name, in one softmax.
///
/// A part has queries `[batch, queries, heads, width]`, keys `[batch, rows, groups, width]` and values `[batch, rows, groups or heads,
/// width]`; query head `i` reads key head `i / (heads / groups)`. Different parts may have the same queries rotated or not. No buffer grows with
/// `queries x rows`. A query that reads nothing gives zero.
///
/// ```
/// use percept_kernels::{Listed, ListedPart, Listing};
/// let listed = Listed { batch: 1, queries: 3, heads: 1, groups: 1, width: 1, scale: 1.0 };
/// // Spans of two rows: the third row reads itself, and a summary of the first two.
/// let own = ListedPart { q: &[0.0; 3], k: &[0.0; 3], v: &[1.0, 3.0, 5.0], rows: Listing::Span { length: 2, start: 0, table: 0 } };
/// let summary = ListedPart { q: &[0.0; 3], k: &[0.0], v: &[2.0], rows: Listing::Spans { length: 2, start: 0 } };
/// let (mut y, mut lse) = ([0.0; 3], [0.0; 3]);
/// listed.forward(&[own, summary], &mut y, &mut lse);
/// assert_eq!(y, [1.0, 2.0, 3.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Listed {
    /// Sequences.
    pub batch: usize,
    /// Queries per sequence.
    pub queries: usize,
    /// Query heads, a multiple of `groups`.
    pub heads: usize,
    /// Key heads.
    pub groups: usize,
    /// Channels per head.
    pub width: usize,
    /// Factor of the scores.
    pub scale: f32,
}

/// One table, and who reads it.
#[derive(Debug, Clone, Copy)]
pub struct ListedPart<'a> {
    /// The queries.
    pub q: &'a [f32],
    /// The keys.
    pub k: &'a [f32],
    /// The values.
    pub v: &'a [f32],
    /// Which rows a query reads.
    pub rows: Listing,
}

impl Listed {
    /// Elements of the queries of a part, and of the output.
    pub fn query_len(&self) -> usize {
        self.batch * self.queries * self.heads * self.width
    }

    /// Elements of the log-sum-exp.
    pub fn lse_len(&self) -> usize {
        self.batch * self.queries * self.heads
    }

    /// What the forward pass executes: scores, and values weighted by them.
    pub fn forward_cost(&self, lists: &[Listing]) -> Cost {
        self.products(lists) * 2
    }

    /// What the backward pass executes: the scores again, their gradient, and the gradients of queries, keys and values.
    pub fn backward_cost(&self, lists: &[Listing]) -> Cost {
        self.products(lists) * 5
    }

    /// One product for each query and part.
    fn products(&self, lists: &[Listing]) -> Cost {
        let (queries, width) = (self.queries as u64, self.width as u64);
        let one = |list: &Listing| {
            let terms = list.terms(self.queries);
            let elements = queries.saturating_mul(width).saturating_add(terms.saturating_mul(width + 1));
            Cost { macs: terms.saturating_mul(width), elements }
        };
        lists.iter().map(one).sum::<Cost>() * (self.batch as u64).saturating_mul(self.heads as u64)
    }

    /// Query heads that read one key head.
    fn share(&self) -> usize {
        self.heads / self.groups
    }

    fn check(&self, parts: &[ListedPart<'_>]) {
        assert!(self.groups > 0 && self.heads.is_multiple_of(self.groups), "heads must be a multiple of groups");
        let row = self.batch * self.groups * self.width;
        for part in parts {
            assert_eq!(part.q.len(), self.query_len(), "size of a part's queries");
            let rows = part.k.len() / row;
            assert!(part.k.len() == rows * row && rows >= part.rows.table_rows(self.queries), "size of a part's keys");
            assert!(
                [1, self.share()].iter().any(|heads| part.v.len() == heads * part.k.len()),
                "size of a part's values"
            );
        }
    }

    /// Where a part's rows lie for one sequence and head.
    fn table<'a>(&self, part: &ListedPart<'a>, entry: usize, head: usize) -> Table<'a> {
        let key_stride = self.groups * self.width;
        let rows = part.k.len() / (self.batch * key_stride);
        let value_heads = part.v.len() / (self.batch * rows * self.width).max(1);
        let value_stride = value_heads * self.width;
        let group = head / self.share();
        let value_head = if value_heads == self.heads { head } else { group };
        Table {
            k: &part.k[entry * rows * key_stride..][..rows * key_stride],
            v: &part.v[entry * rows * value_stride..][..rows * value_stride],
            key: Place { at: group * self.width, stride: key_stride },
            value: Place { at: value_head * self.width, stride: value_stride },
        }
    }
}

/// Where row 0 of a head begins, and how far apart rows are.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    stride: usize,
}

impl Place {
    /// Where the rows of a run begin, and how far apart they are.
    fn run(self, run: Run) -> (usize, usize) {
        (self.at + run.first * self.stride, run.stride * self.stride)
    }
}

/// The rows of one sequence as one head sees them.
#[derive(Debug, Clone, Copy)]
struct Table<'a> {
    k: &'a [f32],
    v: &'a [f32],
    key: Place,
    value: Place,
}
