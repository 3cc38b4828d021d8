//! Protocols: in what context each target is scored.

use percept_fault::{Fault, Result};

/// In what context each target of a document is scored.
///
/// ```
/// use percept_score::Protocol;
/// // A window of a Perceiver AR with 256 latents scores its last 256 targets.
/// let scorable = 256;
/// Protocol::SlidingWindow { window: 1024, stride: 256 }.validate(scorable)?;
/// let fault = Protocol::SlidingWindow { window: 1024, stride: 512 }.validate(scorable).unwrap_err();
/// assert_eq!(fault.hint_text(), Some("use a stride of at most 256"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stride_that_leaves_targets_out_is_refused(window in 1usize..20, scorable in 1usize..20, more in 1usize..5) {
            let stride = window.min(scorable) + more;
            let refused = Protocol::SlidingWindow { window, stride }.validate(scorable).is_err();
            prop_assert!(refused);
        }

        #[test]
        fn a_stride_that_a_window_can_score_is_accepted(window in 1usize..20, scorable in 1usize..20, share in 0.0f64..1.0) {
            let most = window.min(scorable);
            let stride = 1 + (share * most as f64) as usize % most;
            let accepted = Protocol::SlidingWindow { window, stride }.validate(scorable).is_ok();
            prop_assert!(accepted);
        }
    }
}
