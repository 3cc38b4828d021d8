//! Which positions are read directly, and which sets of them through a summary.

use crate::config::ModelConfig;
use crate::ops::Listing;

/// The sets of one kind, and where a stream keeps what it needs of them. A set is summarised at the first position that reads it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cover {
    /// Complete spans; the own one is direct. A stream keeps its own span, and a summary of each earlier one.
    Spans { length: usize, most: usize },
    /// Nodes of a tree ([`Listing`]); only the own position is direct. A stream keeps all rows, since nodes are summarised from them,
    /// and the last summary of each size.
    Nodes { sizes: usize },
}

/// Positions of a span of the given key, 0: the least power of two whose square is the context or more.
pub(super) fn span(config: &ModelConfig, key: usize) -> usize {
    let root = (0..).map(|bits| 1usize << bits).find(|length| length * length >= config.context);
    if key > 0 { key } else { root.unwrap_or(1) }
}

impl Cover {
    pub(super) fn spans(config: &ModelConfig, length: usize) -> Self {
        Self::Spans { length, most: (config.context.saturating_sub(1) / length).max(1) }
    }

    pub(super) fn nodes(config: &ModelConfig) -> Self {
        Self::Nodes { sizes: (config.context.max(2) - 1).ilog2() as usize + 1 }
    }

    /// Rows of queries, keys and values that a stream has kept after `end` positions.
    pub(super) fn kept_rows(&self, end: usize) -> usize {
        match self {
            Self::Spans { length, .. } if end > 0 => (end - 1) % length + 1,
            Self::Spans { .. } => 0,
            Self::Nodes { .. } => end,
        }
    }

    /// The most of them.
    pub(super) fn most_rows(&self, context: usize) -> usize {
        match self {
            Self::Spans { length, .. } => *length,
            Self::Nodes { .. } => context,
        }
    }

    /// Rows of the summaries that a stream keeps.
    pub(super) fn slots(&self) -> usize {
        match self {
            Self::Spans { most, .. } => *most,
            Self::Nodes { sizes } => *sizes,
        }
    }

    /// Summaries of them that were made before `start`, in front of those that the rows from there on make.
    pub(super) fn earlier(&self, start: usize) -> usize {
        match self {
            Self::Spans { length, .. } => start.saturating_sub(1) / length,
            Self::Nodes { .. } if start <= 1 => 0,
            Self::Nodes { sizes } => *sizes,
        }
    }

    /// Sets that the positions `start .. end` are the first to read.
    pub(super) fn sets(&self, start: usize, end: usize) -> usize {
        match self {
            Self::Spans { length, .. } => end.saturating_sub(1) / length - start.saturating_sub(1) / length,
            Self::Nodes { .. } => end.saturating_sub(start.max(1)),
        }
    }

    /// Their members among the kept rows and those from `start` on.
    pub(super) fn members(&self, start: usize) -> Listing {
        match self {
            Self::Spans { length, .. } => Listing::SpanMembers { length: *length },
            Self::Nodes { .. } => Listing::NodeMembers { first: start.max(1) },
        }
    }

    /// Positions that are read directly, among the kept rows and those from `start` on.
    pub(super) fn direct(&self, start: usize) -> Listing {
        let table = start - self.kept_rows(start);
        match self {
            Self::Spans { length, .. } => Listing::Span { length: *length, start, table },
            Self::Nodes { .. } => Listing::Span { length: 1, start, table },
        }
    }

    /// Summaries that are read: earlier ones, and those that the rows from `start` on make.
    pub(super) fn summaries(&self, start: usize) -> Listing {
        match self {
            Self::Spans { length, .. } => Listing::Spans { length: *length, start },
            Self::Nodes { .. } => Listing::Nodes { start, first: start.max(1), slots: self.earlier(start) },
        }
    }

    /// The row of the summaries from `start` on that a stream keeps in each slot after the position `end - 1`.
    pub(super) fn kept_summaries(&self, start: usize, end: usize) -> Vec<Option<usize>> {
        let mut slots = vec![None; self.slots()];
        match self {
            Self::Spans { .. } => {
                let made = self.earlier(start) + self.sets(start, end);
                slots.iter_mut().enumerate().take(made).for_each(|(row, slot)| *slot = Some(row));
            }
            Self::Nodes { sizes } => {
                let mut node = end - 1;
                let mut of_node = |row: usize| {
                    let size = node.trailing_zeros() as usize;
                    if size < *sizes {
                        slots[size] = Some(row);
                    }
                    node &= node - 1;
                };
                self.summaries(start).each(end - 1 - start, |run| of_node(run.first));
            }
        }
        slots
    }

    /// The slot of the set that `position` is the first to read.
    pub(super) fn slot(&self, position: usize) -> usize {
        match self {
            Self::Spans { length, .. } => position / length - 1,
            Self::Nodes { .. } => position.trailing_zeros() as usize,
        }
    }

    /// Where a stream at `position` finds what it reads directly, with its own row in its ring, and the summaries in their slots.
    pub(super) fn at(&self, position: usize) -> [Listing; 2] {
        match self {
            Self::Spans { length, .. } => {
                let table = position - position % length;
                [
                    Listing::Span { length: *length, start: position, table },
                    Listing::Spans { length: *length, start: position },
                ]
            }
            Self::Nodes { sizes } => [
                Listing::Span { length: 1, start: position, table: 0 },
                Listing::Nodes { start: position, first: position + 1, slots: *sizes },
            ],
        }
    }

    /// The members of the set that `position` is the first to read, in the stream's ring, before its own row is there.
    pub(super) fn members_at(&self, position: usize) -> Listing {
        match self {
            Self::Spans { length, .. } => Listing::SpanMembers { length: *length },
            Self::Nodes { .. } => Listing::NodeMembers { first: position },
        }
    }

    /// The most terms of one query, and of one set.
    pub(super) fn most_terms(&self, context: usize) -> usize {
        match self {
            Self::Spans { length, most } => length + most,
            Self::Nodes { sizes } => context + sizes,
        }
    }
}
