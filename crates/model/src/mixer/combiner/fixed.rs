//! Combiner, kind *fixed*: the own span directly, complete spans before it by a summary each.
//!
//! Cost per token O((s + T / s) d), so O(d sqrt T) at the span s = sqrt T. State: the own span's queries, keys and values, and two rows for each
//! earlier span: at s = sqrt n, five rows for each of sqrt n, of d elements.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CombinerPositions;
use super::cover::{Cover, Sets, span};
use super::kind::Kind;
use crate::config::{LayerSpec, ModelConfig};
use crate::layer::{Options, Scale};

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
#[derive(Debug, Clone)]
pub struct Fixed;

impl Kind for Fixed {
    type Options = CombinerFixedOptions;

    fn options(layer: &LayerSpec) -> &Self::Options {
        &layer.options.combiner_fixed
    }

    fn cover(config: &ModelConfig, options: &Self::Options) -> Cover {
        Cover::spans(config, span(config, options.span), Sets::Spans)
    }

    fn positions(options: &Self::Options) -> CombinerPositions {
        options.positions
    }
}
