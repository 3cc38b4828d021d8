//! Which rows of a table a query reads, as a rule.

use super::axes::{Axes, AxesTable, Sides, triangle};

/// Rows at equal distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first one.
    pub first: usize,
    /// From one to the next.
    pub stride: usize,
    /// How many.
    pub count: usize,
}

impl Run {
    pub(super) fn of(first: usize, count: usize) -> Self {
        Self { first, stride: 1, count }
    }

    /// The row after the last one; 0 where there is none.
    fn end(self) -> usize {
        if self.count == 0 { 0 } else { self.first + (self.count - 1) * self.stride + 1 }
    }

    /// The rows.
    pub fn rows(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |at| self.first + at * self.stride)
    }
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
///     listing.each(query, |run| rows.extend(run.rows()));
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
    /// The whole span of row i of the table, what comes after that row too.
    WholeSpan {
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
    /// Of a grid with rows of `length` positions: the own row up to position `start + i`, and the own column above. The table begins at
    /// position 0.
    Cross {
        /// Positions per row.
        length: usize,
        /// Position of the first query.
        start: usize,
    },
    /// Of a grid with rows of `length` positions: the column of position `start + i` above it, without itself. The table begins at
    /// position 0.
    Column {
        /// Positions per row.
        length: usize,
        /// Position of the first query.
        start: usize,
    },
    /// The sets of a grid with rows of `length` positions that position `start + i` reads.
    Axes {
        /// Positions per row.
        length: usize,
        /// Position of the first query.
        start: usize,
        /// Which sets there are.
        axes: Axes,
        /// Where they lie.
        table: AxesTable,
    },
    /// The members of set `first + i` of the sides of rows of a grid; none where a side is empty. The table begins with a row.
    SideMembers {
        /// Positions per row.
        length: usize,
        /// The first set.
        first: usize,
        /// Which sets there are.
        sides: Sides,
    },
}

impl Listing {
    /// Calls `see` with every run of rows that a query reads.
    pub fn each(&self, query: usize, mut see: impl FnMut(Run)) {
        match *self {
            Self::Span { length, start, table } => {
                let position = start + query;
                see(Run::of(position - position % length - table, position % length + 1));
            }
            Self::Spans { length, start } => see(Run::of(0, (start + query) / length)),
            Self::SpanMembers { length } => see(Run::of(query * length, length)),
            Self::WholeSpan { length } => see(Run::of(query - query % length, length)),
            Self::Nodes { start, first, slots } => {
                let mut node = start + query;
                while node > 0 {
                    let row = if node < first { node.trailing_zeros() as usize } else { slots + node - first };
                    see(Run::of(row, 1));
                    node &= node - 1;
                }
            }
            Self::NodeMembers { first } => {
                let node = first + query;
                let count = 1 << node.trailing_zeros();
                see(Run::of(node - count, count));
            }
            Self::Cross { length, start } => {
                let (row, column) = ((start + query) / length, (start + query) % length);
                see(Run { first: column, stride: length, count: row });
                see(Run::of(row * length, column + 1));
            }
            Self::Column { length, start } => {
                let position = start + query;
                see(Run { first: position % length, stride: length, count: position / length });
            }
            Self::Axes { length, start, axes, table } => axes.read((start + query, length), table, see),
            Self::SideMembers { length, first, sides } => sides.members(length, first + query, see),
        }
    }

    /// Rows that a query reads.
    pub fn count(&self, query: usize) -> usize {
        let mut count = 0;
        self.each(query, |run| count += run.count);
        count
    }

    /// Rows that the first `queries` queries read, all together; `u64::MAX` where there are more.
    pub fn terms(&self, queries: usize) -> u64 {
        let first = match *self {
            Self::Span { start, .. }
            | Self::Spans { start, .. }
            | Self::Nodes { start, .. }
            | Self::Cross { start, .. }
            | Self::Column { start, .. }
            | Self::Axes { start, .. } => start,
            Self::NodeMembers { first } | Self::SideMembers { first, .. } => first,
            Self::SpanMembers { .. } | Self::WholeSpan { .. } => 0,
        };
        let terms = self.terms_before(first as u128 + queries as u128) - self.terms_before(first as u128);
        u64::try_from(terms).unwrap_or(u64::MAX)
    }

    /// Rows that are read by all positions, sets or nodes before one.
    fn terms_before(&self, at: u128) -> u128 {
        // Over the positions before `at`: their spans' numbers, and their places in those, from 1 on.
        let spans = |length: usize| {
            let length = length as u128;
            length * triangle(at / length) + at / length * (at % length)
        };
        let places = |length: usize| {
            let length = length as u128;
            at / length * triangle(length + 1) + triangle(at % length + 1)
        };
        let bits = 0..u128::BITS - at.leading_zeros();
        match *self {
            Self::Span { length, .. } => places(length),
            Self::Spans { length, .. } | Self::Column { length, .. } => spans(length),
            Self::Cross { length, .. } => spans(length) + places(length),
            Self::SpanMembers { length } | Self::WholeSpan { length } => at * length as u128,
            // How many numbers before `at` have a bit: of every 2 << bit of them the second half.
            Self::Nodes { .. } => {
                bits.map(|bit| (at >> (bit + 1) << bit) + (at & ((2 << bit) - 1)).saturating_sub(1 << bit)).sum()
            }
            // How many of them have it as their lowest one.
            Self::NodeMembers { .. } => {
                let last = at.saturating_sub(1);
                bits.map(|bit| ((last >> bit) - (last >> (bit + 1))) << bit).sum()
            }
            Self::Axes { length, axes, .. } => axes.read_before(at, length),
            Self::SideMembers { length, sides, .. } => sides.members_before(at, length),
        }
    }

    /// Rows that a table must have for so many queries.
    pub(super) fn table_rows(&self, queries: usize) -> usize {
        let mut rows = 0;
        (0..queries).for_each(|query| self.each(query, |run| rows = rows.max(run.end())));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sides;

    fn rows(listing: Listing, query: usize) -> Vec<usize> {
        let mut rows = Vec::new();
        listing.each(query, |run| rows.extend(run.rows()));
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

    const AXES: [Axes; 5] = [
        Axes::Vertical,
        Axes::Horizontal(Sides::Apart),
        Axes::Horizontal(Sides::Joined),
        Axes::Both(Sides::Apart),
        Axes::Both(Sides::Joined),
    ];

    #[test]
    fn a_row_and_a_column_of_whole_rows_cover_all_positions_once() {
        for length in [1, 3, 8] {
            for position in 0..40 {
                let mut covered = rows(Listing::Span { length, start: position, table: 0 }, 0);
                for set in rows(Listing::Column { length, start: position }, 0) {
                    assert_eq!(set % length, position % length);
                    covered.extend(rows(Listing::WholeSpan { length }, set));
                }
                covered.sort_unstable();
                assert_eq!(covered, (0..=position).collect::<Vec<_>>(), "rows of {length} at {position}");
            }
        }
    }

    #[test]
    fn terms_are_counted_without_looking_at_each_query() {
        for (start, length) in (0..14).flat_map(|start| [1, 2, 3, 7].map(|length| (start, length))) {
            let first = start + 1;
            let mut lists = vec![
                Listing::Span { length, start, table: 0 },
                Listing::Spans { length, start },
                Listing::SpanMembers { length },
                Listing::WholeSpan { length },
                Listing::Nodes { start, first, slots: 5 },
                Listing::NodeMembers { first },
                Listing::Cross { length, start },
                Listing::Column { length, start },
            ];
            let table = AxesTable { columns_of: 0, sides: 70 };
            lists.extend(AXES.map(|axes| Listing::Axes { length, start, axes, table }));
            let sides = [Sides::Apart, Sides::Joined];
            lists.extend(sides.map(|sides| Listing::SideMembers { length, first: start, sides }));
            for (list, queries) in lists.into_iter().flat_map(|list| (0..40).map(move |queries| (list, queries))) {
                let one_by_one: usize = (0..queries).map(|query| list.count(query)).sum();
                assert_eq!(list.terms(queries), one_by_one as u64, "{queries} of {list:?}");
                if queries % 13 == 0 {
                    let last = (0..queries).flat_map(|query| rows(list, query)).max();
                    assert_eq!(list.table_rows(queries), last.map_or(0, |row| row + 1), "{queries} of {list:?}");
                }
            }
        }
        assert_eq!(Listing::Spans { length: 1, start: 0 }.terms(usize::MAX), u64::MAX);
    }

    /// The members of the sets of the first rows of a grid, in the order of [`AxesTable`].
    fn sets((length, grid_rows): (usize, usize), axes: Axes) -> Vec<Vec<usize>> {
        let columns = if axes.columns() { length * grid_rows } else { 0 };
        let column = |set| rows(Listing::Column { length, start: length }, set);
        let side = |(set, sides)| rows(Listing::SideMembers { length, first: 0, sides }, set);
        let sides =
            axes.sides().into_iter().flat_map(|sides| (0..sides.sets(length) * grid_rows).map(move |set| (set, sides)));
        (0..columns).map(column).chain(sides.map(side)).collect()
    }

    #[test]
    fn crosses_and_axes_cover_all_positions() {
        for (axes, times) in AXES.into_iter().zip([1, 1, 1, 2, 2]) {
            for length in [1, 2, 5] {
                let sets = sets((length, 37 / length), axes);
                let columns = if axes.columns() { 37 / length * length } else { 0 };
                let table = AxesTable { columns_of: 1, sides: columns };
                for position in 0..37 {
                    let cross = rows(Listing::Cross { length, start: position }, 0);
                    let mut seen = vec![0; position + 1];
                    for set in rows(Listing::Axes { length, start: 0, axes, table }, position) {
                        assert!(!sets[set].is_empty(), "{axes:?} {length} {position}");
                        sets[set].iter().for_each(|row| seen[*row] += 1);
                    }
                    for (row, seen) in seen.into_iter().enumerate() {
                        let direct = cross.iter().filter(|other| **other == row).count();
                        let expected = if direct == 1 { 0 } else { times };
                        assert_eq!((direct < 2, seen), (true, expected), "{axes:?} {length} at {position}: {row}");
                    }
                }
            }
        }
    }

    #[test]
    fn sets_of_columns_may_begin_at_any_row() {
        let axes = Axes::Both(Sides::Apart);
        let of = |columns_of, sides, start| {
            rows(Listing::Axes { length: 3, start, axes, table: AxesTable { columns_of, sides } }, 0)
        };
        let moved = |rows: Vec<usize>, by: [usize; 2]| {
            rows.into_iter().map(|row| if row < 12 { row - by[0] } else { row - by[1] }).collect::<Vec<_>>()
        };
        for start in 9..12 {
            // Rows 1 .. 4 of the grid, or row 3 alone.
            assert_eq!(of(3, 3, start), moved(of(1, 12, start), [6, 9]), "at {start}");
        }
    }
}
