//! Perceiver V1: the history is processed in every layer (arXiv 2412.06106, first enhancement; spec, section 2).
//!
//! History rows attend to all history rows, in both directions; latents attend to the whole history
//! and causally to each other. Rows `[h + l] -> [h + l]`. Score entries per layer h^2 + n l. Only the
//! last l rows are scored. State: keys and values of the window. Reach: the window.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::Result;

use super::Mixer;
use super::history::{self, HistoryRule};
use super::projection::Projection;
use crate::config::ModelConfig;
use crate::cost::{AttentionCall, LinearCall};
use crate::ops::Pattern;
use crate::rows::{LayerContext, Place, Rows};
use crate::schedule::LayerSpec;
use crate::state::MixerState;

/// History in every layer.
#[derive(Module, Debug)]
pub struct PerceiverV1 {
    /// Projections.
    pub projection: Projection,
    dropout: f32,
}

impl Mixer for PerceiverV1 {
    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self { projection: Projection::new(config, layer, device), dropout: config.attention_dropout }
    }

    fn validate(config: &ModelConfig, _layer: &LayerSpec) -> Result<()> {
        history::validate_latents(config)
    }

    fn mix(&self, x: Tensor<3>, state: Option<&mut MixerState>, context: &LayerContext) -> Tensor<3> {
        let rule = HistoryRule { pattern: Pattern::Everything, dropout: context.dropout(self.dropout, Place::History) };
        let dropout = context.dropout(self.dropout, Place::Attention);
        let attended = history::attend(&self.projection, x, state, context, rule, dropout);
        self.projection.output.forward(history::join(attended))
    }

    fn has_history() -> bool {
        true
    }

    fn score_entries(_config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> u64 {
        history::score_entries(rows.history * rows.history, rows)
    }

    fn parameters(config: &ModelConfig, _layer: &LayerSpec) -> u64 {
        Projection::parameters(config)
    }

    fn linears(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Vec<LinearCall> {
        Projection::linears(config, rows.len(), rows.len())
    }

    fn attention(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Vec<AttentionCall> {
        history::calls(config, rows, Pattern::Everything)
    }

    fn copied(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> usize {
        history::copied(config, rows, rows.len())
    }

    fn state_elements(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> usize {
        rows.len() * Projection::state_row(config)
    }

    fn state_limit(config: &ModelConfig, _layer: &LayerSpec) -> usize {
        config.context * Projection::state_row(config)
    }

    fn earliest(_config: &ModelConfig, _layer: &LayerSpec, _position: usize) -> usize {
        0
    }
}
