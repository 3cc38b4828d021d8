//! A layer of an encoder: sublayers one after the other, each with its norm and residual.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{
    Convolution, EncoderConfig, FeedForward, GroupedFeedForward, LayerKind, NormPlace, Padding, SelfAttention,
};
use crate::config::NormKind;
use crate::cost::Call;
use crate::layers::Norm;
use crate::ops;

/// What a sublayer is and promises; everything about it stands in its file.
pub trait Sublayer {
    /// Zeros.
    fn new(config: &EncoderConfig, device: &Device) -> Self
    where
        Self: Sized;

    /// Weights, by formula.
    fn parameters(config: &EncoderConfig) -> u64
    where
        Self: Sized;

    /// The products of a forward pass over a sequence of so many rows.
    fn work(config: &EncoderConfig, rows: usize) -> Vec<Call>
    where
        Self: Sized;

    /// Elements that training keeps of each row.
    fn kept(config: &EncoderConfig) -> u64
    where
        Self: Sized;

    /// `[B, T, d]` to what is added to the rows, `[B, T, d]`.
    fn mix(&self, x: Tensor<3>, padding: &Padding) -> Tensor<3>;
}

/// A sublayer of any kind; the names of the kinds stay out of the paths of weights.
#[derive(Module, Debug)]
pub enum AnySublayer {
    /// GroupBERT's convolution.
    Convolution(Convolution),
    /// Attention.
    Attention(SelfAttention),
    /// BERT's feed-forward sublayer.
    FeedForward(FeedForward),
    /// GroupBERT's.
    Grouped(GroupedFeedForward),
}

/// What is known of a kind of sublayer without weights.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    build: fn(&EncoderConfig, &Device) -> AnySublayer,
    /// See [`Sublayer::parameters`].
    pub(super) parameters: fn(&EncoderConfig) -> u64,
    /// See [`Sublayer::work`].
    pub(super) work: fn(&EncoderConfig, usize) -> Vec<Call>,
    /// See [`Sublayer::kept`].
    pub(super) kept: fn(&EncoderConfig) -> u64,
}

impl Kind {
    fn of<S: Sublayer>(build: fn(&EncoderConfig, &Device) -> AnySublayer) -> Self {
        Self { build, parameters: S::parameters, work: S::work, kept: S::kept }
    }
}

/// The sublayers of a layer in their order.
pub(super) fn kinds(layer: LayerKind) -> Vec<Kind> {
    let attention =
        Kind::of::<SelfAttention>(|config, device| AnySublayer::Attention(SelfAttention::new(config, device)));
    match layer {
        LayerKind::Groupbert => {
            let convolution =
                Kind::of::<Convolution>(|config, device| AnySublayer::Convolution(Convolution::new(config, device)));
            let grouped = Kind::of::<GroupedFeedForward>(|config, device| {
                AnySublayer::Grouped(GroupedFeedForward::new(config, device))
            });
            vec![convolution, grouped, attention, grouped]
        }
        LayerKind::Bert => {
            let feed_forward =
                Kind::of::<FeedForward>(|config, device| AnySublayer::FeedForward(FeedForward::new(config, device)));
            vec![attention, feed_forward]
        }
    }
}

/// A layer.
#[derive(Module, Debug)]
pub struct Layer {
    /// The norm of each sublayer.
    pub norms: Vec<Norm>,
    /// The sublayers.
    pub sublayers: Vec<AnySublayer>,
    /// Norms come after the residual.
    after: bool,
}

impl Layer {
    /// Zeros, with the norms at one.
    pub fn new(config: &EncoderConfig, device: &Device) -> Self {
        let kinds = kinds(config.layer);
        Self {
            norms: kinds.iter().map(|_| Norm::new(NormKind::Layer, config.dim, config.norm_eps, device)).collect(),
            sublayers: kinds.iter().map(|kind| (kind.build)(config, device)).collect(),
            after: config.norm_place == NormPlace::After,
        }
    }

    /// `[B, T, d]` to `[B, T, d]`; the rows of padding are of no use.
    pub fn forward(&self, x: Tensor<3>, padding: &Padding) -> Tensor<3> {
        self.norms.iter().zip(&self.sublayers).fold(x, |x, (norm, sublayer)| match self.after {
            true => norm.forward(ops::add(sublayer.mix(x.clone(), padding), x)),
            false => ops::add(sublayer.mix(norm.forward(x.clone()), padding), x),
        })
    }
}

impl AnySublayer {
    fn mix(&self, x: Tensor<3>, padding: &Padding) -> Tensor<3> {
        match self {
            Self::Convolution(sublayer) => sublayer.mix(x, padding),
            Self::Attention(sublayer) => sublayer.mix(x, padding),
            Self::FeedForward(sublayer) => sublayer.mix(x, padding),
            Self::Grouped(sublayer) => sublayer.mix(x, padding),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;
    use crate::ops::elements;

    #[test]
    fn norms_stand_where_the_configuration_says() {
        let leaves = |norm_place| {
            let config = EncoderConfig { layer: LayerKind::Bert, norm_place, dim: 16, ..EncoderConfig::default() };
            let x = Tensor::<3>::random([1, 5, 16], Distribution::Normal(3.0, 2.0), &Device::default());
            elements(Layer::new(&config, &Device::default()).forward(x, &Padding::new(&[5], 5, &Device::default())))
        };
        let mean = |row: &[f32]| row.iter().sum::<f32>() / 16.0;
        // What leaves the layer is normalised, or still the residual.
        assert!(leaves(NormPlace::After).chunks(16).all(|row| mean(row).abs() < 1e-4));
        assert!(leaves(NormPlace::Before).chunks(16).all(|row| mean(row) > 0.5));
    }
}
