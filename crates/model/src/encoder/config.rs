//! The typed configuration of an encoder: the TOML table `[encoder]`.

use std::fmt;

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a layer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Convolution, grouped feed-forward, attention, grouped feed-forward (arXiv 2106.05822).
    #[default]
    Groupbert,
    /// Attention, feed-forward (arXiv 1810.04805).
    Bert,
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Groupbert => "groupbert",
            Self::Bert => "bert",
        })
    }
}

/// Where a sublayer has its norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NormPlace {
    /// x + f(norm(x)), and a norm after the last layer.
    #[default]
    Before,
    /// norm(x + f(x)).
    After,
}

/// An encoder: the TOML table `[encoder]`.
///
/// ```
/// use percept_model::encoder::EncoderConfig;
/// let config = EncoderConfig { vocab: 258, dim: 64, heads: 3, ..Default::default() };
/// assert_eq!(config.validate().unwrap_err().to_string(), "encoder.heads = 3 does not divide encoder.dim = 64");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderConfig {
    /// What a layer is made of.
    pub layer: LayerKind,
    /// Tokens, the mask among them; 0: those of the tokenizer, and the mask.
    pub vocab: usize,
    /// Channels d.
    pub dim: usize,
    /// Layers.
    pub depth: usize,
    /// Heads of attention; they divide `dim`.
    pub heads: usize,
    /// Channels inside a feed-forward sublayer; 0: 4 d.
    pub feed_forward_dim: usize,
    /// Positions: the longest sequence, in tokens, the first of which is never asked.
    pub context: usize,
    /// Types of tokens (BERT's sentences A and B), each with a vector; 0: there are none.
    pub types: usize,
    /// Where a sublayer has its norm.
    pub norm_place: NormPlace,
    /// What every norm adds to the variance.
    pub norm_eps: f64,
    /// Positions that the convolution sees, half of them on either side: an odd number.
    pub conv_width: usize,
    /// Channels of a group of the convolution; they divide `dim`.
    pub conv_group: usize,
    /// Groups of the map out of a grouped feed-forward sublayer; they divide `dim` and its channels.
    pub groups: usize,
    /// Standard deviation of the initial matrices, of which nothing is drawn beyond two.
    pub init_std: f64,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            layer: LayerKind::Groupbert,
            vocab: 0,
            dim: 256,
            depth: 4,
            heads: 4,
            feed_forward_dim: 0,
            context: 128,
            types: 0,
            norm_place: NormPlace::Before,
            norm_eps: 1e-3,
            conv_width: 7,
            conv_group: 16,
            groups: 4,
            init_std: 0.02,
        }
    }
}

/// The largest sizes: far above what machines hold, and the products of the formulas stay numbers.
const MOST: [(&str, usize); 6] = [
    ("vocab", 1 << 24),
    ("dim", 1 << 17),
    ("depth", 1 << 12),
    ("feed_forward_dim", 1 << 20),
    ("context", 1 << 24),
    ("types", 1 << 16),
];

impl EncoderConfig {
    /// Channels inside a feed-forward sublayer.
    pub fn hidden_dim(&self) -> usize {
        if self.feed_forward_dim == 0 { 4 * self.dim } else { self.feed_forward_dim }
    }

    /// Checks every value; the message names the key.
    ///
    /// # Errors
    /// A usage fault.
    pub fn validate(&self) -> Result<()> {
        let least = [
            ("vocab", self.vocab, 2),
            ("dim", self.dim, 1),
            ("depth", self.depth, 1),
            ("heads", self.heads, 1),
            ("context", self.context, 2),
        ];
        if let Some((key, value, least)) = least.into_iter().find(|(_, value, least)| value < least) {
            return Err(Fault::usage(format!("encoder.{key} = {value} is too small"))
                .hint(format!("encoder.{key} is at least {least}")));
        }
        let sizes = [self.vocab, self.dim, self.depth, self.feed_forward_dim, self.context, self.types];
        if let Some(((key, most), value)) = MOST.into_iter().zip(sizes).find(|((_, most), value)| value > most) {
            return Err(Fault::usage(format!("encoder.{key} = {value} is too large"))
                .hint(format!("encoder.{key} is at most {most}")));
        }
        let single = |value: f64| value >= 0.0 && (value as f32).is_finite();
        let numbers = [("norm_eps", self.norm_eps), ("init_std", self.init_std)];
        if let Some((key, value)) = numbers.into_iter().find(|(_, value)| !single(*value)) {
            return Err(Fault::usage(format!("encoder.{key} = {value} is out of range"))
                .hint(format!("encoder.{key} must be at least 0, and a number of single precision")));
        }
        self.divides("heads", self.heads, ("dim", self.dim))?;
        match self.layer {
            LayerKind::Bert => Ok(()),
            LayerKind::Groupbert => self.validate_groups(),
        }
    }

    fn validate_groups(&self) -> Result<()> {
        if self.conv_width.is_multiple_of(2) || self.conv_width > self.dim.saturating_mul(self.context) {
            return Err(Fault::usage(format!("encoder.conv_width = {} has no middle", self.conv_width))
                .hint("it counts the position itself and as many on either side; set an odd number, e.g. 7"));
        }
        self.divides("conv_group", self.conv_group, ("dim", self.dim))?;
        self.divides("groups", self.groups, ("dim", self.dim))?;
        self.divides("groups", self.groups, ("feed_forward_dim", self.hidden_dim()))
    }

    fn divides(&self, key: &str, part: usize, (of, whole): (&str, usize)) -> Result<()> {
        match part > 0 && whole.is_multiple_of(part) {
            true => Ok(()),
            false => Err(Fault::usage(format!("encoder.{key} = {part} does not divide encoder.{of} = {whole}"))
                .hint(format!("set encoder.{key} to a divisor of {whole}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_no_model_is_named() {
        let base = || EncoderConfig { vocab: 258, ..EncoderConfig::default() };
        base().validate().unwrap();
        for (config, message) in [
            (EncoderConfig { vocab: 0, ..base() }, "encoder.vocab = 0 is too small"),
            (EncoderConfig { depth: 0, ..base() }, "encoder.depth = 0 is too small"),
            (EncoderConfig { dim: 1 << 40, ..base() }, "encoder.dim = 1099511627776 is too large"),
            (EncoderConfig { conv_width: 4, ..base() }, "encoder.conv_width = 4 has no middle"),
            (EncoderConfig { conv_group: 7, ..base() }, "encoder.conv_group = 7 does not divide encoder.dim = 256"),
            (EncoderConfig { groups: 0, ..base() }, "encoder.groups = 0 does not divide"),
            (EncoderConfig { groups: 512, ..base() }, "encoder.groups = 512 does not divide encoder.dim = 256"),
            (EncoderConfig { feed_forward_dim: 6, ..base() }, "does not divide encoder.feed_forward_dim = 6"),
            (EncoderConfig { norm_eps: f64::NAN, ..base() }, "encoder.norm_eps = NaN is out of range"),
        ] {
            let fault = config.validate().unwrap_err();
            assert!(fault.is_usage() && fault.to_string().contains(message), "{fault}");
        }
        // BERT has no groups.
        EncoderConfig { layer: LayerKind::Bert, conv_width: 4, groups: 0, ..base() }.validate().unwrap();
    }
}
