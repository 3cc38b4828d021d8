//! Combiner, kind *fixed*: the own span directly, complete spans before it by a summary each.
//!
//! Cost per token O((s + T / s) d), so O(d sqrt T) at the span s = sqrt T. State: the own span's queries, keys and values, and two rows for each
//! earlier span: at s = sqrt n, five rows for each of sqrt n, of d elements.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cover::{Cover, span};
use super::{CombinerPositions, Core, projection, step, validate, windowing};
use crate::config::{LayerSpec, ModelConfig};
use crate::decoder::BuildStep;
use crate::layer::{Carry, Facts, LayerContext, LayerState, Options, Rows, Scale, Sublayer, Windowing};
use crate::layers::Norm;
use crate::mixer::projection::Projection;

/// The keys of `[model.combiner-fixed]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CombinerFixedOptions {
    /// Positions of a span; 0 takes the least power of two whose square is the context or more.
    pub span: usize,
    /// How positions are known.
    pub positions: CombinerPositions,
}

impl Default for CombinerFixedOptions {
    fn default() -> Self {
        Self { span: 0, positions: CombinerPositions::Rotary }
    }
}

impl Options for CombinerFixedOptions {
    fn segment(&self) -> Option<usize> {
        (self.span > 0).then_some(self.span)
    }

    fn reduced(&self, scale: &Scale) -> Self {
        Self { span: if self.span == 0 { 0 } else { scale.segment(self.span) }, ..self.clone() }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { span: self.span.min(context), ..self.clone() }
    }
}

/// Attention to a span, and to summaries of those before it.
#[derive(Module, Debug)]
pub struct CombinerFixed {
    /// Projections.
    pub projection: Projection,
    #[module(skip)]
    core: Core,
}

fn core(config: &ModelConfig, layer: &LayerSpec) -> Core {
    let options = &layer.options.combiner_fixed;
    Core::new(config, layer, Cover::spans(config, span(config, options.span)), options.positions)
}

impl Sublayer for CombinerFixed {
    type Options = CombinerFixedOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self { projection: projection(config, layer, device), core: core(config, layer) }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        validate(config, layer)
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
