//! How a sequence of targets is cut into windows.

use std::ops::Range;

/// Sequences of at least this many windows may get one more, so that their phase is free.
const LONG: u64 = 16;

/// The windows of one sequence in one epoch: consecutive spans that cover each of its targets exactly once.
///
/// A sequence of at most one window's length is one span. A longer one starts with a span that is shortened by a random
/// phase, so that window boundaries fall elsewhere in each epoch. Below 16 windows the phase is limited to what leaves
/// their number at its least; from there on it is uniform over the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    targets: u64,
    window: u64,
    phase: u64,
}

impl Grid {
    /// `keys` seed the phase: the same keys, the same grid.
    pub(super) fn new(targets: u64, window: u64, keys: &[u64]) -> Self {
        let least = targets.div_ceil(window);
        let phases = match least {
            0 | 1 => 1,
            LONG.. => window,
            _ => least * window - targets + 1,
        };
        Self { targets, window, phase: percept_random::below(phases, keys) }
    }

    /// Number of spans; none is empty.
    pub(super) fn count(&self) -> u64 {
        (self.targets + self.phase).div_ceil(self.window)
    }

    /// Targets of span `index`.
    pub(super) fn span(&self, index: u64) -> Range<u64> {
        let at = |index: u64| (index * self.window).saturating_sub(self.phase).min(self.targets);
        at(index)..at(index + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_cover_each_target_once(targets in 1_u64..3000, window in 1_u64..80, key: u64) {
            let grid = Grid::new(targets, window, &[key]);
            let mut next = 0;
            for index in 0..grid.count() {
                let span = grid.span(index);
                prop_assert_eq!(span.start, next);
                prop_assert!(!span.is_empty() && span.end - span.start <= window);
                next = span.end;
            }
            prop_assert_eq!(next, targets);
            let least = targets.div_ceil(window);
            prop_assert!(grid.count() <= least + u64::from(least >= 16), "short sequences get no extra window");
        }
    }

    #[test]
    fn the_phase_moves_the_boundaries() {
        let starts = |targets| -> std::collections::HashSet<u64> {
            (0..200).map(|epoch| Grid::new(targets, 10, &[epoch]).span(0).end).collect()
        };
        assert_eq!(starts(1000).len(), 10);
        assert_eq!(starts(25).len(), 6);
        assert_eq!((starts(10).len(), starts(30).len()), (1, 1));
    }
}
