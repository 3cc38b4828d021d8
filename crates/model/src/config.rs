//! The typed configuration of a model: the TOML table `[model]`.
//!
//! Every deviation of the "paper" preset from the default is a named option here, so that each can
//! be ablated by itself.

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channel::ChannelKind;
use crate::limits;
use crate::mixer::MixerOptions;
use crate::schedule::{self, LayerSpec};

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
    /// As the authors: attention output, feed-forward and head; none on query, key and value.
    Paper,
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
}

/// The residual of the layer that compresses the history (Perceiver V3, layer 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CompressionResidual {
    /// The last l rows for the latents, none for the compressed rows.
    Aligned,
    /// The first p + l rows of the input, which misaligns the latents (authors' code).
    FirstRows,
}

/// The configuration of a language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Mixer schedule, repeated to the depth: `"llp"`, `"llp*5, transformer"`,
    /// `"llp(segment=64)*2, llp(segment=256)"`.
    pub layers: String,
    /// Number of tokens in the vocabulary; 0 takes the tokenizer's.
    pub vocab: usize,
    /// Model width d.
    pub dim: usize,
    /// Number of blocks L.
    pub depth: usize,
    /// Query heads H; d must be a multiple.
    pub heads: usize,
    /// Key/value heads (grouped queries); 0 means one per query head.
    pub kv_heads: usize,
    /// Training window n in tokens; global attention keeps this many keys.
    pub context: usize,
    /// Segment length m of `llp`; group length G of `longlora`.
    pub segment: usize,
    /// Latent length l of the Perceiver models.
    pub latents: usize,
    /// Latents left after a latent reset; 0 means max(l - 128, l / 2, 1).
    pub fill: usize,
    /// History segments of `perceiver-v2`.
    pub history_segments: usize,
    /// Compressed history length p of `perceiver-v3`.
    pub compressed: usize,
    /// Residual of V3's compressing layer.
    pub compression_residual: CompressionResidual,
    /// Normalisation.
    pub norm: NormKind,
    /// Epsilon of the normalisations.
    pub norm_eps: f64,
    /// Feed-forward sublayer.
    pub feed_forward: ChannelKind,
    /// Hidden width; 0 means 8d/3 rounded up to 64 for SwiGLU and 4d for GELU.
    pub feed_forward_dim: usize,
    /// Which linear layers have a bias.
    pub biases: Biases,
    /// One or two projections for key and value.
    pub key_value: KeyValue,
    /// LayerNorm over the head channels of the shared key/value, after the rotation (authors' code, all but LLP).
    pub key_value_norm: bool,
    /// RMSNorm over the head channels of queries and keys, before the rotation.
    pub qk_norm: bool,
    /// A second output projection for segment 0 (authors' code, LLP only).
    pub first_segment_output: bool,
    /// Which layers rotate.
    pub rotary: RotaryLayers,
    /// Pairing of channels.
    pub rotary_layout: RotaryLayout,
    /// Fraction of the head channels that are rotated.
    pub rotary_fraction: f64,
    /// Base of the rotary frequencies.
    pub rotary_base: f64,
    /// Dropout on attention probabilities.
    pub attention_dropout: f32,
    /// Dropout inside the feed-forward sublayer.
    pub feed_forward_dropout: f32,
    /// Perceiver AR: share of history positions hidden from the cross-attention in training.
    pub cross_attend_dropout: f32,
    /// Output head.
    pub head: Head,
    /// Weight of the z-loss (mean of squared log-sum-exp of the logits); 0 switches it off.
    pub z_loss: f32,
    /// Initialisation.
    pub initialisation: Initialisation,
    /// Standard deviation of the normal initialisation.
    pub init_std: f64,
    /// The tables of single mixers, e.g. `[model.conv]`.
    #[serde(flatten)]
    pub own: MixerOptions,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            layers: "llp".into(),
            vocab: 0,
            dim: 256,
            depth: 4,
            heads: 4,
            kv_heads: 0,
            context: 1024,
            segment: 128,
            latents: 512,
            fill: 0,
            history_segments: 4,
            compressed: 256,
            compression_residual: CompressionResidual::Aligned,
            norm: NormKind::Rms,
            norm_eps: 1e-6,
            feed_forward: ChannelKind::Swiglu,
            feed_forward_dim: 0,
            biases: Biases::None,
            key_value: KeyValue::Separate,
            key_value_norm: false,
            qk_norm: true,
            first_segment_output: false,
            rotary: RotaryLayers::All,
            rotary_layout: RotaryLayout::HalfSplit,
            rotary_fraction: 1.0,
            rotary_base: 10000.0,
            attention_dropout: 0.0,
            feed_forward_dropout: 0.0,
            cross_attend_dropout: 0.0,
            head: Head::Untied,
            z_loss: 0.0,
            initialisation: Initialisation::Normal,
            init_std: 0.02,
            own: MixerOptions::default(),
        }
    }
}

impl ModelConfig {
    /// The options of the authors' code ("paper" preset, spec sections 1 and 2) on top of this one's sizes.
    pub fn with_paper_options(self) -> Self {
        Self {
            norm: NormKind::Layer,
            norm_eps: 1e-5,
            feed_forward: ChannelKind::Gelu,
            biases: Biases::Paper,
            key_value: KeyValue::Shared,
            qk_norm: false,
            rotary_layout: RotaryLayout::Interleaved,
            rotary_fraction: 1.0,
            rotary: if self.layers == "perceiver-v1" { RotaryLayers::All } else { RotaryLayers::First },
            key_value_norm: self.layers != "llp",
            first_segment_output: self.layers == "llp",
            compression_residual: CompressionResidual::FirstRows,
            initialisation: Initialisation::Pytorch,
            ..self
        }
    }

    /// Channels per head e.
    pub fn head_dim(&self) -> usize {
        self.dim / self.heads
    }

    /// Key/value heads, resolved.
    pub fn key_value_heads(&self) -> usize {
        if self.kv_heads == 0 { self.heads } else { self.kv_heads }
    }

    /// Hidden width of the feed-forward sublayer, resolved.
    pub fn hidden_dim(&self) -> usize {
        match (self.feed_forward_dim, self.feed_forward) {
            (0, ChannelKind::Swiglu) => (8 * self.dim).div_ceil(3).next_multiple_of(64),
            (0, ChannelKind::Gelu) => 4 * self.dim,
            (hidden, _) => hidden,
        }
    }

    /// Rotated channels of a head: even, at most e.
    pub fn rotary_channels(&self) -> usize {
        let channels = (self.head_dim() as f64 * self.rotary_fraction).round() as usize;
        channels & !1
    }

    /// Latents that a latent reset leaves (flaxformer's rule; spec section 5).
    pub fn latent_fill(&self) -> usize {
        match self.fill {
            0 => self.latents.saturating_sub(128).max(self.latents / 2).max(1),
            fill => fill,
        }
    }

    /// The mixer of every layer, from the schedule.
    pub fn layer_specs(&self) -> Result<Vec<LayerSpec>> {
        schedule::resolve(self)
    }

    /// Checks every value; the message names the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("dim", self.dim),
            ("depth", self.depth),
            ("heads", self.heads),
            ("context", self.context),
            ("vocab", self.vocab),
        ] {
            if value == 0 {
                return Err(Fault::usage(format!("model.{key} is 0")).hint(format!("set model.{key} to at least 1")));
            }
        }
        limits::check(self)?;
        self.validate_heads()?;
        for (key, value) in [
            ("attention_dropout", self.attention_dropout),
            ("feed_forward_dropout", self.feed_forward_dropout),
            ("cross_attend_dropout", self.cross_attend_dropout),
        ] {
            if !(0.0..1.0).contains(&value) {
                return Err(Fault::usage(format!("model.{key} = {value} is not in [0, 1)"))
                    .hint("dropout is the share of values set to zero, e.g. 0.05"));
            }
        }
        for layer in self.layer_specs()? {
            (layer.kind.contract().validate)(self, &layer)?;
            (layer.channel.contract().validate)(self, &layer)?;
        }
        Ok(())
    }

    fn validate_heads(&self) -> Result<()> {
        if !self.dim.is_multiple_of(self.heads) {
            let near = (1..=self.dim).filter(|h| self.dim.is_multiple_of(*h)).min_by_key(|h| h.abs_diff(self.heads));
            return Err(Fault::usage(format!("model.heads = {} does not divide model.dim = {}", self.heads, self.dim))
                .hint(format!("for example model.heads = {}", near.unwrap_or(1))));
        }
        if !self.heads.is_multiple_of(self.key_value_heads()) {
            return Err(Fault::usage(format!(
                "model.kv_heads = {} does not divide model.heads = {}",
                self.kv_heads, self.heads
            ))
            .hint("kv_heads must divide heads; 0 means one per query head"));
        }
        if !(0.0..=1.0).contains(&self.rotary_fraction) {
            return Err(Fault::usage(format!("model.rotary_fraction = {} is not in [0, 1]", self.rotary_fraction))
                .hint("it is the share of each head's channels that is rotated"));
        }
        if self.rotary != RotaryLayers::None && !self.head_dim().is_multiple_of(2) {
            return Err(Fault::usage(format!("a head has {} channels; rotary needs an even number", self.head_dim()))
                .hint("change model.heads or model.dim, or set model.rotary = \"none\""));
        }
        Ok(())
    }
}
