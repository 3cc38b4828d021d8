//! Sequence mixers: the one contract, and the registry.
//!
//! A mixer is one file (or folder) and one line in the registry below. Everything else (trainer,
//! evaluator, session, cost model, checks) goes through [`Mixer`] and knows no mixer by name.

mod history;
mod llp;
mod longlora;
mod perceiver_ar;
mod perceiver_v1;
mod perceiver_v2;
mod perceiver_v3;
mod projection;
mod transformer;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::Result;

use crate::config::ModelConfig;
use crate::cost::{AttentionCall, LinearCall};
use crate::layers::Linear;
use crate::ops::Pattern;
use crate::rows::{LayerContext, Rows};
use crate::schedule::LayerSpec;
use crate::state::MixerState;

pub use projection::Projection;

/// What a mixer promises about itself, as formulas of the configuration.
///
/// Positions are counted from the start of the window or stream.
pub trait Mixer: Sized {
    /// Allocates the weights (zeros; [`crate::init`] fills them).
    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self;

    /// Checks the keys that this mixer reads.
    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()>;

    /// Mixes `x`: `[B, rows, d]`, already normalised, and returns `[B, rows_after, d]` without the
    /// residual.
    ///
    /// Without a state the rows are a whole window. With one they follow whatever it has seen, and
    /// it is updated; from the empty state the result is that of the whole window. Only an empty
    /// state may be given history rows.
    fn mix(&self, x: Tensor<3>, state: Option<&mut MixerState>, context: &LayerContext) -> Tensor<3>;

    /// How [`crate::decoder`] runs one new position; `None` where a stream goes through [`Mixer::mix`].
    fn decode_step(&self) -> Option<DecodeStep<'_>> {
        None
    }

    /// The rows of `x` (before normalisation) that the output is added to: `[B, rows_after, d]`.
    fn residual(&self, x: Tensor<3>, _rows: Rows) -> Tensor<3> {
        x
    }

    /// The rows that leave the layer.
    fn rows_after(_config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Rows {
        rows
    }

    /// True where the model needs a split into history and latents.
    fn has_history() -> bool {
        false
    }

    /// False where a stream cannot go on from a state and re-runs its window for every token.
    fn is_incremental(_config: &ModelConfig, _layer: &LayerSpec) -> bool {
        true
    }

    /// Attention scores of a window with these rows, in whole segments and windows as the papers count them (spec,
    /// section 2). What is executed is less where a mask is causal: see [`Mixer::attention`].
    fn score_entries(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> u64;

    /// Weights, counted by formula.
    fn parameters(config: &ModelConfig, layer: &LayerSpec) -> u64;

    /// The linear maps that a window with these rows takes.
    fn linears(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Vec<LinearCall>;

    /// The calls of attention that a window with these rows takes.
    fn attention(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Vec<AttentionCall>;

    /// Numbers of a window that are kept for the backward pass beside the rows that every attention keeps: copies of
    /// parts, and parts joined.
    fn copied(_config: &ModelConfig, _layer: &LayerSpec, _rows: Rows) -> usize {
        0
    }

    /// Numbers (not bytes) that the state holds after a stream or window with these rows was seen.
    fn state_elements(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> usize;

    /// The largest that [`Mixer::state_elements`] gets, at any length.
    fn state_limit(config: &ModelConfig, layer: &LayerSpec) -> usize;

    /// The earliest position whose row entering the layer can influence the row leaving it at `position`.
    fn earliest(config: &ModelConfig, layer: &LayerSpec, position: usize) -> usize;
}

/// What the decoder has to know of an attention mixer: the new position's query looks at keys that were kept as
/// [`Mixer::state_elements`] says, and no row of the layer looks further back than that.
#[derive(Debug)]
pub struct DecodeStep<'a> {
    /// The projections.
    pub projection: &'a Projection,
    /// Which keys a query sees: one rule for each equal share of the heads.
    pub patterns: Vec<Pattern>,
    /// Another output projection for the positions below a limit.
    pub first_output: Option<(&'a Linear, usize)>,
}

macro_rules! registry {
    ($($variant:ident($type:ty) = $name:literal $(| $alias:literal)*: $summary:literal,)*) => {
        /// The registered mixers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum MixerKind {
            $(#[doc = $summary] $variant,)*
        }

        /// The weights of one registered mixer. The variant's name stays out of weight paths.
        #[derive(Module, Debug)]
        pub enum AnyMixer {
            $(#[doc = $summary] $variant($type),)*
        }

        impl MixerKind {
            /// Every mixer, in the order of the registry.
            pub const ALL: &[MixerKind] = &[$(MixerKind::$variant,)*];

            /// The mixer of that name or alias.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name $(| $alias)* => Some(Self::$variant),)* _ => None }
            }

            /// Every name and alias.
            pub fn all_names() -> impl Iterator<Item = &'static str> {
                [$($name, $($alias,)*)*].into_iter()
            }

            /// The name used in configurations.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it does, in a line.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            /// Allocates the weights.
            pub fn build(self, config: &ModelConfig, layer: &LayerSpec, device: &Device) -> AnyMixer {
                match self { $(Self::$variant => AnyMixer::$variant(<$type as Mixer>::new(config, layer, device)),)* }
            }

            /// See [`Mixer::validate`].
            pub fn validate(self, config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
                match self { $(Self::$variant => <$type as Mixer>::validate(config, layer),)* }
            }

            /// See [`Mixer::rows_after`].
            pub fn rows_after(self, config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Rows {
                match self { $(Self::$variant => <$type as Mixer>::rows_after(config, layer, rows),)* }
            }

            /// See [`Mixer::has_history`].
            pub fn has_history(self) -> bool {
                match self { $(Self::$variant => <$type as Mixer>::has_history(),)* }
            }

            /// See [`Mixer::is_incremental`].
            pub fn is_incremental(self, config: &ModelConfig, layer: &LayerSpec) -> bool {
                match self { $(Self::$variant => <$type as Mixer>::is_incremental(config, layer),)* }
            }

            /// See [`Mixer::score_entries`].
            pub fn score_entries(self, config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> u64 {
                match self { $(Self::$variant => <$type as Mixer>::score_entries(config, layer, rows),)* }
            }

            /// See [`Mixer::parameters`].
            pub fn parameters(self, config: &ModelConfig, layer: &LayerSpec) -> u64 {
                match self { $(Self::$variant => <$type as Mixer>::parameters(config, layer),)* }
            }

            /// See [`Mixer::linears`].
            pub fn linears(self, config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Vec<LinearCall> {
                match self { $(Self::$variant => <$type as Mixer>::linears(config, layer, rows),)* }
            }

            /// See [`Mixer::attention`].
            pub fn attention(self, config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Vec<AttentionCall> {
                match self { $(Self::$variant => <$type as Mixer>::attention(config, layer, rows),)* }
            }

            /// See [`Mixer::copied`].
            pub fn copied(self, config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> usize {
                match self { $(Self::$variant => <$type as Mixer>::copied(config, layer, rows),)* }
            }

            /// See [`Mixer::state_elements`].
            pub fn state_elements(self, config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> usize {
                match self { $(Self::$variant => <$type as Mixer>::state_elements(config, layer, rows),)* }
            }

            /// See [`Mixer::state_limit`].
            pub fn state_limit(self, config: &ModelConfig, layer: &LayerSpec) -> usize {
                match self { $(Self::$variant => <$type as Mixer>::state_limit(config, layer),)* }
            }

            /// See [`Mixer::earliest`].
            pub fn earliest(self, config: &ModelConfig, layer: &LayerSpec, position: usize) -> usize {
                match self { $(Self::$variant => <$type as Mixer>::earliest(config, layer, position),)* }
            }
        }

        impl AnyMixer {
            /// See [`Mixer::mix`].
            pub fn mix(&self, x: Tensor<3>, state: Option<&mut MixerState>, context: &LayerContext) -> Tensor<3> {
                match self { $(Self::$variant(mixer) => mixer.mix(x, state, context),)* }
            }

            /// See [`Mixer::decode_step`].
            pub fn decode_step(&self) -> Option<DecodeStep<'_>> {
                match self { $(Self::$variant(mixer) => mixer.decode_step(),)* }
            }

            /// See [`Mixer::residual`].
            pub fn residual(&self, x: Tensor<3>, rows: Rows) -> Tensor<3> {
                match self { $(Self::$variant(mixer) => mixer.residual(x, rows),)* }
            }
        }
    };
}

registry! {
    Llp(llp::Llp) = "llp" | "ecp": "Pairwise overlapping segment attention: the previous segment and, causally, the own one.",
    Transformer(transformer::Transformer) = "transformer": "Full causal attention over the last `context` positions.",
    PerceiverAr(perceiver_ar::PerceiverAr) = "perceiver-ar": "Layer 0 reads the history once; later layers attend causally among the latents.",
    PerceiverV1(perceiver_v1::PerceiverV1) = "perceiver-v1" | "history-everywhere": "Every layer reads the whole history, which attends to itself in both directions.",
    PerceiverV2(perceiver_v2::PerceiverV2) = "perceiver-v2" | "segmented-history": "As V1, but the history attends inside its own segments only.",
    PerceiverV3(perceiver_v3::PerceiverV3) = "perceiver-v3" | "compressed-history": "Layer 0 as V1, then a learned map along the sequence compresses the history.",
    LongLora(longlora::LongLora) = "longlora" | "s2": "Half of the heads attend inside groups, half inside groups shifted by half a group.",
}
