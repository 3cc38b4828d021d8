//! The windows that score each target of a document exactly once, and their rows in a batch.

use std::ops::Range;

use percept_model::{Batch, IGNORED};

use super::Tokens;

/// One window over the inputs of a document.
///
/// The inputs are the document token and the text's tokens but the last; input `i` predicts target `i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoringWindow {
    /// Inputs that the window holds.
    pub inputs: Range<usize>,
    /// Targets that it scores: the last ones of `inputs`.
    pub targets: Range<usize>,
}

impl ScoringWindow {
    /// Adds the window as a row to a batch of windows of its length. What it does not score is [`IGNORED`].
    pub fn append_to(&self, batch: &mut Batch, tokens: &Tokens<'_>, document_token: u32) {
        let Range { start, end } = self.inputs;
        if start == 0 {
            batch.tokens.push(document_token);
        }
        batch.tokens.extend(tokens.range(start.max(1) - 1..end - 1));
        batch.targets.extend(std::iter::repeat_n(IGNORED, self.targets.start - start));
        batch.targets.extend(tokens.range(self.targets.clone()));
        batch.rows += 1;
    }
}

/// How a document is cut into windows. None reaches over the end of the targets, so none needs padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Inputs of a window, at most.
    pub window: usize,
    /// Targets that each window scores, but the first and the last.
    pub stride: usize,
    /// The target up to which the first window scores, at least `stride` of them.
    pub first: usize,
    /// Context of the last window.
    pub last: LastWindow,
}

/// How far the last window of a document, which scores what is left, reaches back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWindow {
    /// It has the full length.
    Full,
    /// It has as much context as the others, and is shorter.
    Short,
}

impl Cut {
    /// Full windows for a model that scores `scorable` rows at the end of one: the first window scores all that it can.
    ///
    /// ```
    /// use percept_score::Cut;
    /// let windows: Vec<_> = Cut::sliding(6, 2, usize::MAX).windows(0..11).collect();
    /// let scored: Vec<_> = windows.iter().map(|window| window.targets.clone()).collect();
    /// assert_eq!(scored, [0..6, 6..8, 8..10, 10..11]);
    /// assert_eq!(windows[3].inputs, 5..11);
    /// ```
    pub fn sliding(window: usize, stride: usize, scorable: usize) -> Self {
        Self { window, stride, first: window.min(scorable), last: LastWindow::Full }
    }

    /// The windows that score each of `targets` once, in order.
    pub fn windows(self, targets: Range<usize>) -> impl Iterator<Item = ScoringWindow> {
        let Self { window, stride, first, last } = self;
        let first = first.max(targets.start + stride);
        let mut from = targets.start;
        std::iter::from_fn(move || {
            if from >= targets.end {
                return None;
            }
            let end = if from == targets.start { first } else { from + stride };
            let to = end.min(targets.end);
            let start = match last {
                LastWindow::Full => to.saturating_sub(window),
                LastWindow::Short => end.saturating_sub(window),
            };
            let window = ScoringWindow { inputs: start..to, targets: from..to };
            from = to;
            Some(window)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(
        targets: Range<usize>,
        window: usize,
        stride: usize,
        scorable: usize,
    ) -> impl Iterator<Item = ScoringWindow> {
        Cut::sliding(window, stride, scorable).windows(targets)
    }

    #[test]
    fn the_first_window_scores_all_and_the_rest_their_last_targets() {
        let all: Vec<_> = windows(0..11, 6, 2, usize::MAX).collect();
        let expected = [(0..6, 0..6), (2..8, 6..8), (4..10, 8..10), (5..11, 10..11)];
        assert_eq!(all, expected.map(|(inputs, targets)| ScoringWindow { inputs, targets }));
    }

    #[test]
    fn a_model_that_scores_few_rows_gets_growing_windows_first() {
        let all: Vec<_> = windows(0..8, 6, 2, 3).collect();
        let expected = [(0..3, 0..3), (0..5, 3..5), (1..7, 5..7), (2..8, 7..8)];
        assert_eq!(all, expected.map(|(inputs, targets)| ScoringWindow { inputs, targets }));
    }

    #[test]
    fn leading_context_is_not_scored() {
        // The published comparison of the bench: windows of 1024, the last 512 targets of each.
        let all: Vec<_> = windows(512..2048, 1024, 512, usize::MAX).collect();
        assert_eq!(all[0], ScoringWindow { inputs: 0..1024, targets: 512..1024 });
        assert_eq!(all[2], ScoringWindow { inputs: 1024..2048, targets: 1536..2048 });
    }

    #[test]
    fn a_short_last_window_has_the_context_of_the_others() {
        let cut = |length, window, stride| {
            let cut = Cut { window, stride, first: stride, last: LastWindow::Short };
            cut.windows(0..length).map(|window| (window.inputs, window.targets)).collect::<Vec<_>>()
        };
        assert_eq!(cut(10, 4, 4), [(0..4, 0..4), (4..8, 4..8), (8..10, 8..10)]);
        assert_eq!(cut(9, 4, 2), [(0..2, 0..2), (0..4, 2..4), (2..6, 4..6), (4..8, 6..8), (6..9, 8..9)]);
        assert_eq!(cut(3, 4, 4), [(0..3, 0..3)]);
    }

    #[test]
    fn rows_hold_the_token_before_each_target() {
        let mut batch = Batch { tokens: Vec::new(), targets: Vec::new(), rows: 0, length: 3 };
        let tokens = Tokens::Memory(vec![10, 11, 12, 13]);
        for window in [ScoringWindow { inputs: 0..3, targets: 0..3 }, ScoringWindow { inputs: 1..4, targets: 3..4 }] {
            window.append_to(&mut batch, &tokens, 99);
        }
        assert_eq!((batch.rows, batch.tokens), (2, vec![99, 10, 11, 10, 11, 12]));
        assert_eq!(batch.targets, [10, 11, 12, IGNORED, IGNORED, 13]);
    }

    proptest! {
        #[test]
        fn each_target_is_scored_once_with_its_context(
            (start, length) in (0usize..20, 0usize..60),
            (window, share, scorable) in (1usize..12, 0.0f64..1.0, 1usize..12),
        ) {
            let most = window.min(scorable);
            let stride = 1 + (share * most as f64) as usize % most;
            let mut next = start;
            for one in windows(start..start + length, window, stride, scorable) {
                prop_assert_eq!(one.targets.start, next);
                prop_assert!(!one.targets.is_empty());
                prop_assert_eq!(one.inputs.end, one.targets.end);
                prop_assert!(one.inputs.len() <= window && one.targets.len() <= most);
                let context = one.targets.start - one.inputs.start;
                prop_assert!(one.inputs.start == 0 || context + stride >= window);
                next = one.targets.end;
            }
            prop_assert_eq!(next, start + length);
        }
    }
}
