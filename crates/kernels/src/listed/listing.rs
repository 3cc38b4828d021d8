//! Which rows of a table a query reads, as a rule.

/// Rows next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first one.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// The rows of a table that query i of a call reads: the direct terms of Combiner (arXiv 2107.05768), its summaries, or the members of
/// the sets that are summarised.
///
/// Sets of the kind *fixed* are complete spans. Those of the kind *logsparse* are nodes of a tree over positions: node m >= 1 stands
/// for the positions from m - lowbit(m) up to, but without, m. The nodes t, t without its lowest bit, and so on, cover 0 .. t - 1 exactly, and
/// at each position one node is complete that was not before.
///
/// ```
/// use percept_kernels::Listing;
/// let rows = |listing: Listing, query| {
///     let mut rows = Vec::new();
///     listing.each(query, |run| rows.extend(run.first..run.first + run.count));
///     rows
/// };
/// // Position 6 = 4 + 2 reads the nodes 6 and 4, and those stand for the positions 4 .. 6 and 0 .. 4.
/// assert_eq!(rows(Listing::Nodes { start: 0, first: 1, slots: 0 }, 6), [5, 3]);
/// assert_eq!(rows(Listing::NodeMembers { first: 1 }, 5), [4, 5]);
/// assert_eq!(rows(Listing::NodeMembers { first: 1 }, 3), [0, 1, 2, 3]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// The span of position `start + i` up to itself; the table begins at position `table`.
    Span {
        /// Positions per span.
        length: usize,
        /// Position of the first query.
        start: usize,
        /// Position of the table's first row, at most that of the span of `start`.
        table: usize,
    },
    /// A row for every span before that of position `start + i`.
    Spans {
        /// Positions per span.
        length: usize,
        /// Position of the first query.
        start: usize,
    },
    /// The `length` rows of span i of the table.
    SpanMembers {
        /// Positions per span.
        length: usize,
    },
    /// The nodes that cover the positions before `start + i`. The table begins with `slots` rows for nodes before `first`, of each size
    /// the last one; the nodes from `first` on follow.
    Nodes {
        /// Position of the first query.
        start: usize,
        /// The first node with a row of its own, at least 1.
        first: usize,
        /// Rows for earlier nodes: one of `1 << l` positions lies in row l.
        slots: usize,
    },
    /// The positions of node `first + i`; the table begins at position 0.
    NodeMembers {
        /// The first node, at least 1.
        first: usize,
    },
}

impl Listing {
    /// Calls `see` with every run of rows that a query reads.
    pub fn each(&self, query: usize, mut see: impl FnMut(Run)) {
        match *self {
            Self::Span { length, start, table } => {
                let position = start + query;
                see(Run { first: position - position % length - table, count: position % length + 1 });
            }
            Self::Spans { length, start } => see(Run { first: 0, count: (start + query) / length }),
            Self::SpanMembers { length } => see(Run { first: query * length, count: length }),
            Self::Nodes { start, first, slots } => {
                let mut node = start + query;
                while node > 0 {
                    let row = if node < first { node.trailing_zeros() as usize } else { slots + node - first };
                    see(Run { first: row, count: 1 });
                    node &= node - 1;
                }
            }
            Self::NodeMembers { first } => {
                let node = first + query;
                let count = 1 << node.trailing_zeros();
                see(Run { first: node - count, count });
            }
        }
    }

    /// Rows that a query reads.
    pub fn count(&self, query: usize) -> usize {
        let mut count = 0;
        self.each(query, |run| count += run.count);
        count
    }

    /// Rows that the first `queries` queries read, all together.
    pub fn terms(&self, queries: usize) -> u64 {
        (0..queries).map(|query| self.count(query) as u64).sum()
    }

    /// Rows that a table must have for so many queries.
    pub(super) fn table_rows(&self, queries: usize) -> usize {
        let mut rows = 0;
        (0..queries).for_each(|query| self.each(query, |run| rows = rows.max(run.first + run.count)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(listing: Listing, query: usize) -> Vec<usize> {
        let mut rows = Vec::new();
        listing.each(query, |run| rows.extend(run.first..run.first + run.count));
        rows
    }

    #[test]
    fn spans_and_their_finished_ones_cover_all_positions_once() {
        for length in [1, 3, 8] {
            for position in 0..40 {
                let mut covered = rows(Listing::Span { length, start: position, table: 0 }, 0);
                for set in rows(Listing::Spans { length, start: 0 }, position) {
                    covered.extend(rows(Listing::SpanMembers { length }, set));
                }
                covered.sort_unstable();
                assert_eq!(covered, (0..=position).collect::<Vec<_>>(), "spans of {length} at {position}");
            }
        }
    }

    #[test]
    fn nodes_cover_all_earlier_positions_once() {
        for position in 0..300 {
            let nodes = rows(Listing::Nodes { start: 0, first: 1, slots: 0 }, position);
            assert_eq!(nodes.len(), position.count_ones() as usize);
            let members = |node: usize| rows(Listing::NodeMembers { first: 1 }, node);
            let mut covered: Vec<usize> = nodes.into_iter().flat_map(members).collect();
            covered.sort_unstable();
            assert_eq!(covered, (0..position).collect::<Vec<_>>(), "at {position}");
        }
    }

    #[test]
    fn earlier_nodes_are_found_in_their_slots() {
        for start in 1..70 {
            for query in 0..20 {
                // What each row of the table stands for: in the slots the last node of every size before `start`.
                let last = |size: usize| (1..start).rfind(|node: &usize| node.trailing_zeros() as usize == size);
                let table: Vec<usize> =
                    (0..8).map(|size| last(size).unwrap_or(0)).chain(start..=start + query).collect();
                let found: Vec<usize> = rows(Listing::Nodes { start, first: start, slots: 8 }, query)
                    .into_iter()
                    .map(|row| table[row])
                    .collect();
                let expected: Vec<usize> = rows(Listing::Nodes { start: 0, first: 1, slots: 0 }, start + query)
                    .into_iter()
                    .map(|row| row + 1)
                    .collect();
                assert_eq!(found, expected, "{query} after {start}");
            }
        }
    }
}
