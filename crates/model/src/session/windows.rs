//! How a stream is cut into windows, as a function of the position alone.
//!
//! A model with a history reads a window of at most n tokens whose last rows are latents. Plain sliding
//! would create dependencies never seen in training, so new tokens join the latents until those are
//! full (l), and then a *reset* re-runs the window with `fill` latents (flaxformer's rule; spec,
//! section 5). With the stride s = l - fill + 1, after t tokens the split lies at s ceil((t - l) / s),
//! or 0 for t <= l, and the window starts n - l tokens before it.

use crate::config::{LayerSpec, ModelConfig};
use crate::layer::{Rows, Windowing};

/// The windows of a stream.
///
/// ```
/// use percept_model::WindowSchedule;
/// // A window of twelve tokens, four of them latents, of which one is left after a reset.
/// let windows = WindowSchedule { context: 12, latents: 4, stride: 4 };
/// // Up to four tokens are latents; the fifth makes them history.
/// assert_eq!((windows.window(4).split, windows.window(5).split), (0, 4));
/// // Where a window lies depends on the position alone, so a text can be scored in any pieces.
/// let far = windows.window(1000);
/// assert_eq!((far.split, far.split - far.start, far.full - far.split), (996, 8, 4));
/// ```
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

impl Window {
    /// Its rows after `tokens` tokens of the stream, counted from its start.
    pub fn rows(&self, tokens: usize) -> Rows {
        Rows { history: self.split - self.start, latents: tokens - self.split, start: 0 }
    }
}

impl WindowSchedule {
    /// The schedule of a model; none where the state is carried on for ever.
    ///
    /// A history and latents in any layer decide it; else the layers that know the positions 0 .. n only: past n the last
    /// n - stride .. n tokens are run again, with the shortest of their strides.
    pub fn of(config: &ModelConfig, layers: &[LayerSpec]) -> Option<Self> {
        let context = config.context;
        let windowing: Vec<Windowing> = layers.iter().flat_map(|layer| layer.windowing(config)).collect();
        let cuts = windowing.iter().filter_map(|windowing| match windowing {
            Windowing::Latents { latents, fill } => Some((*latents, *fill)),
            _ => None,
        });
        // All have the same latents; one that can't be extended decides for all.
        if let Some((latents, fill)) = cuts.max() {
            return Some(Self { context, latents, stride: latents - fill + 1 });
        }
        let strides = windowing.iter().filter_map(|windowing| match windowing {
            Windowing::Sliding { stride } => Some(*stride),
            _ => None,
        });
        strides.min().map(|stride| Self { context, latents: context, stride: stride.clamp(1, context) })
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
