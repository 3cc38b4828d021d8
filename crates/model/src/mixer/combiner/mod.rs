//! Combiner (Ren et al., arXiv 2107.05768, NeurIPS 2021): full attention at less than quadratic cost. A query reads some positions
//! directly, and all earlier ones through summaries of sets of them, in one softmax:
//!
//! out_t = softmax over j in D_t and O in S_t of (q_t k_j / sqrt(e), q_t k_O / sqrt(e)) of (v_j, v_O), with
//! k_O = max over O of k_j, q_O = max over O of q_j (by channel), v_O = softmax over j in O of (q_O k_j / sqrt(e)) v_j.
//!
//! [`fixed`]: D_t is the own span up to t, S_t the complete spans before it. [`logsparse`]: D_t = {t}, and S_t are the log2 t blocks that the
//! set bits of t name, which cover 0 .. t - 1 exactly, at every t (the authors' code loses the past where the last position is a power of two).
//! [`axial`]: D_t is a row and a column of a grid, S_t are its other columns, parts of its rows, or both. [`rowmajor`]: D_t is a row of a grid, and
//! the summaries of earlier rows are made for the own column by attention inside them.
//! Nothing of the size of T x T is made. T need not be a multiple of the span: the last, unfinished span is direct only.
//!
//! Positions: a maximum over rotated keys mixes the angles of different positions, after which a score no longer depends on the distance.
//! So rotations apply to direct terms only (`positions = "rotary"`), or sinusoids are added to the rows before the projections
//! (`positions = "additive"`), as the authors add positions to the embedding.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Streams past `model.context` work in windows (the last three quarters of the context, or more). Every position
//! is scored. `model.attention_dropout` has no effect: the authors drop in some of the terms only.

mod axial;
mod core;
mod cover;
mod facts;
mod fixed;
mod kind;
mod logsparse;
mod rowmajor;
mod step;
mod summary_key;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use axial::{CombinerAxialOptions, CombinerSides, CombinerSidesOptions};
pub use fixed::CombinerFixedOptions;
pub use logsparse::CombinerLogsparseOptions;
pub use rowmajor::{CombinerRowmajorOptions, CombinerSummaryKeys};

pub(super) type CombinerFixed = kind::Combiner<fixed::Fixed>;
pub(super) type CombinerLogsparse = kind::Combiner<logsparse::Logsparse>;
pub(super) type CombinerVertical = kind::Combiner<axial::Vertical>;
pub(super) type CombinerHorizontal = kind::Combiner<axial::Horizontal>;
pub(super) type CombinerMixture = kind::Combiner<axial::Mixture>;
pub(super) type CombinerRowmajor = kind::Combiner<rowmajor::Rowmajor>;

/// How a query knows where what it reads stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CombinerPositions {
    /// Queries and keys of direct terms are rotated, as `model.rotary` says; summaries know no positions.
    Rotary,
    /// Sinusoids are added to the rows before the projections, with `model.rotary_base`.
    Additive,
    /// Not at all, but by the sets.
    None,
}

#[cfg(test)]
mod tests {
    use crate::config::ModelConfig;

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let refused = |layers: &str, kv_heads: usize, why: &str| {
            let config = ModelConfig { layers: layers.into(), vocab: 9, heads: 4, kv_heads, ..ModelConfig::default() };
            let fault = config.validate().unwrap_err().to_string();
            assert!(fault.contains(why), "{layers}: {fault}");
        };
        refused("combiner-logsparse(positions=rotary)", 0, "combiner-logsparse.positions");
        refused(
            "combiner-axial-vertical, perceiver-ar(latents=64)",
            0,
            "`combiner-axial-vertical` does not go with `perceiver-ar`",
        );
        refused("combiner-axial-rowmajor(keys=weighted)", 2, "combiner-axial-rowmajor.keys");
        let grouped = ModelConfig {
            layers: "combiner-axial-rowmajor".into(),
            vocab: 9,
            heads: 4,
            kv_heads: 2,
            ..Default::default()
        };
        grouped.validate().unwrap();
    }
}
