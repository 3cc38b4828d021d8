//! Full causal attention (Vaswani et al., arXiv 1706.03762), over the last `context` positions.
//!
//! out_t = softmax(q_t K^T / sqrt(e)) V over the positions t - n + 1 .. t.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Cost per token O(n d). State: a ring of n keys and values per
//! layer; beyond n positions the reference is the banded forward. Every position is scored.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::Result;

use super::projection::Projection;
use super::{DecodeStep, Mixer};
use crate::config::ModelConfig;
use crate::cost::{AttentionCall, LinearCall};
use crate::ops::{Pattern, Visibility};
use crate::rows::{LayerContext, Place, Rows};
use crate::schedule::LayerSpec;
use crate::state::MixerState;

/// Full causal attention.
#[derive(Module, Debug)]
pub struct Transformer {
    /// Projections.
    pub projection: Projection,
    context: usize,
    dropout: f32,
}

impl Mixer for Transformer {
    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            context: config.context,
            dropout: config.attention_dropout,
        }
    }

    fn validate(_config: &ModelConfig, _layer: &LayerSpec) -> Result<()> {
        Ok(())
    }

    fn mix(&self, x: Tensor<3>, state: Option<&mut MixerState>, context: &LayerContext) -> Tensor<3> {
        let start = context.rows.start;
        let q = self.projection.queries(x.clone(), start);
        let mut pair = self.projection.keys_values(x, start);
        let mut key_start = start;
        if let Some(state) = state {
            key_start -= state.key_rows();
            pair = state.append(pair.0, pair.1);
            state.keep_last(self.context);
        }
        let visibility = Visibility { pattern: Pattern::Band { width: self.context }, query_start: start, key_start };
        let y = self.projection.attend(q, pair, &visibility, context.dropout(self.dropout, Place::Attention));
        self.projection.output.forward(y)
    }

    fn decode_step(&self) -> Option<DecodeStep<'_>> {
        let patterns = vec![Pattern::Band { width: self.context }];
        Some(DecodeStep { projection: &self.projection, patterns, first_output: None })
    }

    fn score_entries(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> u64 {
        (rows.len() * rows.len().min(config.context)) as u64
    }

    fn parameters(config: &ModelConfig, _layer: &LayerSpec) -> u64 {
        Projection::parameters(config)
    }

    fn linears(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Vec<LinearCall> {
        Projection::linears(config, rows.len(), rows.len())
    }

    fn attention(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Vec<AttentionCall> {
        let (count, pattern) = (rows.len(), Pattern::Band { width: config.context });
        vec![AttentionCall { queries: count, keys: count, heads: config.heads, visibility: Visibility::new(pattern) }]
    }

    fn state_elements(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> usize {
        rows.len().min(config.context) * Projection::state_row(config)
    }

    fn state_limit(config: &ModelConfig, _layer: &LayerSpec) -> usize {
        config.context * Projection::state_row(config)
    }

    fn earliest(config: &ModelConfig, _layer: &LayerSpec, position: usize) -> usize {
        (position + 1).saturating_sub(config.context)
    }
}
