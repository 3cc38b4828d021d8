//! Perceiver V2: segmented history (arXiv 2412.06106, second enhancement; the authors' sSplitAttention; spec, section 2).
//!
//! The history is cut into S segments of (n - l) / S rows, the last one possibly partial; history rows attend inside
//! their own segment, in both directions; latents attend to the whole history
//! and causally to each other. Rows `[h + l] -> [h + l]`. Score entries per layer h^2/S + n l. Only the
//! last l rows are scored. State: keys and values of the window. Reach: the window.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::{self, HistoryRule, Latents};
use super::projection::Projection;
use crate::config::{LayerSpec, ModelConfig};
use crate::layer::{Carry, Facts, FlatKey, LayerContext, LayerState, Options, Place, Rows, Scale, Sublayer, Windowing};
use crate::ops::Pattern;

/// The keys of `[model.perceiver-v2]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerceiverV2Options {
    /// How the window is cut.
    #[serde(flatten)]
    pub window: Latents,
    /// Segments S of the history.
    pub history_segments: usize,
}

impl Default for PerceiverV2Options {
    fn default() -> Self {
        Self { window: Latents::default(), history_segments: 4 }
    }
}

impl Options for PerceiverV2Options {
    const FLAT: &'static [FlatKey] = &[
        Latents::FLAT[0],
        Latents::FLAT[1],
        FlatKey { name: "history_segments", after: "fill", anywhere: false, later: false },
    ];

    fn reduced(&self, scale: &Scale) -> Self {
        let window = self.window.reduced(scale);
        let history = scale.context - window.latents;
        Self { window, history_segments: self.history_segments.min(history.max(1)) }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { window: self.window.at_context(context), ..*self }
    }
}

/// Segmented history.
#[derive(Module, Debug)]
pub struct PerceiverV2 {
    /// Projections.
    pub projection: Projection,
    block: usize,
    dropout: f32,
}

/// Rows of a history segment.
fn block(config: &ModelConfig, layer: &LayerSpec) -> usize {
    let PerceiverV2Options { window, history_segments } = &layer.options.perceiver_v2;
    (config.context - window.latents).div_ceil(*history_segments).max(1)
}

impl Sublayer for PerceiverV2 {
    type Options = PerceiverV2Options;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            block: block(config, layer),
            dropout: config.attention_dropout,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        if layer.options.perceiver_v2.history_segments == 0 {
            return Err(Fault::usage("model.history_segments is 0").hint("perceiver-v2 needs at least 1, e.g. 4"));
        }
        layer.options.perceiver_v2.window.validate(config)
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let block = block(config, layer);
        let (full, rest) = (rows.history / block, rows.history % block);
        let scores = full * block * block + rest * rest;
        history::facts(config, rows, (Pattern::Blocks { length: block }, scores), config.context, rows)
    }

    fn windowing(_config: &ModelConfig, layer: &LayerSpec) -> Windowing {
        layer.options.perceiver_v2.window.windowing()
    }

    fn paper_names(module: &str) -> &'static [&'static str] {
        history::paper_names(module)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let rule = HistoryRule {
            pattern: Pattern::Blocks { length: self.block },
            dropout: context.dropout(self.dropout, Place::History),
        };
        let dropout = context.dropout(self.dropout, Place::Attention);
        let attended = history::attend(&self.projection, x, state, context, rule, dropout);
        self.projection.output.forward(history::join(attended))
    }
}
