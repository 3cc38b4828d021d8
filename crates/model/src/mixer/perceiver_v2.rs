//! Perceiver V2: segmented history (arXiv 2412.06106, second enhancement; the authors' sSplitAttention; spec, section 2).
//!
//! The history is cut into S segments of (n - l) / S rows, the last one possibly partial; history rows attend inside
//! their own segment, in both directions; latents attend to the whole history
//! and causally to each other. Rows `[h + l] -> [h + l]`. Score entries per layer h^2/S + n l. Only the
//! last l rows are scored. State: keys and values of the window. Reach: the window.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};

use super::history::{self, HistoryRule};
use super::projection::Projection;
use crate::config::ModelConfig;
use crate::layer::{
    Carry, Facts, LayerContext, LayerState, NoOptions, Place, Rows, Sublayer, Windowing, with_residual,
};
use crate::layers::Norm;
use crate::ops::Pattern;
use crate::schedule::LayerSpec;

/// Segmented history.
#[derive(Module, Debug)]
pub struct PerceiverV2 {
    /// Projections.
    pub projection: Projection,
    block: usize,
    dropout: f32,
}

/// Rows of a history segment.
fn block(config: &ModelConfig) -> usize {
    (config.context - config.latents).div_ceil(config.history_segments).max(1)
}

impl PerceiverV2 {
    fn mix(&self, x: Tensor<3>, state: Option<&mut LayerState>, context: &LayerContext) -> Tensor<3> {
        let rule = HistoryRule {
            pattern: Pattern::Blocks { length: self.block },
            dropout: context.dropout(self.dropout, Place::History),
        };
        let dropout = context.dropout(self.dropout, Place::Attention);
        let attended = history::attend(&self.projection, x, state, context, rule, dropout);
        self.projection.output.forward(history::join(attended))
    }
}

impl Sublayer for PerceiverV2 {
    type Options = NoOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self {
            projection: Projection::new(config, layer, device),
            block: block(config),
            dropout: config.attention_dropout,
        }
    }

    fn validate(config: &ModelConfig, _layer: &LayerSpec) -> Result<()> {
        if config.history_segments == 0 {
            return Err(Fault::usage("model.history_segments is 0").hint("perceiver-v2 needs at least 1, e.g. 4"));
        }
        history::validate_latents(config)
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let block = block(config);
        let (full, rest) = (rows.history / block, rows.history % block);
        let scores = full * block * block + rest * rest;
        history::facts(config, rows, (Pattern::Blocks { length: block }, scores), config.context, rows)
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
