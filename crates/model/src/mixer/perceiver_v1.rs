//! Perceiver V1: the history is processed in every layer (arXiv 2412.06106, first enhancement; spec, section 2).
//!
//! History rows attend to all history rows, in both directions; latents attend to the whole history
//! and causally to each other. Rows `[h + l] -> [h + l]`. Score entries per layer h^2 + n l. Only the
//! last l rows are scored. State: keys and values of the window. Reach: the window.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::Result;

use super::history::{self, HistoryRule};
use super::projection::Projection;
use crate::config::ModelConfig;
use crate::layer::{
    Carry, Facts, LayerContext, LayerState, NoOptions, Place, Rows, Sublayer, Windowing, with_residual,
};
use crate::layers::Norm;
use crate::ops::Pattern;
use crate::schedule::LayerSpec;

/// History in every layer.
#[derive(Module, Debug)]
pub struct PerceiverV1 {
    /// Projections.
    pub projection: Projection,
    dropout: f32,
}

impl PerceiverV1 {
    fn mix(&self, x: Tensor<3>, state: Option<&mut LayerState>, context: &LayerContext) -> Tensor<3> {
        let rule = HistoryRule { pattern: Pattern::Everything, dropout: context.dropout(self.dropout, Place::History) };
        let dropout = context.dropout(self.dropout, Place::Attention);
        let attended = history::attend(&self.projection, x, state, context, rule, dropout);
        self.projection.output.forward(history::join(attended))
    }
}

impl Sublayer for PerceiverV1 {
    type Options = NoOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self { projection: Projection::new(config, layer, device), dropout: config.attention_dropout }
    }

    fn validate(config: &ModelConfig, _layer: &LayerSpec) -> Result<()> {
        history::validate_latents(config)
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let scores = rows.history * rows.history;
        history::facts(config, rows, (Pattern::Everything, scores), config.context, rows)
    }

    fn windowing(_config: &ModelConfig, _layer: &LayerSpec) -> Windowing {
        Windowing::Latents
    }

    fn forward(
        &self,
        x: Tensor<3>,
        norm: &Norm,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        with_residual(x, norm, |x| self.mix(x, state, context))
    }
}
