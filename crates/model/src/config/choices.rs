//! The keys of a model that are a choice among named options.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which normalisation the blocks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// x / rms(x) * gamma.
    Rms,
    /// (x - mean) / std * gamma + beta.
    Layer,
}

/// Which linear layers have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Biases {
    /// None.
    None,
    /// As the authors of LLP: attention output, feed-forward and head; none on query, key and value.
    Paper,
    /// All of them.
    All,
}

/// Whether key and value are two projections or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyValue {
    /// A projection for each; only queries and keys are rotated.
    Separate,
    /// One projection serves as key and value, so the values are rotated too (authors' code).
    Shared,
}

/// Which layers apply the rotary position embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RotaryLayers {
    /// Every layer.
    All,
    /// Layer 0 only (authors' code for all models but V1).
    First,
    /// No layer: the model sees no positions at all.
    None,
}

/// How channels are paired for the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RotaryLayout {
    /// Channel i with channel i + e/2.
    HalfSplit,
    /// Channel 2i with channel 2i + 1 (authors' code).
    Interleaved,
}

/// The output head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// Its own matrix.
    Untied,
    /// The embedding matrix.
    Tied,
}

/// How weights are initialised; see [`crate::init`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Initialisation {
    /// normal(0, `init_std`), the projections into the residual stream divided by sqrt(2 L).
    Normal,
    /// PyTorch's defaults, as the authors leave them: embedding normal(0, 1), linear layers
    /// uniform(+-1/sqrt(fan-in)).
    Pytorch,
    /// As RWKV's training scripts leave them: embedding uniform(+-1e-4), head orthogonal, and in RWKV's sublayers what
    /// those declare; elsewhere as `normal`.
    Rwkv,
    /// As RWKV's modules make them before the scripts replace some; differs from `rwkv` in RWKV-7's matrices.
    RwkvModules,
}

/// What a model learns to predict, and with it what its last layer is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// From each position the token after it.
    #[default]
    NextToken,
    /// From each position the tokens around it: queries of the last layer are rotated to the position that they ask for
    /// (COrAL, arXiv 2410.09675), the next one where nothing else is said.
    OrderAgnostic,
}
