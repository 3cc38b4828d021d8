//! Combiner, kind *logsparse*: the own position directly, all before it by log2 t summaries.
//!
//! Cost per token O(d log T), in training and, on average, in decoding. State: queries, keys and values of all positions, since larger blocks are
//! summarised from them, and two rows for each size of a block.

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CombinerPositions;
use super::cover::Cover;
use super::kind::Kind;
use crate::config::{LayerSpec, ModelConfig};
use crate::layer::Options;

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
#[derive(Debug, Clone)]
pub struct Logsparse;

impl Kind for Logsparse {
    type Options = CombinerLogsparseOptions;

    fn options(layer: &LayerSpec) -> &Self::Options {
        &layer.options.combiner_logsparse
    }

    fn cover(config: &ModelConfig, _options: &Self::Options) -> Cover {
        Cover::nodes(config)
    }

    fn positions(options: &Self::Options) -> CombinerPositions {
        options.positions
    }

    fn validate(_config: &ModelConfig, options: &Self::Options) -> Result<()> {
        match options.positions {
            CombinerPositions::Rotary => Err(Fault::usage(
                "model.combiner-logsparse.positions = \"rotary\" rotates nothing: a position is read directly by itself alone",
            )
            .hint("use \"additive\"; or \"none\", where positions are known by the blocks alone")),
            _ => Ok(()),
        }
    }
}
