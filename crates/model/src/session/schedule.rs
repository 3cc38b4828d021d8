//! How a stream is cut into windows, as a function of the position alone.
//!
//! A model with a history reads a window of at most n tokens whose last rows are latents. Plain sliding
//! would create dependencies never seen in training, so new tokens join the latents until those are
//! full (l), and then a *reset* re-runs the window with `fill` latents (flaxformer's rule; spec,
//! section 5). With the stride s = l - fill + 1, after t tokens the split lies at s ceil((t - l) / s),
//! or 0 for t <= l, and the window starts n - l tokens before it.

use crate::config::{KeyValue, ModelConfig, RotaryLayers};
use crate::schedule::LayerSpec;

/// The windows of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSchedule {
    /// Longest window n.
    pub context: usize,
    /// Most latents l.
    pub latents: usize,
    /// Tokens between two resets.
    pub stride: usize,
}

/// The window after some number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First token of the window.
    pub start: usize,
    /// First latent.
    pub split: usize,
    /// Tokens up to which this window is extended before the next reset.
    pub full: usize,
}

impl WindowSchedule {
    /// The schedule of a model; none where the state is carried on for ever.
    ///
    /// Beside the models with a history it has those whose values are rotated (authors' code): they
    /// carry absolute positions and were trained on 0 .. n only, so past n the last n - m .. n tokens are run again.
    pub fn of(config: &ModelConfig, layers: &[LayerSpec]) -> Option<Self> {
        let context = config.context;
        if layers.iter().any(|layer| layer.kind.has_history()) {
            let incremental = layers.iter().all(|layer| layer.kind.is_incremental(config, layer));
            let fill = if incremental { config.latent_fill() } else { config.latents };
            return Some(Self { context, latents: config.latents, stride: config.latents - fill + 1 });
        }
        let rotated_values = config.key_value == KeyValue::Shared && config.rotary != RotaryLayers::None;
        let stride = layers.iter().map(|layer| layer.segment).min().unwrap_or(1).clamp(1, context);
        rotated_values.then_some(Self { context, latents: context, stride })
    }

    /// The window after `tokens` >= 1 tokens.
    pub fn window(&self, tokens: usize) -> Window {
        let split = tokens.saturating_sub(self.latents).div_ceil(self.stride) * self.stride;
        Window { start: split.saturating_sub(self.context - self.latents), split, full: split + self.latents }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_reset_rule() {
        let schedule = WindowSchedule { context: 12, latents: 4, stride: 3 };
        let window = |tokens| {
            let Window { start, split, full } = schedule.window(tokens);
            (start, split, full)
        };
        assert_eq!(window(1), (0, 0, 4));
        assert_eq!(window(4), (0, 0, 4));
        // A reset leaves fill = l - s + 1 = 2 latents: positions 3 and 4.
        assert_eq!(window(5), (0, 3, 7));
        assert_eq!(window(7), (0, 3, 7));
        assert_eq!(window(8), (0, 6, 10));
        assert_eq!(window(14), (4, 12, 16));
    }

    #[test]
    fn latents_and_window_never_exceed_their_lengths() {
        for stride in 1..=4 {
            let schedule = WindowSchedule { context: 9, latents: 4, stride };
            for tokens in 1..60 {
                let window = schedule.window(tokens);
                assert!(tokens - window.split >= 1 && tokens - window.split <= 4, "{tokens} {window:?}");
                assert!(tokens - window.start <= 9 && tokens <= window.full);
            }
        }
    }
}
