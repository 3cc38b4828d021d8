//! LLP, the Long-LoRA-inspired Perceiver (alias ECP; arXiv 2412.06106; spec, section 2).
//!
//! Segment j is the positions j m .. (j + 1) m - 1. A query of segment j sees all of segment j - 1
//! and, causally, segment j:
//!
//! out_t = softmax(q_t K_t^T / sqrt(e)) V_t, with K_t, V_t the positions (floor(t / m) - 1) m .. t.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per token O(m d), flat in the context. State: fewer
//! than 2 m keys and values per layer. Reach of L layers: at most (L + 1) m - 1 tokens back. Every
//! position is scored.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};

use super::projection::Projection;
use super::{DecodeStep, Mixer};
use crate::config::ModelConfig;
use crate::cost::{AttentionCall, LinearCall};
use crate::layers::Linear;
use crate::ops::{self, Pattern, Visibility};
use crate::rows::{LayerContext, Place, Rows};
use crate::schedule::LayerSpec;
use crate::state::MixerState;

/// Pairwise overlapping segment attention.
#[derive(Module, Debug)]
pub struct Llp {
    /// Projections.
    pub projection: Projection,
    /// Output projection of segment 0 (authors' code).
    pub first_output: Option<Linear>,
    segment: usize,
    dropout: f32,
}

/// Start of the keys that a query at `position` sees.
fn first_key(position: usize, segment: usize) -> usize {
    (position / segment).saturating_sub(1) * segment
}

impl Llp {
    fn output(&self, y: Tensor<3>, start: usize) -> Tensor<3> {
        let rows = y.dims()[1];
        let Some(first_output) = &self.first_output else { return self.projection.output.forward(y) };
        let first = self.segment.saturating_sub(start).min(rows);
        match (first, rows - first) {
            (0, _) => self.projection.output.forward(y),
            (_, 0) => first_output.forward(y),
            _ => ops::linear_by_rows(y, first_output.values(), self.projection.output.values(), first),
        }
    }
}

impl Mixer for Llp {
    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            first_output: config.first_segment_output.then(|| Projection::new_output(config, device)),
            segment: layer.segment,
            dropout: config.attention_dropout,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        if layer.segment == 0 {
            return Err(Fault::usage("model.segment is 0").hint("set model.segment, e.g. context / 8"));
        }
        if config.context < layer.segment {
            return Err(Fault::usage(format!(
                "model.context = {} is shorter than a segment (model.segment = {})",
                config.context, layer.segment
            ))
            .hint(format!("set model.context to at least {}, or model.segment lower", layer.segment)));
        }
        Ok(())
    }

    fn mix(&self, x: Tensor<3>, state: Option<&mut MixerState>, context: &LayerContext) -> Tensor<3> {
        let (start, end) = (context.rows.start, context.rows.start + context.rows.len());
        let q = self.projection.queries(x.clone(), start);
        let mut pair = self.projection.keys_values(x, start);
        let mut key_start = start;
        if let Some(state) = state {
            key_start -= state.key_rows();
            pair = state.append(pair.0, pair.1);
            state.keep_last(end - first_key(end, self.segment));
        }
        let pattern = Pattern::SegmentPair { length: self.segment };
        let visibility = Visibility { pattern, query_start: start, key_start };
        let y = self.projection.attend(q, pair, &visibility, context.dropout(self.dropout, Place::Attention));
        self.output(y, start)
    }

    fn decode_step(&self) -> Option<DecodeStep<'_>> {
        Some(DecodeStep {
            projection: &self.projection,
            patterns: vec![Pattern::SegmentPair { length: self.segment }],
            first_output: self.first_output.as_ref().map(|linear| (linear, self.segment)),
        })
    }

    fn score_entries(_config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> u64 {
        let (m, n) = (layer.segment, rows.len());
        let (full, rest) = (n / m, n % m);
        let pairs = (2 * full).saturating_sub(1) * m * m;
        let partial = if full == 0 { rest * rest } else { rest * (m + rest) };
        (pairs + partial) as u64
    }

    fn parameters(config: &ModelConfig, _layer: &LayerSpec) -> u64 {
        let first = if config.first_segment_output { Projection::output_parameters(config) } else { 0 };
        Projection::parameters(config) + first
    }

    fn linears(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Vec<LinearCall> {
        let mut calls = Projection::linears(config, rows.len(), rows.len());
        if config.first_segment_output {
            let first = layer.segment.min(rows.len());
            calls.pop();
            calls.extend([first, rows.len() - first].map(|rows| Projection::output_call(config, rows)));
        }
        calls
    }

    fn attention(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Vec<AttentionCall> {
        let (count, pattern) = (rows.len(), Pattern::SegmentPair { length: layer.segment });
        vec![AttentionCall { queries: count, keys: count, heads: config.heads, visibility: Visibility::new(pattern) }]
    }

    fn state_elements(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> usize {
        let end = rows.start + rows.len();
        (end - first_key(end, layer.segment)).min(rows.len()) * Projection::state_row(config)
    }

    fn state_limit(config: &ModelConfig, layer: &LayerSpec) -> usize {
        2 * layer.segment * Projection::state_row(config)
    }

    fn earliest(_config: &ModelConfig, layer: &LayerSpec, position: usize) -> usize {
        first_key(position, layer.segment)
    }
}
