//! Combiner on a grid: rows of s positions one below the other. The own row up to t and the own column above are direct; the rest of what came
//! before is read by sets: *axial-vertical*: every other column, as far as it lies in earlier rows; *axial-horizontal*: every earlier row without the
//! own column, the parts left and right of it as two sets (the authors' code) or as one (their text); *mixture*: both, so that every such
//! position counts twice, as in the authors' code.
//!
//! Cost per token O((s + T / s) d), so O(d sqrt T) at the row s = sqrt T. State: keys and values of all positions, queries of the own row; for each
//! column its summary and the largest of its queries, which are made anew when a row is complete; and a summary for each side of each position.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CombinerPositions;
use super::cover::{Cover, Sets, span};
use super::kind::Kind;
use crate::config::{LayerSpec, ModelConfig};
use crate::layer::{Options, Scale};
use crate::ops::{Axes, Sides};

/// The keys of `[model.combiner-axial-vertical]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CombinerAxialOptions {
    /// Positions of a row of the grid; 0 takes the least power of two whose square is the context or more.
    pub row: usize,
    /// How positions are known.
    pub positions: CombinerPositions,
}

/// The keys of `[model.combiner-axial-horizontal]` and of `[model.combiner-axial-mixture]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CombinerSidesOptions {
    /// Positions of a row of the grid; 0 takes the least power of two whose square is the context or more.
    pub row: usize,
    /// How an earlier row is summarised.
    pub sides: CombinerSides,
    /// How positions are known.
    pub positions: CombinerPositions,
}

/// How an earlier row of a grid is summarised, without the own column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CombinerSides {
    /// The part left of the own column and the part right of it by a summary each, as in the authors' code.
    Apart,
    /// By one summary, as in the authors' text.
    Joined,
}

impl Default for CombinerAxialOptions {
    fn default() -> Self {
        Self { row: 0, positions: CombinerPositions::Rotary }
    }
}

impl Default for CombinerSidesOptions {
    fn default() -> Self {
        Self { row: 0, sides: CombinerSides::Apart, positions: CombinerPositions::Rotary }
    }
}

impl Options for CombinerAxialOptions {
    fn segment(&self) -> Option<usize> {
        (self.row > 0).then_some(self.row)
    }

    fn reduced(&self, scale: &Scale) -> Self {
        Self { row: if self.row == 0 { 0 } else { scale.segment(self.row) }, ..self.clone() }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { row: self.row.min(context), ..self.clone() }
    }
}

impl Options for CombinerSidesOptions {
    fn segment(&self) -> Option<usize> {
        (self.row > 0).then_some(self.row)
    }

    fn reduced(&self, scale: &Scale) -> Self {
        Self { row: if self.row == 0 { 0 } else { scale.segment(self.row) }, ..self.clone() }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { row: self.row.min(context), ..self.clone() }
    }
}

impl CombinerSides {
    fn of_grid(self) -> Sides {
        match self {
            Self::Apart => Sides::Apart,
            Self::Joined => Sides::Joined,
        }
    }
}

/// Sets of columns.
#[derive(Debug, Clone)]
pub struct Vertical;

/// Sets of rows.
#[derive(Debug, Clone)]
pub struct Horizontal;

/// Both.
#[derive(Debug, Clone)]
pub struct Mixture;

impl Kind for Vertical {
    type Options = CombinerAxialOptions;

    fn options(layer: &LayerSpec) -> &Self::Options {
        &layer.options.combiner_axial_vertical
    }

    fn cover(config: &ModelConfig, options: &Self::Options) -> Cover {
        Cover::spans(config, span(config, options.row), Sets::Axes(Axes::Vertical))
    }

    fn positions(options: &Self::Options) -> CombinerPositions {
        options.positions
    }
}

impl Kind for Horizontal {
    type Options = CombinerSidesOptions;

    fn options(layer: &LayerSpec) -> &Self::Options {
        &layer.options.combiner_axial_horizontal
    }

    fn cover(config: &ModelConfig, options: &Self::Options) -> Cover {
        let axes = Axes::Horizontal(options.sides.of_grid());
        Cover::spans(config, span(config, options.row), Sets::Axes(axes))
    }

    fn positions(options: &Self::Options) -> CombinerPositions {
        options.positions
    }
}

impl Kind for Mixture {
    type Options = CombinerSidesOptions;

    fn options(layer: &LayerSpec) -> &Self::Options {
        &layer.options.combiner_axial_mixture
    }

    fn cover(config: &ModelConfig, options: &Self::Options) -> Cover {
        Cover::spans(config, span(config, options.row), Sets::Axes(Axes::Both(options.sides.of_grid())))
    }

    fn positions(options: &Self::Options) -> CombinerPositions {
        options.positions
    }
}
