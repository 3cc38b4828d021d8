//! Which keys a query may see. Every pattern is one interval of keys per query, and both ends of
//! the interval never move backwards from one query row to the next.

use std::ops::Range;

/// A rule between the absolute position `p` of a query and `c` of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// `c <= p`.
    Causal,
    /// `p - width < c <= p`.
    Band {
        /// Number of keys seen, the query's own position included.
        width: usize,
    },
    /// `(p / length - 1) * length <= c <= p`: the own segment, causally, and all of the one before
    /// (LLP, arXiv 2412.06106).
    SegmentPair {
        /// Positions per segment.
        length: usize,
    },
    /// Every key.
    Everything,
    /// `p / length == c / length`, in both directions.
    Blocks {
        /// Positions per block.
        length: usize,
    },
    /// `(p + shift) / length == (c + shift) / length` and `c <= p` (the two halves of LongLoRA's
    /// shifted sparse attention, arXiv 2309.12307).
    CausalBlocks {
        /// Positions per block.
        length: usize,
        /// How far the block boundaries are shifted towards the start.
        shift: usize,
    },
}

/// A [`Pattern`] together with the absolute positions of the first query row and the first key row.
///
/// ```
/// use percept_kernels::{Pattern, Visibility};
/// // Segments of four tokens: token 9 sees its own segment up to itself, and all of the one before.
/// let pairs = Visibility::new(Pattern::SegmentPair { length: 4 });
/// assert_eq!(pairs.range(9, 12), 4..10);
/// // A stream keeps the keys from position 4 on; its next query is at position 9.
/// let stream = Visibility { query_start: 9, key_start: 4, ..pairs };
/// assert_eq!(stream.range(0, 6), 0..6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visibility {
    /// The rule.
    pub pattern: Pattern,
    /// Absolute position of row 0 of the queries.
    pub query_start: usize,
    /// Absolute position of row 0 of the keys.
    pub key_start: usize,
}

impl Visibility {
    /// Queries and keys that both start at position 0.
    pub fn new(pattern: Pattern) -> Self {
        Self { pattern, query_start: 0, key_start: 0 }
    }

    /// The key rows, of `keys` rows, that query row `query_row` sees. May be empty; then the
    /// attention output of the row is zero.
    pub fn range(&self, query_row: usize, keys: usize) -> Range<usize> {
        let position = self.query_start + query_row;
        let past = position + 1;
        let (first, end) = match self.pattern {
            Pattern::Everything => return 0..keys,
            Pattern::Causal => (0, past),
            Pattern::Band { width } => (past.saturating_sub(width), past),
            Pattern::SegmentPair { length } => ((position / length).saturating_sub(1) * length, past),
            Pattern::Blocks { length } => (position / length * length, (position / length + 1) * length),
            Pattern::CausalBlocks { length, shift } => {
                (((position + shift) / length * length).saturating_sub(shift), past)
            }
        };
        let row = |key: usize| key.saturating_sub(self.key_start).min(keys);
        row(first)..row(end).max(row(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [Pattern; 7] = [
        Pattern::Causal,
        Pattern::Band { width: 3 },
        Pattern::SegmentPair { length: 4 },
        Pattern::Everything,
        Pattern::Blocks { length: 4 },
        Pattern::CausalBlocks { length: 4, shift: 0 },
        Pattern::CausalBlocks { length: 6, shift: 3 },
    ];

    fn sees(pattern: Pattern, p: i64, c: i64) -> bool {
        match pattern {
            Pattern::Causal => c <= p,
            Pattern::Band { width } => p - (width as i64) < c && c <= p,
            Pattern::SegmentPair { length } => c <= p && c >= (p / length as i64 - 1) * length as i64,
            Pattern::Everything => true,
            Pattern::Blocks { length } => p / length as i64 == c / length as i64,
            Pattern::CausalBlocks { length, shift } => {
                (p + shift as i64) / length as i64 == (c + shift as i64) / length as i64 && c <= p
            }
        }
    }

    #[test]
    fn ranges_are_the_definition_row_by_row() {
        for pattern in PATTERNS {
            for (query_start, key_start, keys) in [(0, 0, 20), (7, 3, 12), (3, 7, 9), (30, 0, 5), (5, 5, 1)] {
                let visibility = Visibility { pattern, query_start, key_start };
                for row in 0..17 {
                    let range = visibility.range(row, keys);
                    for key in 0..keys {
                        let expected = sees(pattern, (query_start + row) as i64, (key_start + key) as i64);
                        assert_eq!(range.contains(&key), expected, "{visibility:?} row {row} key {key}");
                    }
                }
            }
        }
    }

    #[test]
    fn ranges_never_move_backwards() {
        for pattern in PATTERNS {
            let visibility = Visibility { pattern, query_start: 2, key_start: 1 };
            let ranges: Vec<_> = (0..30).map(|row| visibility.range(row, 24)).collect();
            assert!(ranges.windows(2).all(|w| w[0].start <= w[1].start && w[0].end <= w[1].end), "{pattern:?}");
        }
    }
}
