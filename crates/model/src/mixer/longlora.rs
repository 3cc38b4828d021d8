//! LongLoRA's shifted sparse attention, S2 (arXiv 2309.12307; spec, section 6).
//!
//! Half of the heads attend causally inside groups of G positions, the other half inside groups
//! shifted by G / 2. The original rolls the sequence, so its first G / 2 rows see the last G / 2 tokens, a
//! leak of the future; here the two half groups at the ends stay apart. Training and inference use the
//! same pattern (the original infers with full attention).
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per layer n G. State: fewer than G keys and values.
//! Reach of a layer: at most G - 1 tokens back. Every position is scored.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};

use super::projection::Projection;
use super::{DecodeStep, Mixer};
use crate::config::ModelConfig;
use crate::cost::{AttentionCall, LinearCall};
use crate::ops::{Dropout, Pattern, Visibility};
use crate::rows::{LayerContext, Place, Rows, mix};
use crate::schedule::LayerSpec;
use crate::state::MixerState;

/// Shifted sparse attention.
#[derive(Module, Debug)]
pub struct LongLora {
    /// Projections.
    pub projection: Projection,
    group: usize,
    dropout: f32,
}

/// Start of the group of `position` in the two halves of the heads.
fn group_starts(position: usize, group: usize) -> [usize; 2] {
    let shift = group / 2;
    [position / group * group, ((position + shift) / group * group).saturating_sub(shift)]
}

fn first_key(position: usize, group: usize) -> usize {
    let [straight, shifted] = group_starts(position, group);
    straight.min(shifted)
}

impl Mixer for LongLora {
    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            group: layer.segment,
            dropout: config.attention_dropout,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        if layer.segment < 2 {
            return Err(Fault::usage(format!("model.segment = {} is too short for longlora", layer.segment))
                .hint("it is the group length G; set it to at least 2"));
        }
        if !config.heads.is_multiple_of(2) || !config.key_value_heads().is_multiple_of(2) {
            return Err(Fault::usage("longlora needs an even number of heads and kv_heads")
                .hint("half of the heads attend inside shifted groups; change model.heads"));
        }
        Ok(())
    }

    fn mix(&self, x: Tensor<3>, state: Option<&mut MixerState>, context: &LayerContext) -> Tensor<3> {
        let (start, end) = (context.rows.start, context.rows.start + context.rows.len());
        let q = self.projection.queries(x.clone(), start);
        let (mut k, mut v) = self.projection.keys_values(x, start);
        let mut key_start = start;
        if let Some(state) = state {
            key_start -= state.key_rows();
            (k, v) = state.append(k, v);
            state.keep_last(end - first_key(end, self.group));
        }
        let dropout = context.dropout(self.dropout, Place::Attention);
        let half = |index: usize, shift: usize| {
            let part = |t: &Tensor<4>| t.clone().narrow(2, index * t.dims()[2] / 2, t.dims()[2] / 2);
            let pattern = Pattern::CausalBlocks { length: self.group, shift };
            let visibility = Visibility { pattern, query_start: start, key_start };
            let dropout = dropout.map(|d| Dropout { rate: d.rate, seed: mix(d.seed ^ index as u64) });
            self.projection.attend(part(&q), (part(&k), part(&v)), &visibility, dropout)
        };
        let y = Tensor::cat(vec![half(0, 0), half(1, self.group / 2)], 2);
        self.projection.output.forward(y)
    }

    fn decode_step(&self) -> Option<DecodeStep<'_>> {
        let half = |shift| Pattern::CausalBlocks { length: self.group, shift };
        let patterns = vec![half(0), half(self.group / 2)];
        Some(DecodeStep { projection: &self.projection, patterns, first_output: None })
    }

    fn score_entries(_config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> u64 {
        (rows.len() * layer.segment.min(rows.len())) as u64
    }

    fn parameters(config: &ModelConfig, _layer: &LayerSpec) -> u64 {
        Projection::parameters(config)
    }

    fn linears(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Vec<LinearCall> {
        Projection::linears(config, rows.len(), rows.len())
    }

    fn attention(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Vec<AttentionCall> {
        let half = |shift: usize| {
            let pattern = Pattern::CausalBlocks { length: layer.segment, shift };
            let visibility = Visibility::new(pattern);
            AttentionCall { queries: rows.len(), keys: rows.len(), heads: config.heads / 2, visibility }
        };
        vec![half(0), half(layer.segment / 2)]
    }

    fn copied(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> usize {
        rows.len() * config.dim
    }

    fn state_elements(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> usize {
        let end = rows.start + rows.len();
        (end - first_key(end, layer.segment)).min(rows.len()) * Projection::state_row(config)
    }

    fn state_limit(config: &ModelConfig, layer: &LayerSpec) -> usize {
        layer.segment * Projection::state_row(config)
    }

    fn earliest(_config: &ModelConfig, layer: &LayerSpec, position: usize) -> usize {
        first_key(position, layer.segment)
    }
}
