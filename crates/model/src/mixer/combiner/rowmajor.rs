//! Combiner, kind *axial-rowmajor*: the own row of a grid up to t directly, and of each earlier row a summary for the own column. The summary of
//! row a for column c is what full attention inside that row gives at j = (a, c): v_j' = softmax over the whole row of (q_j k / sqrt(e)) v. It
//! looks ahead of j, so it is read by later rows only. Its key is one of `keys`.
//!
//! Cost per token O((s + T / s) d), so O(d sqrt T) at the row s = sqrt T. State: the own row's queries, keys and values (and inputs, for projected
//! keys), and two rows for each position of the rows before.

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CombinerPositions;
use super::cover::{Cover, Sets, span};
use super::kind::{Keys, Kind};
use crate::config::{LayerSpec, ModelConfig};
use crate::layer::{Options, Scale};

/// The keys of `[model.combiner-axial-rowmajor]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CombinerRowmajorOptions {
    /// Positions of a row of the grid; 0 takes the least power of two whose square is the context or more.
    pub row: usize,
    /// Where the keys of summaries come from.
    pub keys: CombinerSummaryKeys,
    /// How positions are known.
    pub positions: CombinerPositions,
}

/// Where the key of a row's summary for a column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CombinerSummaryKeys {
    /// LayerNorm(v' Wo + x) Wk, x the layer's input there: the authors' default (`proj`), with 2 d^2 weights of its own.
    Projected,
    /// The row's keys, weighed as its values are (`wsum`).
    Weighted,
    /// The key of the position in that column (`none`).
    Own,
}

impl Default for CombinerRowmajorOptions {
    fn default() -> Self {
        Self { row: 0, keys: CombinerSummaryKeys::Projected, positions: CombinerPositions::Rotary }
    }
}

impl Options for CombinerRowmajorOptions {
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

/// Attention to a row, and to summaries of those before it for the own column.
#[derive(Debug, Clone)]
pub struct Rowmajor;

impl Kind for Rowmajor {
    type Options = CombinerRowmajorOptions;

    fn options(layer: &LayerSpec) -> &Self::Options {
        &layer.options.combiner_axial_rowmajor
    }

    fn cover(config: &ModelConfig, options: &Self::Options) -> Cover {
        Cover::spans(config, span(config, options.row), Sets::Columns)
    }

    fn positions(options: &Self::Options) -> CombinerPositions {
        options.positions
    }

    fn keys(options: &Self::Options) -> Keys {
        match options.keys {
            CombinerSummaryKeys::Projected => Keys::Projected,
            CombinerSummaryKeys::Weighted => Keys::Weighted,
            CombinerSummaryKeys::Own => Keys::Own,
        }
    }

    fn validate(config: &ModelConfig, options: &Self::Options) -> Result<()> {
        let (heads, groups) = (config.heads, config.key_value_heads());
        if options.keys == CombinerSummaryKeys::Weighted && groups < heads {
            return Err(Fault::usage(format!(
                "model.combiner-axial-rowmajor.keys = \"weighted\" makes a key for each of the {heads} heads, of which model.kv_heads = {groups} have keys"
            ))
            .hint("give every head its keys (model.kv_heads = 0), or use keys = \"projected\" or \"own\""));
        }
        Ok(())
    }
}
