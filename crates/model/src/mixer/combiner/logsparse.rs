//! Combiner, kind *logsparse*: the own position directly, all before it by log2 t summaries.
//!
//! Cost per token O(d log T), in training and, on average, in decoding. State: queries, keys and values of all positions, since larger blocks are
//! summarised from them, and two rows for each size of a block.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cover::Cover;
use super::{CombinerPositions, Core, projection, step, validate, windowing};
use crate::config::{LayerSpec, ModelConfig};
use crate::decoder::BuildStep;
use crate::layer::{Carry, Facts, LayerContext, LayerState, Options, Rows, Sublayer, Windowing};
use crate::layers::Norm;
use crate::mixer::projection::Projection;

/// The keys of `[model.combiner-logsparse]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CombinerLogsparseOptions {
    /// How positions are known; `rotary` is none here, since a position is read directly by itself alone.
    pub positions: CombinerPositions,
}

impl Default for CombinerLogsparseOptions {
    fn default() -> Self {
        Self { positions: CombinerPositions::Additive }
    }
}

impl Options for CombinerLogsparseOptions {}

/// Attention to summaries of blocks of growing size.
#[derive(Module, Debug)]
pub struct CombinerLogsparse {
    /// Projections.
    pub projection: Projection,
    #[module(skip)]
    core: Core,
}

fn core(config: &ModelConfig, layer: &LayerSpec) -> Core {
    Core::new(config, layer, Cover::nodes(config), layer.options.combiner_logsparse.positions)
}

impl Sublayer for CombinerLogsparse {
    type Options = CombinerLogsparseOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self { projection: projection(config, layer, device), core: core(config, layer) }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        match layer.options.combiner_logsparse.positions {
            CombinerPositions::Rotary => Err(Fault::usage(
                "model.combiner-logsparse.positions = \"rotary\" rotates nothing: a position is read directly by itself alone",
            )
            .hint("use \"additive\"; or \"none\", where positions are known by the blocks alone")),
            _ => validate(config, layer),
        }
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        core(config, layer).facts(config, rows)
    }

    fn windowing(config: &ModelConfig, _layer: &LayerSpec) -> Windowing {
        windowing(config)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        self.projection.output.forward(self.core.attend(&self.projection, x, state, context.rows.start))
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(step::build(norm, &self.projection, self.core))
    }
}
