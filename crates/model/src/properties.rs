//! What a configuration promises: costs, state and reach, from formulas alone (no weights).

use percept_fault::Result;
use percept_kernels::Head;

use crate::block::Block;
use crate::config::{self, Biases, ModelConfig};
use crate::cost::Cost;
use crate::gradients::Recompute;
use crate::language_model::window_rows;
use crate::layers::{FeedForward, Norm};
use crate::rows::Rows;
use crate::schedule::LayerSpec;
use crate::session::WindowSchedule;

/// Formulas of one configuration.
#[derive(Debug, Clone)]
pub struct Properties {
    config: ModelConfig,
    layers: Vec<LayerSpec>,
}

impl Properties {
    /// Checks the configuration.
    pub fn of(config: &ModelConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), layers: config.layer_specs()? })
    }

    /// The mixer of every layer.
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        let (vocab, dim) = (self.config.vocab as u64, self.config.dim as u64);
        let blocks: u64 = self.layers.iter().map(|layer| Block::parameters(&self.config, layer)).sum();
        let matrices = if self.config.head == config::Head::Tied { 1 } else { 2 };
        let bias = if self.config.biases == Biases::Paper { vocab } else { 0 };
        matrices * vocab * dim + bias + blocks + Norm::parameters(self.config.norm, self.config.dim)
    }

    /// The rows of a window of `length` tokens as they enter the stack.
    pub fn window_rows(&self, length: usize) -> Rows {
        window_rows(&self.config, &self.layers, length)
    }

    /// The rows that enter each layer.
    pub fn rows_by_layer(&self, rows: Rows) -> Vec<Rows> {
        let mut rows = rows;
        let enter = |layer: &LayerSpec| {
            let entering = rows;
            rows = layer.kind.rows_after(&self.config, layer, rows);
            entering
        };
        self.layers.iter().map(enter).collect()
    }

    /// Targets that a training window of `length` tokens scores.
    pub fn scored(&self, length: usize) -> usize {
        self.window_rows(length).latents
    }

    /// Attention scores of a window of `length` tokens, all layers (spec, section 2).
    pub fn score_entries(&self, length: usize) -> u64 {
        self.sum(self.window_rows(length), |layer, rows| layer.kind.score_entries(&self.config, layer, rows))
    }

    /// The products of a forward pass over `batch` windows of `length` tokens, loss included.
    pub fn forward_cost(&self, length: usize, batch: usize) -> Cost {
        let rows = self.window_rows(length);
        self.block_costs(rows, batch).map(|(forward, _)| forward).sum::<Cost>() + self.head_cost(rows, batch)
    }

    /// The products of loss and gradients over `batch` windows of `length` tokens.
    pub fn training_cost(&self, length: usize, batch: usize, recompute: Recompute) -> Cost {
        let forwards = match recompute {
            Recompute::Keep => 1,
            Recompute::Blocks => 2,
        };
        let rows = self.window_rows(length);
        let blocks = self.block_costs(rows, batch).map(|(forward, backward)| forward * forwards + backward);
        blocks.sum::<Cost>() + self.head_cost(rows, batch) * 3
    }

    /// The products of each block's forward and backward pass.
    fn block_costs(&self, rows: Rows, batch: usize) -> impl Iterator<Item = (Cost, Cost)> {
        self.layers.iter().zip(self.rows_by_layer(rows)).map(move |(layer, rows)| {
            let config = &self.config;
            let mut linears = layer.kind.linears(config, layer, rows);
            linears.extend(FeedForward::linears(config, layer.kind.rows_after(config, layer, rows).len()));
            let linears: Cost = linears.iter().map(|call| call.cost(batch)).sum();
            let calls = layer.kind.attention(config, layer, rows);
            calls
                .iter()
                .map(|call| call.costs(config.head_dim(), batch))
                .fold((linears, linears * 2), |(forward, backward), (attend, attend_back)| {
                    (forward + attend, backward + attend_back)
                })
        })
    }

    fn head_cost(&self, rows: Rows, batch: usize) -> Cost {
        Head::cost(batch.saturating_mul(rows.latents), self.config.vocab, self.config.dim)
    }

    /// Bytes of a session's state after `tokens` tokens, with `bytes` per number.
    pub fn state_bytes(&self, tokens: usize, bytes: usize) -> usize {
        let (rows, kept) = match WindowSchedule::of(&self.config, &self.layers) {
            None => (Rows::plain(tokens, 0), 0),
            Some(windows) => {
                let window = windows.window(tokens.max(1));
                let rows = Rows { history: window.split - window.start, latents: tokens - window.split, start: 0 };
                (rows, tokens - windows.window(tokens + 1).start)
            }
        };
        let elements = self.sum(rows, |layer, rows| layer.kind.state_elements(&self.config, layer, rows) as u64);
        elements as usize * bytes + kept * size_of::<u32>()
    }

    /// Most bytes that a session's state takes, at any length, with `bytes` per number.
    pub fn state_limit(&self, bytes: usize) -> usize {
        let elements: usize = self.layers.iter().map(|layer| layer.kind.state_limit(&self.config, layer)).sum();
        let tokens = if WindowSchedule::of(&self.config, &self.layers).is_some() { self.config.context } else { 0 };
        elements * bytes + tokens * size_of::<u32>()
    }

    /// The earliest position of a stream or window that can influence the output at `position`; where the
    /// model has a history, 0 (the start of its window).
    pub fn earliest(&self, position: usize) -> usize {
        self.layers.iter().rev().fold(position, |at, layer| layer.kind.earliest(&self.config, layer, at))
    }

    /// Furthest distance, in tokens, over which an input can influence an output of one pass, if it is bounded.
    pub fn reach(&self) -> usize {
        if self.layers.iter().any(|layer| layer.kind.has_history()) {
            return self.config.context - 1;
        }
        let longest = self.layers.iter().map(|layer| layer.segment.max(1)).max().unwrap_or(1);
        let far = (self.layers.len() + 2) * (longest + self.config.context);
        (far..far + 2 * longest).map(|position| position - self.earliest(position)).max().unwrap_or(0)
    }

    /// True where a stream is scored in one pass with carried state as in training.
    pub fn streams(&self) -> bool {
        WindowSchedule::of(&self.config, &self.layers).is_none()
    }

    fn sum(&self, rows: Rows, mut of: impl FnMut(&LayerSpec, Rows) -> u64) -> u64 {
        self.layers.iter().zip(self.rows_by_layer(rows)).map(|(layer, rows)| of(layer, rows)).sum()
    }
}
