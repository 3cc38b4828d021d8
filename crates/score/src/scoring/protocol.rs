//! Protocols: in what context each target is scored, and the windows that score each exactly once.

use std::ops::Range;

use percept_fault::{Fault, Result};

/// In what context each target of a document is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One pass over the document with carried state: every target has all the context that the model can
    /// use. Models with a history/latent split follow their latent-reset rule.
    Stream,
    /// Overlapping windows of `window` tokens. Each scores its last `stride` targets, the first one all that it can:
    /// every target but the first ones has at least `window - stride` tokens of context.
    SlidingWindow {
        /// Tokens per window.
        window: usize,
        /// Targets scored per window.
        stride: usize,
    },
}

impl Protocol {
    /// # Errors
    /// A usage fault where the window or the stride is 0, or the stride exceeds what a window can score.
    pub fn validate(&self, scorable: usize) -> Result<()> {
        let Self::SlidingWindow { window, stride } = *self else { return Ok(()) };
        if window == 0 || stride == 0 {
            return Err(Fault::usage(format!(
                "a sliding window of {window} tokens with stride {stride} scores nothing"
            ))
            .hint("both must be at least 1; a common choice is the model's context, and half of it"));
        }
        if stride > window.min(scorable) {
            return Err(Fault::usage(format!(
                "stride {stride} leaves targets out: a window of {window} tokens scores its last {} at most",
                window.min(scorable)
            ))
            .hint(format!("use a stride of at most {}", window.min(scorable))));
        }
        Ok(())
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream => f.write_str("one pass with carried state"),
            Self::SlidingWindow { window, stride } => write!(f, "sliding window w = {window}, t = {stride}"),
        }
    }
}

/// One window over the inputs of a document.
///
/// The inputs are the document token and the text's tokens but the last; input `i` predicts target `i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// Inputs that the window holds.
    pub inputs: Range<usize>,
    /// Targets that it scores: the last ones of `inputs`.
    pub targets: Range<usize>,
}

/// The windows that score each of `targets` exactly once.
///
/// A window never reaches over the end of `targets`, so none needs padding: the last one has the full length
/// and scores fewer targets. `scorable` is how many targets, at its end, a window can score.
pub(crate) fn windows(
    targets: Range<usize>,
    window: usize,
    stride: usize,
    scorable: usize,
) -> impl Iterator<Item = Window> {
    let first = window.min(scorable).max(targets.start + stride);
    let mut from = targets.start;
    std::iter::from_fn(move || {
        if from >= targets.end {
            return None;
        }
        let to = if from == targets.start { first } else { from + stride }.min(targets.end);
        let window = Window { inputs: to.saturating_sub(window)..to, targets: from..to };
        from = to;
        Some(window)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_window_scores_all_and_the_rest_their_last_targets() {
        let all: Vec<_> = windows(0..11, 6, 2, usize::MAX).collect();
        let expected = [(0..6, 0..6), (2..8, 6..8), (4..10, 8..10), (5..11, 10..11)];
        assert_eq!(all, expected.map(|(inputs, targets)| Window { inputs, targets }));
    }

    #[test]
    fn a_model_that_scores_few_rows_gets_growing_windows_first() {
        let all: Vec<_> = windows(0..8, 6, 2, 3).collect();
        let expected = [(0..3, 0..3), (0..5, 3..5), (1..7, 5..7), (2..8, 7..8)];
        assert_eq!(all, expected.map(|(inputs, targets)| Window { inputs, targets }));
    }

    #[test]
    fn leading_context_is_not_scored() {
        // The published comparison of the bench: windows of 1024, the last 512 targets of each.
        let all: Vec<_> = windows(512..2048, 1024, 512, usize::MAX).collect();
        assert_eq!(all[0], Window { inputs: 0..1024, targets: 512..1024 });
        assert_eq!(all[2], Window { inputs: 1024..2048, targets: 1536..2048 });
    }

    proptest! {
        #[test]
        fn each_target_is_scored_once_with_its_context(
            (start, length) in (0usize..20, 0usize..60),
            (window, share, scorable) in (1usize..12, 0.0f64..1.0, 1usize..12),
        ) {
            let most = window.min(scorable);
            let stride = 1 + (share * most as f64) as usize % most;
            let accepted = Protocol::SlidingWindow { window, stride }.validate(scorable).is_ok();
            prop_assert!(accepted);
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

        #[test]
        fn a_stride_that_leaves_targets_out_is_refused(window in 1usize..20, scorable in 1usize..20, more in 1usize..5) {
            let stride = window.min(scorable) + more;
            let refused = Protocol::SlidingWindow { window, stride }.validate(scorable).is_err();
            prop_assert!(refused);
        }
    }
}
