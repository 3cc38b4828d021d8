//! Perceiver V1: the history is processed in every layer (arXiv 2412.06106, first enhancement; spec, section 2).
//!
//! History rows attend to all history rows, in both directions; latents attend to the whole history
//! and causally to each other. Rows `[h + l] -> [h + l]`. Score entries per layer h^2 + n l. Only the
//! last l rows are scored. State: keys and values of the window. Reach: the window.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::Result;

use super::history::{self, HistoryRule, Latents};
use super::projection::Projection;
use crate::config::{LayerSpec, ModelConfig, RotaryLayers};
use crate::layer::{Carry, Facts, LayerContext, LayerState, Place, Rows, Sublayer, Windowing};
use crate::mixer::MixerKind;
use crate::ops::Pattern;

/// History in every layer.
#[derive(Module, Debug)]
pub struct PerceiverV1 {
    /// Projections.
    pub projection: Projection,
    dropout: f32,
}

impl Sublayer for PerceiverV1 {
    type Options = Latents;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self { projection: Projection::new(config, layer, device), dropout: config.attention_dropout }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        layer.options.perceiver_v1.validate(config)
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let scores = rows.history * rows.history;
        history::facts(config, rows, (Pattern::Everything, scores), config.context, rows)
    }

    fn windowing(_config: &ModelConfig, layer: &LayerSpec) -> Windowing {
        layer.options.perceiver_v1.windowing()
    }

    /// Every layer rotates.
    fn paper(config: &mut ModelConfig) {
        if config.consists_of(MixerKind::PerceiverV1) {
            config.rotary = RotaryLayers::All;
        }
    }

    fn paper_names(module: &str) -> &'static [&'static str] {
        Projection::paper_names(module)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let rule = HistoryRule { pattern: Pattern::Everything, dropout: context.dropout(self.dropout, Place::History) };
        let dropout = context.dropout(self.dropout, Place::Attention);
        let attended = history::attend(&self.projection, x, state, context, rule, dropout);
        self.projection.output.forward(history::join(attended))
    }
}
