//! What the rows of an activation tensor stand for, and the state of a pass through the stack.

use percept_random::mix;

use crate::ops::Dropout;

/// The rows of an activation `[B, history + latents, d]`.
///
/// Models without a history/latent split have no history rows: every row is a latent, that is, a
/// position that is trained and may be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Rows that are only read: never scored, never sampled from.
    pub history: usize,
    /// Scorable rows, after the history.
    pub latents: usize,
    /// Position of row 0, counted from the start of the window or stream.
    pub start: usize,
}

impl Rows {
    /// `latents` scorable rows from position `start`.
    pub fn plain(latents: usize, start: usize) -> Self {
        Self { history: 0, latents, start }
    }

    /// All rows.
    pub fn len(&self) -> usize {
        self.history + self.latents
    }

    /// True where there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position after the last row.
    pub fn end(&self) -> usize {
        self.start + self.len()
    }

    /// Position of the first latent.
    pub fn first_latent(&self) -> usize {
        self.start + self.history
    }

    /// The same latents behind a history of another length.
    pub fn with_history(&self, history: usize) -> Self {
        Self { history, latents: self.latents, start: self.first_latent() - history.min(self.first_latent()) }
    }
}

/// Whether a pass trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is on; its masks are a hash of seed, step, layer, place and index.
    Training {
        /// The run's seed.
        seed: u64,
        /// The step, distinct for every micro-batch.
        step: u64,
    },
    /// Dropout is off.
    Evaluation,
}

/// Where in a block a dropout mask applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Attention probabilities of the latents.
    Attention,
    /// Attention probabilities of the history.
    History,
    /// Inside the feed-forward sublayer.
    FeedForward,
    /// Positions of the history hidden from a cross-attention.
    CrossAttend,
}

/// What passes through the stack beside the activations.
#[derive(Debug, Clone, Copy)]
pub struct LayerContext {
    /// Training or evaluation.
    pub mode: Mode,
    /// Layer index.
    pub layer: usize,
    /// The rows that enter the layer.
    pub rows: Rows,
}

impl LayerContext {
    /// The dropout of one place, or none in evaluation or at rate 0.
    pub fn dropout(&self, rate: f32, place: Place) -> Option<Dropout> {
        match self.mode {
            Mode::Training { seed, step } if rate > 0.0 => {
                let parts = [seed, step, self.layer as u64, place as u64];
                Some(Dropout { rate, seed: parts.into_iter().fold(0, |hash, part| mix(hash ^ part)) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_seeds_differ_by_step_layer_and_place() {
        let context =
            |step, layer| LayerContext { mode: Mode::Training { seed: 1, step }, layer, rows: Rows::plain(1, 0) };
        let seed = |step, layer, place| context(step, layer).dropout(0.1, place).map(|dropout| dropout.seed);
        let seeds = [
            seed(0, 0, Place::Attention),
            seed(1, 0, Place::Attention),
            seed(0, 1, Place::Attention),
            seed(0, 0, Place::FeedForward),
        ];
        for (i, a) in seeds.iter().enumerate() {
            assert!(a.is_some() && seeds[..i].iter().all(|b| a != b));
        }
        assert_eq!(seed(3, 2, Place::History), seed(3, 2, Place::History));
    }

    #[test]
    fn compressing_the_history_keeps_the_latents_in_place() {
        let rows = Rows { history: 6, latents: 3, start: 10 };
        let compressed = rows.with_history(2);
        assert_eq!((compressed.first_latent(), compressed.len()), (16, 5));
    }
}
