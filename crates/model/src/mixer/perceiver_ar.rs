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
use percept_random::mix;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::{self, Latents};
use super::projection::{Projection, latents};
use crate::config::{LayerSpec, ModelConfig};
use crate::layer::{
    Carry, Facts, FlatKey, LayerContext, LayerState, Options, Place, Reach, Rows, Scale, Sublayer, Windowing,
};
use crate::layers::Norm;
use crate::ops::{self, Dropout};

/// The keys of `[model.perceiver-ar]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerceiverArOptions {
    /// How the window is cut.
    #[serde(flatten)]
    pub window: Latents,
    /// Share of history positions hidden from the cross-attention in training.
    pub cross_attend_dropout: f64,
}

impl Options for PerceiverArOptions {
    const FLAT: &'static [FlatKey] = &[
        Latents::FLAT[0],
        Latents::FLAT[1],
        FlatKey { name: "cross_attend_dropout", after: "feed_forward_dropout", anywhere: false, later: false },
    ];

    fn reduced(&self, scale: &Scale) -> Self {
        Self { window: self.window.reduced(scale), ..*self }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { window: self.window.at_context(context), ..*self }
    }
}

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
    fn mix(&self, x: Tensor<3>, state: Option<&mut LayerState>, context: &LayerContext) -> Tensor<3> {
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

impl Sublayer for PerceiverAr {
    type Options = PerceiverArOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            dropout: config.attention_dropout,
            cross_attend_dropout: layer.options.perceiver_ar.cross_attend_dropout as f32,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        layer.options.perceiver_ar.window.validate(config)
    }

    /// Without the cross-attention's dropout, which hides a share of the history in training.
    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let after = Rows::plain(rows.latents, rows.first_latent());
        let score_entries = (rows.latents * rows.len()) as u64;
        let most = if layer.first_of_kind { config.context } else { layer.options.perceiver_ar.window.latents };
        let mut work = Projection::calls(config, rows.latents, rows.len());
        work.push(history::latent_call(config, rows));
        Facts {
            parameters: Projection::parameters(config),
            rows_after: after,
            work,
            score_entries,
            activations: Projection::activations(config, (rows, after), score_entries, 0),
            state: Projection::state(config, rows.len(), most),
            reach: Reach::Window,
            ..Facts::of(rows)
        }
    }

    fn windowing(_config: &ModelConfig, layer: &LayerSpec) -> Windowing {
        layer.options.perceiver_ar.window.windowing()
    }

    fn paper_names(module: &str) -> &'static [&'static str] {
        history::paper_names(module)
    }

    fn forward(
        &self,
        x: Tensor<3>,
        norm: &Norm,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let mixed = self.mix(norm.forward(x.clone()), state, context);
        ops::add(mixed, latents(x, context.rows))
    }
}
