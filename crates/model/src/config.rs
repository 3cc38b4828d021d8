//! The typed configuration of a model: the TOML table `[model]`.
//!
//! Every deviation of the "paper" preset from the default is a named option here, so that each can
//! be ablated by itself.

mod choices;
mod limits;
mod order_agnostic;
mod stack;

use std::collections::BTreeMap;

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

pub use choices::{Biases, Head, Initialisation, KeyValue, NormKind, Objective, RotaryLayers, RotaryLayout};
use limits::check_dropout;
pub use order_agnostic::Offsets;
pub use stack::{LayerSpec, entry};

use crate::channel::{self, ChannelKind, ChannelOptions};
use crate::mixer::{MixerKind, MixerOptions};
use crate::options::{FlatValues, Tables};

/// The keys of `[model]` with their defaults, in the order in which they are written; those after
/// the semicolon only where they have another value, so that what was written before there were any keeps its text.
macro_rules! keys {
    (
        $($(#[$doc:meta])* $key:ident: $type:ty = $default:expr,)*
        ; $($(#[$later_doc:meta])* $later:ident: $later_type:ty = $later_default:expr,)*
    ) => {
        /// The configuration of a language model.
        ///
        /// ```
        /// use percept_model::ModelConfig;
        /// let layers = "llp(segment=64)*3, transformer".into();
        /// let config = ModelConfig { layers, vocab: 257, dim: 128, depth: 8, heads: 4, ..Default::default() };
        /// config.validate()?;
        /// let fault = ModelConfig { heads: 3, ..config }.validate().unwrap_err();
        /// assert!(fault.is_usage() && fault.to_string().contains("model.heads"), "{fault}");
        /// # Ok::<(), percept_fault::Fault>(())
        /// ```
        #[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct ModelConfig {
            $($(#[$doc])* pub $key: $type,)*
            $($(#[$later_doc])* pub $later: $later_type,)*
            /// The tables of single mixers, e.g. `[model.conv]`.
            #[serde(flatten)]
            pub mixers: MixerOptions,
            /// The tables of single channel sublayers.
            #[serde(flatten)]
            pub channels: ChannelOptions,
        }

        impl Default for ModelConfig {
            fn default() -> Self {
                Self {
                    $($key: $default,)*
                    $($later: $later_default,)*
                    mixers: MixerOptions::default(),
                    channels: ChannelOptions::default(),
                }
            }
        }

        /// Flat keys stand where they have always stood: fingerprints are of the written text.
        impl Serialize for ModelConfig {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                let tables: Vec<_> = self.mixers.tables().into_iter().chain(self.channels.tables()).collect();
                let flat = FlatValues::of(&tables);
                let mut map = serializer.serialize_map(None)?;
                $(
                    map.serialize_entry(stringify!($key), &self.$key)?;
                    flat.write_after(stringify!($key), &mut map)?;
                )*
                $(if self.$later != $later_default {
                    map.serialize_entry(stringify!($later), &self.$later)?;
                })*
                for table in tables.iter().filter(|table| flat.lack(table)) {
                    self.mixers.write(table.name, &mut map)?;
                    self.channels.write(table.name, &mut map)?;
                }
                map.end()
            }
        }
    };
}

keys! {
    /// Mixer schedule, repeated to the depth: `"llp"`, `"llp*5, transformer"`,
    /// `"llp(segment=64)*2, llp(segment=256)"`.
    layers: String = "llp".into(),
    /// Number of tokens in the vocabulary; 0 takes the tokenizer's.
    vocab: usize = 0,
    /// Model width d.
    dim: usize = 256,
    /// Number of blocks L.
    depth: usize = 4,
    /// Query heads H; d must be a multiple.
    heads: usize = 4,
    /// Key/value heads (grouped queries); 0 means one per query head.
    kv_heads: usize = 0,
    /// Training window n in tokens; global attention keeps this many keys.
    context: usize = 1024,
    /// Normalisation.
    norm: NormKind = NormKind::Rms,
    /// Epsilon of the normalisations.
    norm_eps: f64 = 1e-6,
    /// Feed-forward sublayer.
    feed_forward: ChannelKind = ChannelKind::Swiglu,
    /// Hidden width; 0 means 8d/3 rounded up to 64 for SwiGLU and 4d for all others.
    feed_forward_dim: usize = 0,
    /// Which linear layers have a bias.
    biases: Biases = Biases::None,
    /// One or two projections for key and value.
    key_value: KeyValue = KeyValue::Separate,
    /// LayerNorm over the head channels of the shared key/value, after the rotation (authors' code, all but LLP).
    key_value_norm: bool = false,
    /// RMSNorm over the head channels of queries and keys, before the rotation.
    qk_norm: bool = true,
    /// Which layers rotate.
    rotary: RotaryLayers = RotaryLayers::All,
    /// Pairing of channels.
    rotary_layout: RotaryLayout = RotaryLayout::HalfSplit,
    /// Fraction of the head channels that are rotated.
    rotary_fraction: f64 = 1.0,
    /// Base of the rotary frequencies.
    rotary_base: f64 = 10000.0,
    /// Dropout on attention probabilities.
    attention_dropout: f32 = 0.0,
    /// Dropout inside the feed-forward sublayer.
    feed_forward_dropout: f32 = 0.0,
    /// Output head.
    head: Head = Head::Untied,
    /// Weight of the z-loss (mean of squared log-sum-exp of the logits); 0 switches it off.
    z_loss: f32 = 0.0,
    /// Initialisation.
    initialisation: Initialisation = Initialisation::Normal,
    /// Standard deviation of the normal initialisation.
    init_std: f64 = 0.02,
    ;
    /// Blocks with weights of their own, which the layers take in turn: 1 runs one block `depth` times (the Universal
    /// Transformer, arXiv 1807.03819); 0 gives every layer its own.
    blocks: usize = 0,
    /// What the model predicts from a position.
    objective: Objective = Objective::NextToken,
    /// The positions that an order-agnostic model can be asked for.
    order_agnostic: Offsets = Offsets::default(),
}

impl ModelConfig {
    /// With another value for a key of mixers or channel sublayers: `"llp.segment"`, or by its flat name `"segment"` in all
    /// that have it.
    ///
    /// ```
    /// use percept_model::ModelConfig;
    ///
    /// let config = ModelConfig { dim: 64, ..ModelConfig::default() }.with("segment", 32)?;
    /// assert_eq!((config.mixers.llp.segment, config.mixers.longlora.segment), (32, 32));
    /// assert!(config.with("llp.segmnet", 32).is_err());
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    ///
    /// # Errors
    /// A usage fault where there is no such key, or it does not take this value.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Result<Self> {
        let value = value.into();
        let fault = |why: String| Fault::usage(format!("model.{key} = {value}: {why}"));
        let name = key.split_once('.').map_or(key, |(table, _)| table);
        if ![MixerOptions::names(), ChannelOptions::names()].concat().contains(&name) {
            return Err(fault("no mixer has such a key".into()));
        }
        self.mixers = self.mixers.with(key, &value).map_err(fault)?;
        self.channels = self.channels.with(key, &value).map_err(fault)?;
        Ok(self)
    }

    /// The flat keys, and the names that each has in the tables: `segment`, `["llp.segment", ..]`.
    pub fn flat_keys() -> BTreeMap<&'static str, Vec<String>> {
        let mut keys: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for table in MixerOptions::default().tables().into_iter().chain(ChannelOptions::default().tables()) {
            for key in table.flat {
                keys.entry(key.name).or_default().push(format!("{}.{}", table.name, key.name));
            }
        }
        keys
    }

    /// The same model at another context: what is longer than it allows becomes shorter, in the tables and where the
    /// schedule gives single layers options.
    ///
    /// # Errors
    /// A wrong schedule.
    pub fn at_context(&self, context: usize) -> Result<Self> {
        let layers = self.layer_specs()?;
        let mixers = self.mixers.at_context(context);
        let channels = self.channels.at_context(context);
        let entries =
            || layers.iter().map(|layer| stack::entry(layer.kind, &layer.options.at_context(context), &mixers));
        let same = layers.iter().all(|layer| layer.options == self.mixers);
        let layers = if same { self.layers.clone() } else { entries().collect::<Vec<_>>().join(", ") };
        Ok(Self { layers, context, mixers, channels, ..self.clone() })
    }

    /// The options of the authors' code ("paper" preset, spec sections 1 and 2) on top of this one's sizes.
    pub fn with_paper_options(self) -> Self {
        let mut paper = Self {
            norm: NormKind::Layer,
            norm_eps: 1e-5,
            feed_forward: ChannelKind::Gelu,
            biases: Biases::Paper,
            key_value: KeyValue::Shared,
            qk_norm: false,
            rotary_layout: RotaryLayout::Interleaved,
            rotary_fraction: 1.0,
            rotary: RotaryLayers::First,
            key_value_norm: true,
            initialisation: Initialisation::Pytorch,
            ..self
        };
        for kind in MixerKind::ALL {
            (kind.contract().paper)(&mut paper);
        }
        paper
    }

    /// Whether this mixer is the whole schedule.
    pub(crate) fn consists_of(&self, kind: MixerKind) -> bool {
        MixerKind::from_name(self.layers.trim()) == Some(kind)
    }

    /// Blocks with weights of their own, resolved.
    pub fn own_blocks(&self) -> usize {
        if self.blocks == 0 { self.depth } else { self.blocks }
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
        channel::hidden_dim(self)
    }

    /// Rotated channels of a head: even, at most e.
    pub fn rotary_channels(&self) -> usize {
        let channels = (self.head_dim() as f64 * self.rotary_fraction).round() as usize;
        channels & !1
    }

    /// Standard deviation of the normal initialisation of a matrix by its path: what is named `output` leads into the
    /// residual stream.
    pub fn initial_std(&self, path: &str) -> f64 {
        if path.ends_with("output.weight") { self.residual_std() } else { self.init_std }
    }

    /// Standard deviation of the projections into the residual stream, as GPT-2 has it.
    pub fn residual_std(&self) -> f64 {
        self.init_std / (2.0 * self.depth as f64).sqrt()
    }

    /// The mixer of every layer, from the schedule.
    pub fn layer_specs(&self) -> Result<Vec<LayerSpec>> {
        stack::resolve(self)
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
        check_dropout("attention_dropout", self.attention_dropout)?;
        check_dropout("feed_forward_dropout", self.feed_forward_dropout)?;
        let layers = self.layer_specs()?;
        for layer in &layers {
            (layer.kind.contract().validate)(self, layer)?;
            (layer.channel.contract().validate)(self, layer)?;
        }
        order_agnostic::check(self, &layers)?;
        self.validate_latents(&layers)
    }

    /// The window is cut once for all layers.
    fn validate_latents(&self, layers: &[LayerSpec]) -> Result<()> {
        let mut cuts =
            layers.iter().filter_map(|layer| layer.latents(self).map(|latents| (layer.kind.name(), latents)));
        let Some((first, latents)) = cuts.next() else { return Ok(()) };
        match cuts.find(|(_, other)| *other != latents) {
            None => Ok(()),
            Some((name, other)) => Err(Fault::usage(format!(
                "the window is cut in two ways: `{first}` has {latents} latents and `{name}` has {other}"
            ))
            .hint("give all layers with a history the same number of latents")),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<ModelConfig, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn flat_keys_are_other_names_of_the_tables_keys() {
        let flat = read(r#"{"segment": 4, "fill": 3}"#).unwrap();
        assert_eq!(
            (flat.mixers.llp.segment, flat.mixers.transformer.segment, flat.mixers.perceiver_v1.fill),
            (4, 4, 3)
        );
        let own = read(r#"{"llp": {"segment": 4}, "segment": 4}"#).unwrap();
        assert_eq!(own, ModelConfig::default().with("segment", 4).unwrap());
        let both = read(r#"{"llp": {"segment": 8}, "segment": 4}"#).unwrap_err();
        assert!(both.contains("`segment` is 4 and `llp.segment` is 8: they are two names of one key"), "{both}");
        assert!(read(r#"{"llp": {"segmnet": 8}}"#).unwrap_err().contains("unknown field `segmnet`"));
        assert!(read(r#"{"segmnet": 8}"#).unwrap_err().contains("unknown field `segmnet`"));
        assert!(read(r#"{"gelu": {"width": 8}}"#).unwrap_err().contains("unknown field `width`"));
    }

    #[test]
    fn what_differs_between_tables_is_written_in_them() {
        let alike = ModelConfig::default().with("segment", 32).unwrap();
        let text = serde_json::to_string(&alike).unwrap();
        assert!(text.contains(r#""context":1024,"segment":32,"latents":512"#) && !text.contains("llp\":{"), "{text}");
        let differ = ModelConfig::default().with("longlora.segment", 16).unwrap().with("conv.width", 3).unwrap();
        let text = serde_json::to_string(&differ).unwrap();
        assert!(text.contains(r#""context":1024,"latents":512"#), "{text}");
        // As it was before later mixers had such a key.
        assert!(text.ends_with(r#""longlora":{"segment":16},"conv":{"width":3}}"#), "{text}");
        assert_eq!(read(&text).unwrap(), differ);
        let later = alike.with("recurrent.segment", 1).unwrap();
        let text = serde_json::to_string(&later).unwrap();
        assert!(text.contains(r#""llp":{"segment":32,"#) && text.contains(r#""recurrent":{"segment":1,"#), "{text}");
        assert_eq!(read(&text).unwrap(), later);
    }

    #[test]
    fn layers_agree_on_the_latents() {
        let config = |layers: &str| ModelConfig { layers: layers.into(), vocab: 9, ..ModelConfig::default() };
        config("perceiver-ar(latents=64), perceiver-v2(latents=64), llp").validate().unwrap();
        let fault = config("perceiver-ar(latents=64), llp, perceiver-v2").validate().unwrap_err();
        let what = "the window is cut in two ways: `perceiver-ar` has 64 latents and `perceiver-v2` has 512";
        assert_eq!(fault.to_string(), what);
    }

    #[test]
    fn another_context_shortens_the_options_of_single_layers_too() {
        let config = ModelConfig { layers: "llp(segment=64), llp*2, conv(width=3)".into(), ..ModelConfig::default() };
        let short = config.at_context(16).unwrap();
        assert_eq!(short.layers, "llp, llp, llp, conv(width=3)");
        assert_eq!((short.mixers.llp.segment, short.mixers.perceiver_v3.compressed, short.context), (16, 8, 16));
        assert_eq!(config.at_context(100).unwrap().layers, "llp(segment=64), llp, llp, conv(width=3)");
        assert_eq!(ModelConfig::default().at_context(16).unwrap().layers, "llp");
    }
}
