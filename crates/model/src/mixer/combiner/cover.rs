//! Which positions are read directly, and which sets of them through a summary.

use crate::config::ModelConfig;
use crate::ops::{Axes, AxesTable, Listing};

/// The sets of one kind, and where a stream keeps what it needs of them. A set is summarised at the first position that reads it.
#[derive(Debug, Clone, Copy)]
pub enum Cover {
    /// Spans of `length` positions: the own one is direct, `most` before it are finished and summarised, as `sets` say. A stream
    /// keeps its own span.
    Spans { length: usize, most: usize, sets: Sets },
    /// Nodes of a tree ([`Listing`]); only the own position is direct. A stream keeps all rows, since nodes are summarised from them,
    /// and the last summary of each size.
    Nodes { sizes: usize },
}

/// What is made of spans that are finished. Where sets are columns, spans are rows of a grid.
#[derive(Debug, Clone, Copy)]
pub enum Sets {
    /// A summary of each, which all later positions read.
    Spans,
    /// A summary of each for every column, which later positions in that column read.
    Columns,
    /// Summaries of columns, of sides, or of both; the own column is direct. A stream keeps keys and values of all positions, and of
    /// columns the last summaries only.
    Axes(Axes),
}

/// Sets that are summarised together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    /// The first slot in which a stream keeps their summaries, and how many it has.
    pub slots: (usize, usize),
    /// Slots that are filled before the new positions.
    pub kept: usize,
    /// Sets that the new positions are the first to read.
    pub made: usize,
    /// Their members in the table of queries: kept rows and new ones; before them, where sets grow, their largest so far.
    pub queries: Listing,
    /// Their members in the table of keys and values, from this row of it on.
    pub keys: (usize, Listing),
    /// Whether they are earlier sets with a further row, whose place their summaries take.
    pub grows: bool,
}

/// Positions of a span of the given key, 0: the least power of two whose square is the context or more.
pub(super) fn span(config: &ModelConfig, key: usize) -> usize {
    let root = (0..).map(|bits| 1usize << bits).find(|length| length * length >= config.context);
    if key > 0 { key } else { root.unwrap_or(1) }
}

/// Spans that are summarised when `end` positions have been seen.
fn finished(length: usize, end: usize) -> usize {
    end.saturating_sub(1) / length
}

impl Sets {
    /// How many slots hold the last sets only, and how many more each span takes.
    fn slots(&self, length: usize) -> (usize, usize) {
        match self {
            Self::Spans => (0, 1),
            Self::Columns => (0, length),
            Self::Axes(axes) => {
                (if axes.columns() { length } else { 0 }, axes.sides().map_or(0, |sides| sides.sets(length)))
            }
        }
    }
}

impl Cover {
    pub(super) fn spans(config: &ModelConfig, length: usize, sets: Sets) -> Self {
        Self::Spans { length, most: finished(length, config.context).max(1), sets }
    }

    pub(super) fn nodes(config: &ModelConfig) -> Self {
        Self::Nodes { sizes: (config.context.max(2) - 1).ilog2() as usize + 1 }
    }

    /// Rows of queries, and of keys and values, that a stream has kept after `end` positions.
    pub(super) fn kept_rows(&self, end: usize) -> [usize; 2] {
        match self {
            Self::Spans { length, sets, .. } => {
                let own = end - finished(*length, end) * length;
                [own, if let Sets::Axes(_) = sets { end } else { own }]
            }
            Self::Nodes { .. } => [end, end],
        }
    }

    /// The most of them.
    pub(super) fn most_rows(&self, context: usize) -> [usize; 2] {
        match self {
            Self::Spans { length, sets: Sets::Axes(_), .. } => [*length, context],
            Self::Spans { length, .. } => [*length, *length],
            Self::Nodes { .. } => [context, context],
        }
    }

    /// Rows of the summaries that a stream keeps.
    pub(super) fn slots(&self) -> usize {
        match self {
            Self::Spans { length, most, sets } => {
                let (last, each) = sets.slots(*length);
                last + most * each
            }
            Self::Nodes { sizes } => *sizes,
        }
    }

    /// Sets whose largest queries a stream keeps, since they grow.
    pub(super) fn growing(&self) -> usize {
        match self {
            Self::Spans { length, sets, .. } => sets.slots(*length).0,
            Self::Nodes { .. } => 0,
        }
    }

    /// The sets that the positions `start .. end` read, in the order in which their summaries lie in a table.
    pub(super) fn groups(&self, start: usize, end: usize) -> [Option<Group>; 2] {
        let Self::Spans { length, most, sets } = *self else { return [Some(self.nodes_read(start, end)), None] };
        let (before, after) = (finished(length, start), finished(length, end));
        let (last, each) = sets.slots(length);
        let whole = |members: Listing| Group {
            slots: (last, most * each),
            kept: before * each,
            made: (after - before) * each,
            queries: members,
            keys: (0, members),
            grows: false,
        };
        let Sets::Axes(axes) = sets else {
            let each_span = matches!(sets, Sets::Spans);
            return [
                Some(whole(if each_span { Listing::SpanMembers { length } } else { Listing::WholeSpan { length } })),
                None,
            ];
        };
        let columns = axes.columns().then(|| Group {
            slots: (0, last),
            kept: if before > 0 { last } else { 0 },
            made: (after - before) * last,
            queries: Listing::Column { length, start: if before > 0 { 2 * length } else { length } },
            keys: (0, Listing::Column { length, start: (before + 1) * length }),
            grows: true,
        });
        let sides = axes.sides().map(|sides| {
            let members = Listing::SideMembers { length, first: 0, sides };
            Group { keys: (before * length, members), ..whole(members) }
        });
        [columns, sides]
    }

    fn nodes_read(&self, start: usize, end: usize) -> Group {
        let (members, slots) = (Listing::NodeMembers { first: start.max(1) }, self.slots());
        Group {
            slots: (0, slots),
            kept: if start > 1 { slots } else { 0 },
            made: end.saturating_sub(start.max(1)),
            queries: members,
            keys: (0, members),
            grows: false,
        }
    }

    /// Positions that are read directly, among the kept rows and those from `start` on.
    pub(super) fn direct(&self, start: usize) -> Listing {
        let table = start - self.kept_rows(start)[1];
        match self {
            Self::Spans { length, sets: Sets::Axes(_), .. } => Listing::Cross { length: *length, start },
            Self::Spans { length, .. } => Listing::Span { length: *length, start, table },
            Self::Nodes { .. } => Listing::Span { length: 1, start, table },
        }
    }

    /// Summaries that the positions `start .. end` read, in a table of those that were kept and those that are made: group by group.
    pub(super) fn summaries(&self, start: usize, end: usize) -> Listing {
        let groups = self.groups(start, end);
        match *self {
            Self::Spans { length, sets: Sets::Spans, .. } => Listing::Spans { length, start },
            Self::Spans { length, sets: Sets::Columns, .. } => Listing::Column { length, start },
            Self::Spans { length, sets: Sets::Axes(axes), .. } => {
                let columns = groups[0].filter(|group| group.grows).map_or(0, |group| group.kept + group.made);
                let table = AxesTable { columns_of: finished(length, start).max(1), sides: columns };
                Listing::Axes { length, start, axes, table }
            }
            Self::Nodes { .. } => {
                let slots = groups[0].map_or(0, |group| group.kept);
                Listing::Nodes { start, first: start.max(1), slots }
            }
        }
    }

    /// What a stream keeps of that table after the position `end - 1`, slot after slot: the first of so many rows; or none of them, for
    /// slots that are empty.
    pub(super) fn kept_summaries(&self, start: usize, end: usize) -> Vec<(Option<usize>, usize)> {
        if let Self::Nodes { sizes } = self {
            return self.kept_nodes(*sizes, (start, end)).into_iter().map(|row| (row, 1)).collect();
        }
        let (mut pieces, mut first) = (Vec::new(), 0);
        for group in self.groups(start, end).into_iter().flatten() {
            let (there, slots) = (group.kept + group.made, group.slots.1);
            let taken = there.min(slots);
            pieces.extend([(Some(first + there - taken), taken), (None, slots - taken)]);
            first += there;
        }
        pieces.retain(|piece| piece.1 > 0);
        pieces
    }

    fn kept_nodes(&self, sizes: usize, (start, end): (usize, usize)) -> Vec<Option<usize>> {
        let (mut slots, mut node) = (vec![None; sizes], end - 1);
        self.summaries(start, end).each(end - 1 - start, |run| {
            let size = node.trailing_zeros() as usize;
            if size < sizes {
                slots[size] = Some(run.first);
            }
            node &= node - 1;
        });
        slots
    }

    /// Where a stream at `position` finds what it reads directly, with its own row in its ring, and the summaries in their slots.
    pub(super) fn at(&self, position: usize) -> [Listing; 2] {
        match *self {
            Self::Spans { length, sets, .. } => {
                let table = position - position % length;
                let own = Listing::Span { length, start: position, table };
                match sets {
                    Sets::Spans => [own, Listing::Spans { length, start: position }],
                    Sets::Columns => [own, Listing::Column { length, start: position }],
                    Sets::Axes(axes) => {
                        let table = AxesTable { columns_of: position / length, sides: sets.slots(length).0 };
                        [
                            Listing::Cross { length, start: position },
                            Listing::Axes { length, start: position, axes, table },
                        ]
                    }
                }
            }
            Self::Nodes { sizes } => [
                Listing::Span { length: 1, start: position, table: 0 },
                Listing::Nodes { start: position, first: position + 1, slots: sizes },
            ],
        }
    }

    /// The most positions that are read directly.
    pub(super) fn most_direct(&self) -> usize {
        match self {
            Self::Spans { length, most, sets: Sets::Axes(_) } => length + most,
            Self::Spans { length, .. } => *length,
            Self::Nodes { .. } => 1,
        }
    }

    /// The most terms of one query, and of one set.
    pub(super) fn most_terms(&self, context: usize) -> usize {
        match self {
            Self::Spans { length, most, sets: Sets::Axes(_) } => 2 * length + 3 * most,
            Self::Spans { length, most, .. } => length + most,
            Self::Nodes { sizes } => context + sizes,
        }
    }
}

impl Group {
    /// The slot of a set that is made at a position, and its members in the tables of queries and of keys: its first one.
    pub(super) fn at(&self, position: usize, set: usize) -> (usize, [Listing; 2]) {
        let slot = match (self.keys.1, self.grows) {
            (Listing::NodeMembers { .. }, _) => position.trailing_zeros() as usize,
            (_, true) => self.slots.0 + set,
            (_, false) => self.slots.0 + self.kept + set,
        };
        let alone = |members: Listing| match members {
            Listing::Column { length, start } => Listing::Column { length, start: start + set },
            Listing::SideMembers { length, first, sides } => Listing::SideMembers { length, first: first + set, sides },
            // One at a time, or all the same.
            only => only,
        };
        (slot, [self.queries, self.keys.1].map(alone))
    }
}
