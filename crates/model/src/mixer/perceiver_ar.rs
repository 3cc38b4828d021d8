//! Perceiver AR (Hawthorne et al., arXiv 2202.07765; spec, sections 2 and 5).
//!
//! The first layer that meets the history reads it once: latent i (absolute position n - l + i)
//! attends to every key at or before it, and only the latents go on. Later layers attend causally
//! among the latents. Rows `[h + l] -> [l]`. Score entries n l in layer 0, l^2 in each later one. Only
//! the last l rows are scored. State: the window's keys and values in layer 0, the latents' in the
//! others. Reach: the window.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use percept_fault::Result;

use super::Mixer;
use super::history;
use super::projection::{Projection, latents};
use crate::config::ModelConfig;
use crate::cost::{AttentionCall, LinearCall};
use crate::ops::Dropout;
use crate::rows::{LayerContext, Place, Rows, mix};
use crate::schedule::LayerSpec;
use crate::state::MixerState;

/// Cross-attention to the history once, then causal attention among the latents.
#[derive(Module, Debug)]
pub struct PerceiverAr {
    /// Projections.
    pub projection: Projection,
    dropout: f32,
    cross_attend_dropout: f32,
}

/// The history rows of one example that its latents may see: a Bernoulli mask shared by heads and queries.
fn visible_history(history: usize, example: usize, dropout: Dropout) -> Vec<i32> {
    let hidden = |row: &usize| {
        let bits = mix(mix(dropout.seed ^ example as u64) ^ *row as u64) >> 40;
        (bits as f32) < dropout.rate * (1u64 << 24) as f32
    };
    (0..history).filter(|row| !hidden(row)).map(|row| row as i32).collect()
}

impl PerceiverAr {
    /// Attention with some history positions hidden, example by example since each hides its own.
    fn attend_dropped(
        &self,
        q: Tensor<4>,
        (k, v): (Tensor<4>, Tensor<4>),
        rows: Rows,
        context: &LayerContext,
        hide: Dropout,
    ) -> Tensor<3> {
        let examples = (0..q.dims()[0]).map(|example| {
            let mut kept = visible_history(rows.history, example, hide);
            kept.extend((rows.history..rows.len()).map(|row| row as i32));
            let kept = Tensor::<1, Int>::from_data(kept.as_slice(), &k.device());
            let of = |t: &Tensor<4>| t.clone().narrow(0, example, 1);
            let pair = (of(&k).select(1, kept.clone()), of(&v).select(1, kept));
            let dropout = context.dropout(self.dropout, Place::Attention);
            let dropout = dropout.map(|d| Dropout { rate: d.rate, seed: mix(d.seed ^ example as u64) });
            history::attend_causally(&self.projection, of(&q), pair, None, dropout)
        });
        Tensor::cat(examples.collect(), 0)
    }
}

impl Mixer for PerceiverAr {
    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            dropout: config.attention_dropout,
            cross_attend_dropout: config.cross_attend_dropout,
        }
    }

    fn validate(config: &ModelConfig, _layer: &LayerSpec) -> Result<()> {
        history::validate_latents(config)
    }

    fn mix(&self, x: Tensor<3>, state: Option<&mut MixerState>, context: &LayerContext) -> Tensor<3> {
        let rows = context.rows;
        let q = self.projection.queries(latents(x.clone(), rows), rows.first_latent());
        let pair = self.projection.keys_values(x, rows.start);
        let hide = context.dropout(self.cross_attend_dropout, Place::CrossAttend).filter(|_| rows.history > 0);
        let y = match hide {
            Some(hide) => self.attend_dropped(q, pair, rows, context, hide),
            None => {
                let dropout = context.dropout(self.dropout, Place::Attention);
                history::attend_causally(&self.projection, q, pair, state, dropout)
            }
        };
        self.projection.output.forward(y)
    }

    fn residual(&self, x: Tensor<3>, rows: Rows) -> Tensor<3> {
        latents(x, rows)
    }

    fn rows_after(_config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Rows {
        Rows::plain(rows.latents, rows.first_latent())
    }

    fn has_history() -> bool {
        true
    }

    fn score_entries(_config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> u64 {
        history::score_entries(0, rows)
    }

    fn parameters(config: &ModelConfig, _layer: &LayerSpec) -> u64 {
        Projection::parameters(config)
    }

    fn linears(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Vec<LinearCall> {
        Projection::linears(config, rows.latents, rows.len())
    }

    /// Without the cross-attention's dropout, which hides a share of the history in training.
    fn attention(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Vec<AttentionCall> {
        vec![history::latent_call(config, rows)]
    }

    fn state_elements(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> usize {
        rows.len() * Projection::state_row(config)
    }

    fn state_limit(config: &ModelConfig, layer: &LayerSpec) -> usize {
        let rows = if layer.first_of_kind { config.context } else { config.latents };
        rows * Projection::state_row(config)
    }

    fn earliest(_config: &ModelConfig, _layer: &LayerSpec, _position: usize) -> usize {
        0
    }
}
